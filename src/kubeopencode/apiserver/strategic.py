"""Strategic merge patch for the built-in kinds: lists with a merge key merge, directives say otherwise. Pure."""

from __future__ import annotations

from typing import Any, cast

from kubeopencode.api.meta import Json
from kubeopencode.apiserver import objects, status
from kubeopencode.apiserver.schema import Schema

_DELETE = "$deleteFromPrimitiveList/"
_ORDER = "$setElementOrder/"


def merge(node: Schema | None, target: Any, change: Json) -> Json:
    """The target with a strategic merge patch applied. Raises Failure 400 for a patch that makes no sense."""
    directive = change.get("$patch")
    if directive == "replace":
        return {name: value for name, value in change.items() if name != "$patch"}
    if directive == "delete":
        return {}
    merged: Json = dict(cast(Json, target)) if isinstance(target, dict) else {}
    kept = change.get("$retainKeys")
    if isinstance(kept, list):
        merged = {name: value for name, value in merged.items() if name in kept}
    for name, value in change.items():
        if name.startswith(_DELETE):
            field = name[len(_DELETE) :]
            merged[field] = [item for item in objects.items(merged, field) if item not in value]
        elif name.startswith("$"):
            continue
        elif value is None:
            merged.pop(name, None)
        else:
            order = change.get(_ORDER + name)
            merged[name] = _field(node.child(name) if node else None, merged.get(name), value, order)
    for name, order in change.items():
        field = name[len(_ORDER) :]
        if name.startswith(_ORDER) and field not in change and field in merged:
            child = node.child(field) if node else None
            merged[field] = _sorted(merged[field], order, child.merge_key if child else "")
    return merged


def _field(node: Schema | None, old: Any, new: Any, order: Any) -> Any:
    if isinstance(new, dict):
        return merge(node, old, cast(Json, new))
    if not isinstance(new, list) or node is None or "merge" not in node.strategy:
        return cast(Any, new)
    values = cast("list[Any]", new)
    present: list[Any] = cast("list[Any]", old) if isinstance(old, list) else []
    merged: list[Any]
    if node.merge_key:
        merged = _list(node, present, values)
    else:
        merged = [*present, *(value for value in values if value not in present)]
    return _sorted(merged, order, node.merge_key) if order else merged


def _list(node: Schema, old: list[Any], new: list[Any]) -> list[Any]:
    key = node.merge_key
    if any(isinstance(item, dict) and cast(Json, item) == {"$patch": "replace"} for item in new):
        return [item for item in new if item != {"$patch": "replace"}]
    merged: list[Any] = list(old)
    for item in new:
        if not isinstance(item, dict) or key not in item:
            raise status.bad_request(f"map: {status.shown(item)} does not contain declared merge key: {key}")
        change = cast(Json, item)
        position = next((i for i, held in enumerate(merged) if objects.at(held, (key,)) == change[key]), None)
        if change.get("$patch") == "delete":
            merged = [held for held in merged if objects.at(held, (key,)) != change[key]]
        elif position is None:
            merged.append(merge(node.items, {}, change))
        else:
            merged[position] = merge(node.items, merged[position], change)
    return merged


def _sorted(values: Any, order: Any, key: str) -> list[Any]:
    found = cast("list[Any]", values)
    wanted: list[Any] = [_named(item, key) for item in cast("list[Any]", order)]

    def rank(pair: tuple[int, Any]) -> tuple[int, int]:
        index, item = pair
        name = _named(item, key)
        return (wanted.index(name), index) if name in wanted else (len(wanted), index)

    return [item for _, item in sorted(enumerate(found), key=rank)]


def _named(item: Any, key: str) -> Any:
    return cast(Json, item).get(key) if key and isinstance(item, dict) else item
