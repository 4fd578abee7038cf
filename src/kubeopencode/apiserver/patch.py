"""JSON merge patch (RFC 7386) and JSON patch (RFC 6902). Pure: a document and a patch in, a new document out."""

from __future__ import annotations

from typing import Any, cast

from kubeopencode.api.meta import Json
from kubeopencode.apiserver import objects, status


def merge(target: Any, change: Any) -> Any:
    """The target with an RFC 7386 patch applied; null removes, lists replace."""
    if not isinstance(change, dict):
        return change
    merged: Json = dict(cast(Json, target)) if isinstance(target, dict) else {}
    for name, value in cast(Json, change).items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge(merged.get(name), value)
    return merged


def apply_json(document: Json, operations: Any) -> Json:
    """The document after an RFC 6902 patch. Raises Failure 400 or 422 when the patch does not fit."""
    if not isinstance(operations, list):
        raise status.bad_request("error decoding patch: a JSON patch is a list of operations")
    root: Any = objects.clone(document)
    for operation in cast("list[Any]", operations):
        if not isinstance(operation, dict) or not isinstance(cast(Json, operation).get("op"), str):
            raise status.bad_request("error decoding patch: each operation is an object with op and path")
        root = _apply_one(root, cast(Json, operation))
    return cast(Json, root)


def _apply_one(root: Any, operation: Json) -> Any:
    kind = operation["op"]
    path = _pointer(operation.get("path"))
    if kind in ("move", "copy"):
        source = _pointer(operation.get("from"))
        value = objects.copy(_look(root, source))
        if kind == "move":
            root = _remove(root, source)
        return _add(root, path, value)
    if kind == "remove":
        return _remove(root, path)
    if kind not in ("add", "replace", "test"):
        raise status.bad_request(
            f'error decoding patch: op: "{kind}" is not one of add, remove, replace, move, copy, test'
        )
    if "value" not in operation and kind != "test":
        raise status.bad_request(f"error decoding patch: {kind} {operation.get('path')} has no value")
    value = operation.get("value")
    if kind == "add":
        return _add(root, path, value)
    if kind == "test":
        if _find(root, path) != value:
            raise _unfit(f"testing value {operation.get('path')} failed: test failed")
        return root
    _look(root, path)
    return _set(root, path, value)


def _unfit(why: str) -> status.Failure:
    return status.Failure(422, f"the server rejected our request due to an error in our request: {why}", details={})


def _pointer(text: Any) -> list[str]:
    if not isinstance(text, str) or (text and not text.startswith("/")):
        raise status.bad_request(f"error decoding patch: path: {status.shown(text)} is not a JSON pointer")
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:]]


def _find(root: Any, path: list[str]) -> Any:
    try:
        return _look(root, path)
    except status.Failure:
        return None


def _look(root: Any, path: list[str]) -> Any:
    for part in path:
        if isinstance(root, dict) and part in root:
            root = cast(Json, root)[part]
        elif isinstance(root, list):
            root = cast("list[Any]", root)[_position(cast("list[Any]", root), part, end=False)]
        else:
            raise _unfit(f"the path /{'/'.join(path)} does not exist")
    return root


def _position(values: list[Any], part: str, *, end: bool) -> int:
    if end and part == "-":
        return len(values)
    if not part.isdigit() or int(part) > len(values) - (0 if end else 1):
        raise _unfit(f"the list has no position {part}")
    return int(part)


def _add(root: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    parent = _look(root, path[:-1])
    if isinstance(parent, dict):
        parent[path[-1]] = value
    elif isinstance(parent, list):
        values = cast("list[Any]", parent)
        values.insert(_position(values, path[-1], end=True), value)
    else:
        raise _unfit(f"the path /{'/'.join(path)} does not exist")
    return root


def _set(root: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    parent = _look(root, path[:-1])
    if isinstance(parent, list):
        values = cast("list[Any]", parent)
        values[_position(values, path[-1], end=False)] = value
    else:
        parent[path[-1]] = value
    return root


def _remove(root: Any, path: list[str]) -> Any:
    _look(root, path)
    if not path:
        return None
    parent = _look(root, path[:-1])
    if isinstance(parent, list):
        values = cast("list[Any]", parent)
        del values[_position(values, path[-1], end=False)]
    else:
        del parent[path[-1]]
    return root
