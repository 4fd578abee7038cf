"""The `/scale` subresource: an autoscaling/v1 view of the replicas of any kind that has them."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from kubeopencode.api.meta import Json
from kubeopencode.apiserver import calls, objects, patch, patching, responses, status
from kubeopencode.apiserver.calls import Call
from kubeopencode.apiserver.registry import Scale
from kubeopencode.apiserver.writes import Target, Writer

_NAMES = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


def _path(text: str) -> tuple[str, ...]:
    return tuple(text.strip(".").split("."))


def show(scale: Scale, obj: Json) -> Json:
    """The Scale of an object."""
    meta = objects.metadata(obj)
    state: Json = {"replicas": objects.at(obj, _path(scale.status)) or 0}
    selector = objects.at(obj, _path(scale.selector)) if scale.selector else None
    if isinstance(selector, str):
        state["selector"] = selector
    elif isinstance(selector, dict):
        labels = objects.section({"selector": selector}, "selector")
        state["selector"] = ",".join(f"{k}={v}" for k, v in objects.section(labels, "matchLabels").items())
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {name: meta[name] for name in _NAMES if name in meta},
        "spec": {"replicas": objects.at(obj, _path(scale.replicas)) or 0},
        "status": state,
    }


async def serve(call: Call, writer: Writer, target: Target) -> web.Response:
    """Read or change the replicas of an object. Raises Failure."""
    scale = target.kind.scale
    if scale is None:
        raise status.no_such_path()
    found = writer.read(target)
    if found is None:
        raise target.missing()
    if call.request.method == "GET":
        return responses.json(show(scale, found))
    body = await call.body()
    wanted = _wanted(call, show(scale, found), body)
    replicas = objects.section(wanted, "spec").get("replicas", 0)
    if not isinstance(replicas, int) or replicas < 0:
        cause = status.invalid_value("spec.replicas", replicas, "must be greater than or equal to 0")
        raise status.invalid("Scale", "autoscaling", target.name, [cause])

    def edit(obj: Json) -> Json:
        version = objects.metadata(wanted).get("resourceVersion")
        if version and call.request.method == "PUT":
            objects.metadata(obj)["resourceVersion"] = version
        _set(obj, _path(scale.replicas), replicas)
        return obj

    main = Target(target.kind, target.namespace, target.name)
    return responses.json(show(scale, writer.change(main, edit, call.options())))


def _wanted(call: Call, present: Json, body: Any) -> Json:
    if call.request.method == "PUT":
        return calls.as_object(body)
    if call.request.method != "PATCH":
        raise status.Failure(405, "the server does not allow this method on the requested resource")
    if call.request.headers.get("Content-Type", "").startswith(patching.JSON):
        return patch.apply_json(present, body)
    return calls.as_object(patch.merge(present, body))


def _set(obj: Json, path: tuple[str, ...], value: Any) -> None:
    for name in path[:-1]:
        obj = obj.setdefault(name, {})
    obj[path[-1]] = value
