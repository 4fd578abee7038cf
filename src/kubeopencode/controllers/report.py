"""The one status write at the end of a reconcile, and only when something differs."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

import msgspec

from kubeopencode.api.meta import Json, ObjectMeta, Resource
from kubeopencode.kube import client


class _WithStatus(Protocol):
    @property
    def metadata(self) -> ObjectMeta: ...
    @property
    def status(self) -> msgspec.Struct: ...


T = TypeVar("T", bound=_WithStatus)


async def report(api: client.Client, resource: Resource[T], found: T, status: msgspec.Struct) -> T:
    """The object with this status. Writes only what differs, and only over the version that was looked at.

    Raises:
        kube.errors.Conflict: the object has changed since; look again before deciding.
    """
    change = difference(msgspec.to_builtins(found.status), msgspec.to_builtins(status))
    if not change:
        return found
    meta = found.metadata
    body: Json = {"metadata": {"resourceVersion": meta.resourceVersion}, "status": change}
    return await api.patch(resource, meta.name, body, meta.namespace, options=client.STATUS)


def difference(before: Json, after: Json) -> Json:
    """The merge patch that turns `before` into `after`."""
    change: Json = {name: None for name in before if name not in after}
    for name, value in after.items():
        old: Any = before.get(name)
        if isinstance(old, dict) and isinstance(value, dict):
            if inner := difference(old, value):  # pyright: ignore[reportUnknownArgumentType]  # JSON has no better type
                change[name] = inner
        elif old != value or name not in before:
            change[name] = value
    return change
