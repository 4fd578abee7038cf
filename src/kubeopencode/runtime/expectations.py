"""Read your own writes: a key is not looked at again before the cache shows what we last did for it.

While a reconcile runs, every write that the client makes is noted under its key. The next reconcile of that key first
waits until the stores that will show them have seen those versions, for a bounded time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeAlias

import msgspec

from kubeopencode.api import meta
from kubeopencode.kube import transport
from kubeopencode.runtime import clock, reflector, store

_Owner: TypeAlias = tuple[str, meta.Key]

_current: ContextVar[_Owner | None] = ContextVar("reconciled", default=None)


class _Meta(msgspec.Struct, frozen=True):
    namespace: str = ""
    resourceVersion: str = ""
    labels: dict[str, str] = {}


class _Written(msgspec.Struct, frozen=True):
    metadata: _Meta = _Meta()


_DECODER = msgspec.json.Decoder(_Written)


class Expectations:
    """The writes whose effects are still to be seen, by controller and key."""

    def __init__(self, time: clock.Clock = clock.SYSTEM) -> None:
        self._clock = time
        self._stores: dict[str, list[tuple[reflector.Source[Any], store.Store[Any]]]] = {}
        self._expected: dict[_Owner, list[tuple[store.Store[Any], str]]] = {}

    def follow(self, source: reflector.Source[Any], cache: store.Store[Any]) -> None:
        """Writes to objects of `source` will show in `cache`."""
        self._stores.setdefault(_name(source.resource), []).append((source, cache))

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
            self._note(owner, request.resource, _written(answer.body))
        return answer

    def _note(self, owner: _Owner, resource: str, written: _Meta) -> None:
        if not written.resourceVersion.isdecimal():
            return
        for source, cache in self._stores[resource]:
            # A store that will never hold the object must not be waited for.
            if source.holds(written.namespace, written.labels) and not cache.has_seen(written.resourceVersion):
                self._expected.setdefault(owner, []).append((cache, written.resourceVersion))

    async def settle(self, controller: str, key: meta.Key, seconds: float) -> bool:
        """Wait until everything expected of `key` has been seen; False when it was not seen in time."""
        noted = self._expected.pop((controller, key), ())
        pending = [(cache, version) for cache, version in noted if not cache.has_seen(version)]
        if not pending:
            return True
        try:
            async with clock.timeout(self._clock, seconds):
                await asyncio.gather(*(cache.reached(version) for cache, version in pending))
        except TimeoutError:
            return False
        return True

    @property
    def pending(self) -> int:
        """How many keys have writes that were not waited for yet."""
        return len(self._expected)


def _name(resource: meta.Resource[Any]) -> str:
    return f"{resource.plural}.{resource.group}" if resource.group else resource.plural


def _written(body: bytes) -> _Meta:
    try:
        return _DECODER.decode(body).metadata
    except msgspec.MsgspecError:
        return _Meta()
