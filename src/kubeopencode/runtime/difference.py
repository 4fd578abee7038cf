"""What must be patched so that an object has the fields we want: the smallest JSON merge patch, or nothing.

The live object holds more than was asked for (defaults, other managers' fields) and holds some of it in another
spelling (`0.5` CPU as `500m`). Neither is a difference. Pure.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, cast

from kubeopencode.api import meta

_AT_BIRTH = frozenset({"name", "namespace", "generateName", "ownerReferences", "finalizers", "uid", "resourceVersion"})
"""Metadata that is given when an object is made; later it belongs to the server or is shared with others."""
_QUANTITY = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:([eE][+-]?\d+)|(Ki|Mi|Gi|Ti|Pi|Ei|[numkMGTPE]))?")
_SUFFIXES = {
    **{suffix: Decimal(1024) ** power for power, suffix in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), 1)},
    **{suffix: Decimal(1000) ** power for power, suffix in enumerate("kMGTPE", 1)},
    **{suffix: Decimal(1000) ** -power for power, suffix in enumerate("mun", 1)},
}
_QUANTITY_FIELDS = frozenset({"limits", "requests", "capacity", "hard", "sizeLimit"})


def merge_patch(desired: meta.Json, live: meta.Json) -> meta.Json:
    """The patch that gives `live` the fields of `desired`; empty when it has them. Status and identity stay out."""
    wanted = {
        name: value for name, value in desired.items() if name not in ("apiVersion", "kind", "status", "metadata")
    }
    patch = _of_objects(wanted, live)
    metadata = {name: value for name, value in desired.get("metadata", {}).items() if name not in _AT_BIRTH}
    if changed := _of_objects(metadata, live.get("metadata", {})):
        patch["metadata"] = changed
    return patch


def _of_objects(desired: meta.Json, live: meta.Json, quantities: bool = False) -> meta.Json:
    patch: meta.Json = {}
    for name, wanted in desired.items():
        inside = quantities or name in _QUANTITY_FIELDS
        found = live.get(name)
        if isinstance(wanted, dict) and isinstance(found, dict):
            if changed := _of_objects(cast("meta.Json", wanted), cast("meta.Json", found), inside):
                patch[name] = changed
        elif not _satisfied(wanted, found, inside):
            patch[name] = wanted
    return patch


def _satisfied(wanted: Any, found: Any, quantities: bool = False) -> bool:
    """Whether `found` has all that `wanted` says. What is empty and what is absent are the same on the wire."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        return not _of_objects(cast("meta.Json", wanted), cast("meta.Json", found), quantities)
    if isinstance(wanted, (list, tuple)) and isinstance(found, list):
        pairs = (cast("list[Any]", wanted), cast("list[Any]", found))
        return len(pairs[0]) == len(pairs[1]) and all(
            _satisfied(*pair, quantities) for pair in zip(*pairs, strict=True)
        )
    if wanted == found and isinstance(wanted, bool) == isinstance(found, bool):
        return True
    if found is None:
        return not wanted
    return quantities and _amount(wanted) is not None and _amount(wanted) == _amount(found)


def _amount(value: Any) -> Decimal | None:
    """A Kubernetes quantity as a number; None for what is none."""
    match = _QUANTITY.fullmatch(str(value))
    if match is None:
        return None
    number, exponent, suffix = match.groups()
    return Decimal(number + (exponent or "")) * _SUFFIXES.get(suffix or "", Decimal(1))
