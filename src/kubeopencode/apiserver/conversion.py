"""Between the stored version of an object and the served one: another apiVersion, and for Events other field names.

Pure. Custom resources convert by strategy None, as most real ones do.
"""

from __future__ import annotations

from kubeopencode.api.meta import Json
from kubeopencode.apiserver import objects
from kubeopencode.apiserver.registry import Kind

_EVENT = (
    ("message", "note"),
    ("involvedObject", "regarding"),
    ("reportingComponent", "reportingController"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
)
_FIELD_LABELS = {
    "reportingComponent": "reportingController",
    "source": "reportingController",
}


def needed(kind: Kind) -> bool:
    """Whether objects of this kind are stored in other words than they are served."""
    return bool(kind.shared or kind.storage_version)


def show(kind: Kind, stored: Json) -> Json:
    """A stored object in the words of `kind`; changes and returns its argument."""
    if not needed(kind):
        return stored
    if kind.kind == "Event":
        _rename(stored, {new: old for old, new in _EVENT})
        if stored.get("reportingComponent") and not stored.get("source"):
            stored["source"] = {"component": stored["reportingComponent"]}
    stored["apiVersion"] = kind.api_version
    return stored


def keep(kind: Kind, obj: Json) -> Json:
    """An object in the words in which it is stored; the argument is left alone when that differs."""
    if not needed(kind):
        return obj
    kept = dict(obj)
    if kind.kind == "Event":
        _rename(kept, dict(_EVENT))
        source = objects.section(kept, "deprecatedSource")
        kept.setdefault("reportingController", source.get("component", ""))
        kept["apiVersion"] = "events.k8s.io/v1"
        return kept
    kept["apiVersion"] = kind.stored_api_version
    return kept


def field_path(kind: Kind, path: str) -> str:
    """The stored name of a field that a selector names in the words of `kind`."""
    if not kind.shared:
        return path
    head, dot, rest = path.partition(".")
    if head == "involvedObject":
        return f"regarding{dot}{rest}"
    return _FIELD_LABELS.get(path, path)


def _rename(obj: Json, names: dict[str, str]) -> None:
    for old, new in names.items():
        if old in obj:
            obj[new] = obj.pop(old)
