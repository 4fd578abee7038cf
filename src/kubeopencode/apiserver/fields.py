"""Who set which field: `managedFields` as tries in the words of `FieldsV1`. Pure but for the clock.

A trie is nested dictionaries: `f:name` is a field, `k:{"name":"a"}` a list item by its keys, `v:"x"` a member of a set,
`.` the item itself; an empty dictionary is a leaf. Lists without keys are leaves: they are owned as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import msgspec

from kubeopencode.api.meta import Json
from kubeopencode.apiserver import objects
from kubeopencode.apiserver.admission import Options
from kubeopencode.apiserver.registry import Kind
from kubeopencode.apiserver.schema import Schema

_NESTED = (dict, list)
_UNOWNED = ("apiVersion", "kind")
_UNOWNED_META = frozenset(
    (
        "name",
        "namespace",
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "managedFields",
        "selfLink",
    )
)


def item_key(node: Schema, value: Any) -> str:
    """The name of a list item in a trie, by its keys; a missing key counts with its default."""
    found: Json = {}
    for key in sorted(node.keys):
        child = node.items.child(key) if node.items else None
        if isinstance(value, dict) and key in value:
            found[key] = cast(Json, value)[key]
        elif child is not None and child.has_default:
            found[key] = child.default
    return "k:" + objects.encode(found).decode()


def own_part(obj: Json, *, status: bool) -> Json:
    """The part of an object that managers own; with `status` only that, without it all but that is left out."""
    kept = {name: value for name, value in obj.items() if name not in _UNOWNED and (status or name != "status")}
    meta = obj.get("metadata")
    kept.pop("metadata", None)
    if isinstance(meta, dict):
        own = {name: value for name, value in cast(Json, meta).items() if name not in _UNOWNED_META}
        if own:
            kept["metadata"] = own
    return kept


def trie(node: Schema | None, value: Any) -> Json:
    """Every field that `value` sets."""
    if isinstance(value, dict) and not (node is not None and node.atomic):
        known = cast(Json, value)
        return {
            f"f:{name}": trie(node.child(name) if node else None, child) if isinstance(child, _NESTED) else {}
            for name, child in known.items()
        }
    if isinstance(value, list) and node is not None:
        values = cast("list[Any]", value)
        if node.list_type == "map":
            return {item_key(node, child): {".": {}, **trie(node.items, child)} for child in values}
        if node.list_type == "set":
            return {"v:" + objects.encode(child).decode(): {} for child in values}
    return {}


def changes(node: Schema | None, old: Any, new: Any) -> tuple[Json, Json]:
    """What `new` sets differently from `old`, and what it no longer has."""
    if isinstance(old, dict) and isinstance(new, dict) and not (node is not None and node.atomic):
        return _map_changes(node, cast(Json, old), cast(Json, new))
    if isinstance(old, list) and isinstance(new, list) and node is not None and node.list_type in ("map", "set"):
        before, after = _members(node, cast("list[Any]", old)), _members(node, cast("list[Any]", new))
        return _member_changes(node, before, after)
    return trie(node, new), {}


def _map_changes(node: Schema | None, old: Json, new: Json) -> tuple[Json, Json]:
    changed: Json = {}
    removed: Json = {}
    for name, value in new.items():
        child = node.child(name) if node else None
        if name not in old:
            changed[f"f:{name}"] = trie(child, value)
        elif old[name] != value:
            below, gone = changes(child, old[name], value)
            if below or not gone:
                changed[f"f:{name}"] = below
            if gone:
                removed[f"f:{name}"] = gone
    for name, value in old.items():
        if name not in new:
            removed[f"f:{name}"] = trie(node.child(name) if node else None, value)
    return changed, removed


def _members(node: Schema, values: list[Any]) -> dict[str, Any]:
    if node.list_type == "set":
        return {"v:" + objects.encode(value).decode(): None for value in values}
    return {item_key(node, value): value for value in values}


def _member_changes(node: Schema, old: dict[str, Any], new: dict[str, Any]) -> tuple[Json, Json]:
    changed: Json = {}
    removed: Json = {}
    for key, value in new.items():
        if key not in old:
            changed[key] = {} if value is None else {".": {}, **trie(node.items, value)}
        elif old[key] != value:
            below, gone = changes(node.items, old[key], value)
            if below:
                changed[key] = below
            if gone:
                removed[key] = gone
    for key, value in old.items():
        if key not in new:
            removed[key] = {} if value is None else {".": {}, **trie(node.items, value)}
    return changed, removed


def union(left: Json, right: Json) -> Json:
    """Everything in either."""
    made = dict(left)
    for name, child in right.items():
        made[name] = union(cast(Json, made[name]), child) if name in made else child
    return made


def subtract(left: Json, right: Json) -> Json:
    """What is in `left` and not in `right`; a leaf on the right takes all below it."""
    made: Json = {}
    for name, child in left.items():
        if name not in right:
            made[name] = child
        elif right[name] and child and (rest := subtract(child, right[name])):
            made[name] = rest
    return made


def leaves(tree: Json, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The path of every leaf."""
    for name, child in tree.items():
        if child:
            yield from leaves(child, (*path, name))
        else:
            yield (*path, name)


def holds(tree: Json, path: tuple[str, ...]) -> bool:
    """Whether a leaf path is owned: itself, or a leaf above it."""
    for name in path:
        if name not in tree:
            return False
        tree = tree[name]
        if not tree:
            return True
    return not tree


def value_at(node: Schema | None, value: Any, path: tuple[str, ...]) -> Any:
    """What an object has at a trie path; None when it has nothing there."""
    for step in path:
        if step == ".":
            return True
        if step.startswith("f:"):
            name = step[2:]
            if not isinstance(value, dict) or name not in value:
                return None
            value, node = cast(Json, value)[name], node.child(name) if node else None
        elif step.startswith("k:") and node is not None and isinstance(value, list):
            found = [child for child in cast("list[Any]", value) if item_key(node, child) == step]
            if not found:
                return None
            value, node = found[0], node.items
        elif step.startswith("v:") and isinstance(value, list):
            wanted = msgspec.json.decode(step[2:])
            return wanted if wanted in value else None
        else:
            return None
    return value


def shown(path: tuple[str, ...]) -> str:
    """A path as conflict messages write it: `.spec.containers[name="a"].image`."""
    text = ""
    for step in path:
        if step.startswith("f:"):
            text += f".{step[2:]}"
        elif step.startswith("k:"):
            keys = cast(Json, msgspec.json.decode(step[2:]))
            text += "[" + ",".join(f"{key}={objects.encode(value).decode()}" for key, value in keys.items()) + "]"
        elif step.startswith("v:"):
            text += f"[{step[2:]}]"
    return text


def entry(kind: Kind, options: Options, owned: Json) -> Json:
    """A `managedFields` entry of now."""
    made: Json = {
        "manager": options.manager,
        "operation": options.operation,
        "apiVersion": kind.api_version,
        "time": objects.now(),
        "fieldsType": "FieldsV1",
        "fieldsV1": owned,
    }
    if options.subresource:
        made["subresource"] = options.subresource
    return made


def is_own(candidate: Json, kind: Kind, options: Options) -> bool:
    """Whether an entry is the one this write belongs to."""
    return (
        candidate.get("manager") == options.manager
        and candidate.get("operation") == options.operation
        and candidate.get("subresource", "") == options.subresource
        and candidate.get("apiVersion") == kind.api_version
    )


def track(kind: Kind, old: Json | None, new: Json, options: Options) -> None:
    """Write into `managedFields` of `new` what this Update changed; other managers lose what they no longer set."""
    meta = objects.metadata(new)
    after = own_part(new, status=options.subresource == "status" or not kind.status)
    if old is None:
        meta["managedFields"] = [entry(kind, options, trie(kind.schema, after))]
        return
    before = own_part(old, status=options.subresource == "status" or not kind.status)
    if before == after:
        return
    changed, removed = changes(kind.schema, before, after)
    touched = union(changed, removed)
    kept: list[Json] = []
    own: Json = {}
    for known in meta.get("managedFields") or ():
        if is_own(known, kind, options):
            own = subtract(known.get("fieldsV1") or {}, removed)
            continue
        rest = subtract(known.get("fieldsV1") or {}, touched)
        if rest:
            kept.append({**known, "fieldsV1": rest})
    owned = union(own, changed)
    if owned:
        kept.append(entry(kind, options, owned))
    meta["managedFields"] = kept


def same(left: Any, right: Any) -> bool:
    """Whether two `managedFields` say the same, times aside."""
    return _timeless(left) == _timeless(right)


def _timeless(entries: Any) -> list[Json]:
    return [
        {name: value for name, value in cast(Json, known).items() if name != "time"}
        for known in cast("list[Any]", entries or [])
    ]
