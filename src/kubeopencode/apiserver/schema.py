"""Structural schemas, compiled once into a tree that pruning, defaulting, validation, apply and patches walk.

The source is the OpenAPI v3 subset of CustomResourceDefinitions; the built-in kinds are written in the same words
(`builtin_types`). Nothing here looks at an object.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, cast

from kubeopencode.api.meta import Json
from kubeopencode.apiserver import objects


@dataclass(frozen=True)
class Rule:
    """One `x-kubernetes-validations` entry."""

    rule: str
    message: str = ""
    expression: str = ""
    reason: str = "FieldValueInvalid"
    field_path: str = ""
    optional_old: bool = False


@dataclass(slots=True)
class Schema:
    """One node of a schema. `additional` describes the values of a map; `items` those of a list."""

    source: Json
    type: str = ""
    properties: dict[str, Schema] = field(default_factory=dict[str, "Schema"])
    additional: Schema | None = None
    items: Schema | None = None
    required: tuple[str, ...] = ()
    nullable: bool = False
    preserve: bool = False
    int_or_string: bool = False
    has_default: bool = False
    default: Any = None
    deep_defaults: bool = False
    """Whether this node or one below it has a default."""
    enum: tuple[Any, ...] = ()
    pattern: re.Pattern[str] | None = None
    format: str = ""
    bounds: dict[str, Any] = field(default_factory=dict[str, Any])
    """minLength, maxItems, minimum and their like, those that are set."""
    list_type: str = "atomic"
    keys: tuple[str, ...] = ()
    atomic: bool = False
    """A map that apply takes or leaves as a whole."""
    merge_key: str = ""
    strategy: tuple[str, ...] = ()
    """How strategic merge patches treat a list or a map."""
    rules: tuple[Rule, ...] = ()
    deep_rules: bool = False
    """Whether this node or one below it has rules."""
    junctors: dict[str, list[Schema]] = field(default_factory=dict[str, list["Schema"]])
    """allOf, anyOf, oneOf, not."""

    def child(self, name: str) -> Schema | None:
        """The schema of a field or of a map's value."""
        return self.properties.get(name) or self.additional


_OPAQUE = Schema(source={}, preserve=True)


def settled(node: Schema, names: Iterable[str]) -> Schema:
    """The schema of an object whose fields of these names are known to fit: nothing below them is looked at."""
    known = dict.fromkeys(node.properties.keys() & set(names), _OPAQUE)
    return replace(node, properties={**node.properties, **known}) if known else node


_BOUNDS = (
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "uniqueItems",
)
_ROOT: Json = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}}
_META: list[Schema] = []


def use_metadata(source: Json) -> None:
    """Say once what `metadata` looks like; the built-in table knows."""
    _META[:] = [compile_schema(source)]


def compile_root(source: Json) -> Schema:
    """Compile the schema of a whole object: apiVersion, kind and metadata are those of every object."""
    return _embed(compile_schema(source))


def _embed(node: Schema) -> Schema:
    for name, child in _ROOT.items():
        node.properties.setdefault(name, compile_schema(child))
    if _META:
        node.properties["metadata"] = _META[0]
    return node


def compile_schema(source: Json) -> Schema:
    """Compile one schema node and all below it."""
    node = Schema(source=source, type=str(source.get("type", "")))
    node.properties = {name: compile_schema(child) for name, child in objects.section(source, "properties").items()}
    additional = source.get("additionalProperties")
    if isinstance(additional, dict):
        node.additional = compile_schema(cast(Json, additional))
    elif additional is True:
        node.preserve = True
    if isinstance(source.get("items"), dict):
        node.items = compile_schema(objects.section(source, "items"))
    _read_extensions(node, source)
    _read_checks(node, source)
    if source.get("x-kubernetes-embedded-resource"):
        _embed(node)
        node.required = (*node.required, *(name for name in ("apiVersion", "kind") if name not in node.required))
    below = [*node.properties.values(), *(child for child in (node.additional, node.items) if child)]
    node.deep_defaults = node.has_default or any(child.deep_defaults for child in below)
    node.deep_rules = bool(node.rules) or any(child.deep_rules for child in below)
    return node


def _read_extensions(node: Schema, source: Json) -> None:
    node.preserve = node.preserve or bool(source.get("x-kubernetes-preserve-unknown-fields"))
    node.int_or_string = bool(source.get("x-kubernetes-int-or-string")) or source.get("format") == "int-or-string"
    node.list_type = str(source.get("x-kubernetes-list-type", "atomic"))
    node.keys = tuple(source.get("x-kubernetes-list-map-keys") or ())
    node.atomic = source.get("x-kubernetes-map-type") == "atomic"
    node.merge_key = str(source.get("x-kubernetes-patch-merge-key", ""))
    node.strategy = tuple(str(source.get("x-kubernetes-patch-strategy", "")).split(","))
    node.rules = tuple(_rule(entry) for entry in source.get("x-kubernetes-validations") or ())


def _rule(entry: Json) -> Rule:
    return Rule(
        rule=entry["rule"],
        message=entry.get("message", ""),
        expression=entry.get("messageExpression", ""),
        reason=entry.get("reason", "FieldValueInvalid"),
        field_path=entry.get("fieldPath", ""),
        optional_old=bool(entry.get("optionalOldSelf")),
    )


def _read_checks(node: Schema, source: Json) -> None:
    node.nullable = bool(source.get("nullable"))
    node.required = tuple(source.get("required") or ())
    if "default" in source:
        node.has_default = True
        node.default = source["default"]
    node.enum = tuple(source.get("enum") or ())
    node.format = str(source.get("format", ""))
    if source.get("pattern"):
        node.pattern = re.compile(_portable(source["pattern"]))
    node.bounds = {name: source[name] for name in _BOUNDS if source.get(name) is not None}
    for name in ("allOf", "anyOf", "oneOf"):
        if source.get(name) and not node.int_or_string:
            node.junctors[name] = [compile_schema(child) for child in source[name]]
    if source.get("not"):
        node.junctors["not"] = [compile_schema(source["not"])]


def _portable(pattern: str) -> str:
    r"""RE2's spelling of an end anchor in Python's: `$` there never matches before a last newline."""
    return pattern[:-1] + r"\Z" if pattern.endswith("$") and not pattern.endswith("\\$") else pattern
