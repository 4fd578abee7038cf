"""Read your own writes: a key is not looked at again before the cache shows what we last did for it.

While a reconcile runs, every write that the client makes is noted under its key. The next reconcile of that key first
waits until the stores concerned have seen those versions, for a bounded time: a store may be filtered and never will.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeAlias

import msgspec

from kubeopencode.api import meta
from kubeopencode.kube import transport
from kubeopencode.runtime import clock, store

_Owner: TypeAlias = tuple[str, meta.Key]

_current: ContextVar[_Owner | None] = ContextVar("reconciled", default=None)


class _Meta(msgspec.Struct, frozen=True):
    resourceVersion: str = ""


class _Written(msgspec.Struct, frozen=True):
    metadata: _Meta = _Meta()


_DECODER = msgspec.json.Decoder(_Written)


class Expectations:
    """The writes whose effects are still to be seen, by controller and key."""

    def __init__(self, time: clock.Clock = clock.SYSTEM) -> None:
        self._clock = time
        self._stores: dict[str, list[store.Store[Any]]] = {}
        self._expected: dict[_Owner, dict[str, str]] = {}

    def follow(self, resource: meta.Resource[Any], cache: store.Store[Any]) -> None:
        """Writes to `resource` will show in `cache`."""
        self._stores.setdefault(_name(resource), []).append(cache)

    @contextmanager
    def recording(self, controller: str, key: meta.Key) -> Generator[None, None, None]:
        """Note every write of the body under `key`."""
        token = _current.set((controller, key))
        try:
            yield
        finally:
            _current.reset(token)

    async def observe(self, request: transport.Request, send: transport.Transport) -> transport.Answer:
        """The middleware that notes writes."""
        answer = await send(request)
        owner = _current.get()
        # A deleted object's version says when it was written, not when it went.
        noted = request.writes and request.verb != "delete" and answer.status < 300
        if owner is not None and noted and request.resource in self._stores:
            self.expect(owner[0], owner[1], request.resource, _version(answer.body))
        return answer

    def expect(self, controller: str, key: meta.Key, resource: str, version: str) -> None:
        """The stores of `resource` must have seen `version` before `key` is reconciled again."""
        if version.isdecimal():
            waits = self._expected.setdefault((controller, key), {})
            waits[resource] = max(waits.get(resource, "0"), version, key=int)

    async def settle(self, controller: str, key: meta.Key, seconds: float) -> bool:
        """Wait until everything expected of `key` has been seen; False when it was not seen in time."""
        waits = self._expected.pop((controller, key), None)
        if not waits:
            return True
        pending = [
            (cache, version)
            for resource, version in waits.items()
            for cache in self._stores.get(resource, ())
            if not cache.has_seen(version)
        ]
        if not pending:
            return True
        try:
            async with clock.timeout(self._clock, seconds):
                await asyncio.gather(*(cache.reached(version) for cache, version in pending))
        except TimeoutError:
            return False
        return True

    @property
    def pending(self) -> Mapping[_Owner, Mapping[str, str]]:
        """What has been written and not yet waited for."""
        return self._expected


def _name(resource: meta.Resource[Any]) -> str:
    return f"{resource.plural}.{resource.group}" if resource.group else resource.plural


def _version(body: bytes) -> str:
    try:
        return _DECODER.decode(body).metadata.resourceVersion
    except msgspec.MsgspecError:
        return ""
