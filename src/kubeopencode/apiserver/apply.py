"""Server-side apply: a manager says what it wants, keeps what it said, and hears of conflicts. Pure but for the clock.

The rules are those of the real server's structured merge: see "Server-Side Apply" in the Kubernetes documentation.
"""

from __future__ import annotations

from typing import Any, cast

from kubeopencode.api.meta import Json
from kubeopencode.apiserver import fields, objects, status
from kubeopencode.apiserver.admission import Options, check_types, shape
from kubeopencode.apiserver.registry import Kind
from kubeopencode.apiserver.schema import Schema


def clean(kind: Kind, config: Json, options: Options) -> None:
    """Report and drop unknown fields of what is applied; nothing is defaulted. Raises Failure 400 in strict mode."""
    check_types(kind, config)
    probe = objects.clone(config)
    shape(kind, probe, options)
    _keep_known(config, probe)


def _keep_known(config: Any, probe: Any) -> None:
    if isinstance(config, dict) and isinstance(probe, dict):
        fields_of, known = cast(Json, config), cast(Json, probe)
        for name in [name for name in fields_of if name not in known and name != "stringData"]:
            del fields_of[name]
        for name, value in fields_of.items():
            _keep_known(value, known.get(name))
    elif isinstance(config, list) and isinstance(probe, list):
        for left, right in zip(cast("list[Any]", config), cast("list[Any]", probe), strict=False):
            _keep_known(left, right)


def _wanted(kind: Kind, config: Json, options: Options) -> Json:
    part = fields.own_part(config, status=options.subresource == "status" or not kind.status)
    if options.subresource == "status":
        part = {"status": part.get("status", {})}
    return fields.trie(kind.schema, part)


def fresh(kind: Kind, config: Json, options: Options) -> Json:
    """The object of a first apply."""
    created = objects.clone(config)
    objects.metadata(created)["managedFields"] = [fields.entry(kind, options, _wanted(kind, config, options))]
    return created


def merge(kind: Kind, live: Json, config: Json, options: Options) -> Json:
    """The live object with a configuration applied. Raises Failure 409 for conflicts that are not forced."""
    wanted = _wanted(kind, config, options)
    entries: list[Json] = list(objects.metadata(live).get("managedFields") or ())
    own = next((known for known in entries if fields.is_own(known, kind, options)), None)
    others = [known for known in entries if known is not own]
    disputed = _disputed(kind, live, config, wanted, others)
    if disputed and not options.force:
        raise _conflict(disputed)
    before = objects.section(own, "fieldsV1")
    merged = _merge(kind.schema, objects.clone(live), _applicable(kind, config, options))
    dropped = fields.subtract(before, wanted)
    for known in others:
        dropped = _without(dropped, objects.section(known, "fieldsV1"))
    _remove(kind.schema, merged, dropped)
    kept = [_yield(known, disputed) for known in others]
    meta = objects.metadata(merged)
    live_version = objects.metadata(config).get("resourceVersion")
    if live_version:
        meta["resourceVersion"] = live_version
    meta["managedFields"] = [
        fields.entry(kind, options, wanted),
        *(known for known in kept if known["fieldsV1"]),
    ]
    return merged


def _applicable(kind: Kind, config: Json, options: Options) -> Json:
    part = fields.own_part(config, status=options.subresource == "status" or not kind.status)
    return {"status": part.get("status", {})} if options.subresource == "status" else part


def _disputed(
    kind: Kind, live: Json, config: Json, wanted: Json, others: list[Json]
) -> list[tuple[Json, tuple[str, ...]]]:
    found: list[tuple[Json, tuple[str, ...]]] = []
    paths = [path for path in fields.leaves(wanted) if path[-1] != "." and not path[-1].startswith("v:")]
    for known in others:
        owned = objects.section(known, "fieldsV1")
        for path in paths:
            if fields.holds(owned, path):
                mine = fields.value_at(kind.schema, config, path)
                if mine != fields.value_at(kind.schema, live, path):
                    found.append((known, path))
    return found


def _conflict(disputed: list[tuple[Json, tuple[str, ...]]]) -> status.Failure:
    by_manager: dict[str, list[str]] = {}
    causes: list[Json] = []
    for known, path in disputed:
        sub = f' with subresource "{known["subresource"]}"' if known.get("subresource") else ""
        who = f'"{known.get("manager")}"{sub} using {known.get("apiVersion")}'
        if known.get("operation") == "Apply":
            who = f'"{known.get("manager")}"{sub}'
        by_manager.setdefault(who, []).append(fields.shown(path))
        causes.append(
            {"reason": "FieldManagerConflict", "message": f"conflict with {who}", "field": fields.shown(path)}
        )
    count = len(disputed)
    if count == 1:
        who, paths = next(iter(by_manager.items()))
        text = f"Apply failed with 1 conflict: conflict with {who}: {paths[0]}"
    else:
        listed = "\n".join(
            f"conflicts with {who}:\n" + "\n".join(f"- {path}" for path in sorted(paths))
            for who, paths in sorted(by_manager.items())
        )
        text = f"Apply failed with {count} conflicts: {listed}"
    return status.Failure(409, text, details={"causes": causes})


def _yield(known: Json, disputed: list[tuple[Json, tuple[str, ...]]]) -> Json:
    owned = objects.section(known, "fieldsV1")
    for loser, path in disputed:
        if loser is known:
            lost: Json = {}
            for step in reversed(path):
                lost = {step: lost}
            owned = fields.subtract(owned, lost)
    return {**known, "fieldsV1": owned}


def _without(dropped: Json, owned: Json) -> Json:
    """What may go once a manager that still wants `owned` is heard; owning a parent does not keep its fields."""
    made: Json = {}
    for name, child in dropped.items():
        if name not in owned:
            made[name] = child
        elif child and (rest := _without(child, owned[name])):
            made[name] = rest
    return made


def _merge(node: Schema | None, live: Any, config: Any) -> Any:
    if isinstance(config, dict) and isinstance(live, dict) and not (node is not None and node.atomic):
        held = cast(Json, live)
        for name, value in cast(Json, config).items():
            held[name] = _merge(node.child(name) if node else None, held.get(name), value)
        return held
    if isinstance(config, list) and isinstance(live, list) and node is not None:
        if node.list_type == "map":
            return _merge_list(node, cast("list[Any]", live), cast("list[Any]", config))
        if node.list_type == "set":
            held_values, values = cast("list[Any]", live), cast("list[Any]", config)
            return held_values + [value for value in values if value not in held_values]
    return objects.copy(config)


def _merge_list(node: Schema, live: list[Any], config: list[Any]) -> list[Any]:
    held = {fields.item_key(node, item): item for item in live}
    for item in config:
        key = fields.item_key(node, item)
        held[key] = _merge(node.items, held[key], item) if key in held else objects.copy(item)
    return list(held.values())


def _remove(node: Schema | None, value: Any, dropped: Json) -> None:
    """Take the dropped leaves out of an object; containers that become empty by it go as well."""
    for step, below in dropped.items():
        if step.startswith("f:") and isinstance(value, dict):
            _remove_field(node, cast(Json, value), step[2:], below)
        elif step.startswith("k:") and isinstance(value, list) and node is not None:
            items = cast("list[Any]", value)
            for index, item in enumerate(items):
                if fields.item_key(node, item) == step:
                    if "." in below:
                        del items[index]
                    else:
                        _remove(node.items, item, below)
                    break
        elif step.startswith("v:") and isinstance(value, list):
            items = cast("list[Any]", value)
            items[:] = [item for item in items if "v:" + objects.encode(item).decode() != step]


def _remove_field(node: Schema | None, value: Json, name: str, below: Json) -> None:
    if name not in value:
        return
    if not below:
        del value[name]
        return
    _remove(node.child(name) if node else None, value[name], below)
    if value[name] in ({}, []):
        del value[name]
