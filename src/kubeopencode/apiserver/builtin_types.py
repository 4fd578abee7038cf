"""What the built-in kinds look like, read from `builtin_types.txt`: for explain, apply, patches and strict decoding.

Not a copy of the full API: the fields that manifests use, described in a sentence each. A type marked `open` may hold
more than is listed; only closed types report unknown fields. An `atomic` one is owned as a whole.
"""

from __future__ import annotations

import functools
import importlib.resources
import re
from dataclasses import dataclass, field

from kubeopencode.api.meta import Json
from kubeopencode.apiserver import schema as schemas
from kubeopencode.apiserver.schema import Schema

_FIELD = re.compile(r"  (\w[\w.$-]*)(!?) (\S+)(?: \{([^}]*)\})?(?: (.*))?")
_SCALARS: dict[str, Json] = {
    "string": {"type": "string"},
    "int": {"type": "integer", "format": "int32"},
    "long": {"type": "integer", "format": "int64"},
    "bool": {"type": "boolean"},
    "number": {"type": "number"},
    "time": {"type": "string", "format": "date-time"},
    "intstr": {"x-kubernetes-int-or-string": True},
    "quantity": {"x-kubernetes-int-or-string": True},
    "any": {"x-kubernetes-preserve-unknown-fields": True},
    "object": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
}


@dataclass
class _Type:
    description: str
    open: bool
    atomic: bool
    fields: list[tuple[str, bool, str, str, str]] = field(default_factory=list[tuple[str, bool, str, str, str]])


@functools.cache
def _types() -> dict[str, _Type]:
    found: dict[str, _Type] = {}
    current = _Type("", open=True, atomic=False)
    text = importlib.resources.files("kubeopencode.apiserver").joinpath("builtin_types.txt").read_text("utf-8")
    for number, line in enumerate(text.splitlines(), start=1):
        if not line or line.startswith("#"):
            continue
        if match := _FIELD.fullmatch(line):
            name, required, kind, options, description = match.groups()
            current.fields.append((name, bool(required), kind, options or "", description or ""))
            continue
        name, _, rest = line.partition(" ")
        if line.startswith(" ") or name in found:
            raise ValueError(f"builtin_types.txt:{number}: {line!r} is neither a new type nor a field")
        mark, _, words = rest.partition(" ")
        marked = mark in ("open", "atomic")
        current = found[name] = _Type(words if marked else rest, open=mark == "open", atomic=mark == "atomic")
    return found


@functools.cache
def source(name: str) -> Json:
    """The OpenAPI schema of a type, all types below it written out."""
    known = _types().get(name)
    if known is None:
        return {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    properties: Json = {}
    for label, _, kind, options, description in known.fields:
        properties[label] = _field(kind, options, description)
    made: Json = {"type": "object", "description": known.description, "properties": properties}
    if required := [label for label, needed, *_ in known.fields if needed]:
        made["required"] = required
    if known.atomic:
        made["x-kubernetes-map-type"] = "atomic"
    if known.open:
        made["x-kubernetes-preserve-unknown-fields"] = True
    return made


def _field(kind: str, options: str, description: str) -> Json:
    made = dict(_reference(kind))
    if description:
        made["description"] = description
    for option in options.split():
        name, _, value = option.partition("=")
        if name == "key":
            made["x-kubernetes-list-type"] = "map"
            made["x-kubernetes-list-map-keys"] = value.split(",")
            made["x-kubernetes-patch-merge-key"] = value.split(",")[0]
            made["x-kubernetes-patch-strategy"] = "merge"
        elif name == "patch":
            made["x-kubernetes-patch-merge-key"] = value
            made["x-kubernetes-patch-strategy"] = "merge"
        elif name == "set":
            made["x-kubernetes-list-type"] = "set"
            made["x-kubernetes-patch-strategy"] = "merge"
        elif name == "atomic":
            made["x-kubernetes-map-type"] = "atomic"
        elif name == "retain":
            strategy = str(made.get("x-kubernetes-patch-strategy", ""))
            made["x-kubernetes-patch-strategy"] = f"{strategy},retainKeys".lstrip(",")
        elif name == "default":
            made["default"] = value
        elif name == "enum":
            made["enum"] = value.split("|")
    return made


def _reference(kind: str) -> Json:
    if kind.startswith("[]"):
        return {"type": "array", "items": _reference(kind[2:])}
    if kind.startswith("map:"):
        return {"type": "object", "additionalProperties": _reference(kind[4:])}
    if kind == "bytes":
        return {"type": "string"}
    return _SCALARS[kind] if kind in _SCALARS else source(kind)


@functools.cache
def schema(name: str) -> Schema:
    """The compiled schema of a built-in kind."""
    compiled = schemas.compile_root(source(name))
    compiled.source = {**compiled.source, "x-builtin": name}
    return compiled


schemas.use_metadata(source("ObjectMeta"))
