"""PATCH: the four kinds of patch, each as a function from the present object to the next one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kubeopencode.api.meta import Json
from kubeopencode.apiserver import admission, apply, conversion, objects, patch, status, strategic
from kubeopencode.apiserver.admission import Options
from kubeopencode.apiserver.calls import Call, as_object
from kubeopencode.apiserver.writes import Target, Writer

MERGE = "application/merge-patch+json"
JSON = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"


async def run(call: Call, writer: Writer, target: Target, options: Options) -> tuple[Json, int]:
    """Patch an object: the result and the code to answer with. Raises Failure."""
    content_type = call.request.headers.get("Content-Type", "").partition(";")[0].strip()
    body = await call.body()
    if content_type == APPLY:
        return _apply(writer, target, as_object(body), options)
    edit = _edit(content_type, target, body)
    return writer.change(target, edit, options), 200


def _edit(content_type: str, target: Target, body: Any) -> Callable[[Json], Json]:
    if content_type == MERGE:
        change = as_object(body)
        return lambda obj: patch.merge(obj, change)
    if content_type == JSON:
        return lambda obj: patch.apply_json(obj, body)
    if content_type == STRATEGIC:
        if target.kind.custom:
            raise status.Failure(
                415,
                "the body of the request was in an unknown format - accepted media types include: "
                f"{JSON}, {MERGE}, {APPLY}",
            )
        change = as_object(body)
        return lambda obj: strategic.merge(target.kind.schema, obj, change)
    raise status.Failure(
        415,
        "the body of the request was in an unknown format - accepted media types include: "
        f"{JSON}, {MERGE}, {STRATEGIC}, {APPLY}",
    )


def _apply(writer: Writer, target: Target, config: Json, options: Options) -> tuple[Json, int]:
    options.operation = "Apply"
    if not options.manager or options.manager == "unknown":
        raise status.bad_request(
            'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch'
        )
    admission.check_types(target.kind, config)
    if objects.metadata(config).get("managedFields"):
        raise status.bad_request("metadata.managedFields must be nil")
    objects.metadata(config).setdefault("name", target.name)
    apply.clean(target.kind, config, options)
    if writer.read(target) is None:
        if target.subresource:
            raise target.missing()
        created = apply.fresh(target.kind, config, options)
        return writer.create(Target(target.kind, target.namespace), created, options), 201
    result = writer.change(target, lambda live: apply.merge(target.kind, live, config, options), options)
    return conversion.show(target.kind, result), 200
