"""Unknown fields go, defaults come. Both change the object in place, guided by its schema."""

from __future__ import annotations

from typing import Any, cast

from kubeopencode.api.meta import Json
from kubeopencode.apiserver import objects
from kubeopencode.apiserver.schema import Schema

_NESTED = (dict, list)
"""What has something below it. These walks see every value of every write, so they pass over the others early."""


def prune(node: Schema, value: Any, path: str, unknown: list[str]) -> None:
    """Drop what the schema does not name and list the dropped paths in `unknown`."""
    if isinstance(value, dict):
        _prune_map(node, cast(Json, value), path, unknown)
    elif isinstance(value, list) and node.items is not None:
        for index, child in enumerate(cast("list[Any]", value)):
            prune(node.items, child, f"{path}[{index}]", unknown)


def _prune_map(node: Schema, value: Json, path: str, unknown: list[str]) -> None:
    properties, additional = node.properties, node.additional
    for name, below in list(value.items()):
        child = properties.get(name) or additional
        if child is not None:
            if isinstance(below, _NESTED):
                prune(child, below, f"{path}.{name}" if path else name, unknown)
        elif not node.preserve:
            unknown.append(f"{path}.{name}" if path else name)
            del value[name]


def default(node: Schema, value: Any) -> None:
    """Fill in what is missing; an explicit null of a field that may not be null counts as missing."""
    if not node.deep_defaults:
        return
    if isinstance(value, dict):
        _default_map(node, cast(Json, value))
    elif isinstance(value, list) and node.items is not None:
        for child in cast("list[Any]", value):
            default(node.items, child)


def _default_map(node: Schema, value: Json) -> None:
    for name, child in node.properties.items():
        if child.has_default and (name not in value or (value[name] is None and not child.nullable)):
            value[name] = objects.copy(child.default)
        if name in value:
            default(child, value[name])
    if node.additional is not None:
        for name in value:
            if name not in node.properties:
                default(node.additional, value[name])


def drop_nulls(node: Schema, value: Any) -> None:
    """Remove explicit nulls where null is not allowed, as the real server does before it validates."""
    if isinstance(value, dict):
        fields = cast(Json, value)
        for name, below in list(fields.items()):
            child = node.child(name)
            if child is None:
                continue
            if below is None and not child.nullable and name not in node.required:
                del fields[name]
            elif isinstance(below, _NESTED):
                drop_nulls(child, below)
    elif isinstance(value, list) and node.items is not None:
        for child_value in cast("list[Any]", value):
            drop_nulls(node.items, child_value)
