"""Keeps a store equal to a collection of the API server, whatever the watch goes through.

List once, then watch from the list's version. A watch that ends is opened again where it ended; a version that is too
old, however the server says so, means a new list, and the difference to the store is told as changes: so a deletion
that nobody saw is still a deletion. No answer of a server makes this loop hot: every failure without progress waits.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Generic, TypeAlias, TypeVar

from kubeopencode.api import meta
from kubeopencode.kube import client, errors
from kubeopencode.runtime import backoff, clock, store

log = logging.getLogger(__name__)

T = TypeVar("T", bound=meta.Object)

Handler: TypeAlias = Callable[[store.Change[T]], object]
"""Called for each change, after the store has it. Must not block and must not raise."""

STEADY_SECONDS = 5.0
"""A watch that lived so long is not a failure, even if it brought nothing."""


def whole(found: T) -> T:
    """The object as it is."""
    return found


@dataclass(frozen=True)
class Source(Generic[T]):
    """A collection to watch; equal sources share one reflector.

    `trim` drops what nobody will ask of the cache, so that it need not be kept ten thousand times.
    """

    resource: meta.Resource[T]
    namespace: str = ""
    labels: str = ""
    fields: str = ""
    trim: Callable[[T], T] = whole

    def holds(self, namespace: str, labels: Mapping[str, str]) -> bool:
        """Whether an object in that namespace with those labels surely belongs to the collection.

        Set-based label selectors and field selectors are not evaluated: of those nothing is sure.
        """
        if self.fields or (self.namespace and self.namespace != namespace):
            return False
        return all(_surely(term.strip(), labels) for term in self.labels.split(",") if term.strip())

    def __str__(self) -> str:
        """The collection in words, for logs and metrics."""
        return "/".join(part for part in (self.resource.plural, self.namespace, self.labels, self.fields) if part)


def _surely(term: str, labels: Mapping[str, str]) -> bool:
    """Whether one equality term of a label selector holds."""
    if term.startswith("!"):
        return term[1:].strip() not in labels
    name, operator, value = term.partition("!=")
    if operator:
        return labels.get(name.strip()) != value.strip()
    name, operator, value = term.replace("==", "=", 1).partition("=")
    if operator:
        return labels.get(name.strip()) == value.strip()
    return term in labels


@dataclass
class Counts:
    """What a reflector went through."""

    lists: int = 0
    watches: int = 0
    failures: int = 0
    events: int = 0


@dataclass
class Reflector(Generic[T]):
    """Fills `store` from `source`; `run` it in a task of its own."""

    client: client.Client
    source: Source[T]
    clock: clock.Clock = clock.SYSTEM
    idle_seconds: float = 90.0
    backoff: backoff.Backoff = field(default_factory=backoff.Backoff)
    store: store.Store[T] = field(default_factory=store.Store[T], init=False)
    counts: Counts = field(default_factory=Counts, init=False)
    last_error: str = field(default="", init=False)
    _handlers: list[Handler[T]] = field(default_factory=list[Handler[T]], init=False)

    def subscribe(self, handler: Handler[T]) -> None:
        """Tell `handler` of every change from now on, and of what the store already holds."""
        self._handlers.append(handler)
        for found in self.store.list():
            handler(store.Change(found.metadata.key, None, found))

    async def run(self) -> None:
        """Keep the store up to date until cancelled."""
        listed = False
        while True:
            started = self.clock.monotonic()
            try:
                if not listed:
                    await self._list()
                    listed = True
                await self._watch()
                self.last_error = ""
            except errors.Gone as error:
                # Not a failure of anybody; but a server that says it of every version must not be asked in a hot loop.
                listed = False
                self.last_error = str(error)
            except errors.KubeError as error:
                self._complain(error)
                if isinstance(error, errors.ApiError) and error.retry_after:
                    await clock.sleep(self.clock, error.retry_after)
            if self.clock.monotonic() - started >= STEADY_SECONDS:
                self.backoff.reset()
            await clock.sleep(self.clock, self.backoff.next())

    async def _list(self) -> None:
        self.counts.lists += 1
        source = self.source
        listing = await self.client.list(source.resource, source.namespace, labels=source.labels, fields=source.fields)
        if listing.skipped:
            log.warning("%s: %d objects do not fit their type and are ignored", source, len(listing.skipped))
        changes = self.store.replace(map(source.trim, listing.items), frozenset(listing.skipped))
        self.store.advance(listing.resource_version)
        self.store.synced.set()
        for change in changes:
            self._tell(change)

    async def _watch(self) -> None:
        self.counts.watches += 1
        async with aclosing(self._events()) as events:
            async for event in events:
                if event.type == "BOOKMARK":
                    self.store.advance(event.resource_version)
                    continue
                self.backoff.reset()
                self.counts.events += 1
                change = self._apply(event)
                self.store.advance(event.resource_version)
                if change is not None:
                    self._tell(change)

    def _events(self) -> AsyncGenerator[client.Event[T], None]:
        source = self.source
        return self.client.watch(
            source.resource,
            source.namespace,
            since=self.store.version,
            selectors=client.Selectors(source.labels, source.fields),
            idle=self.idle_seconds,
        )

    def _apply(self, event: client.Event[T]) -> store.Change[T] | None:
        if event.type == "DELETED":
            return self.store.remove(event.key)
        return self.store.put(self.source.trim(event.object)) if event.object is not None else None

    def _tell(self, change: store.Change[Any]) -> None:
        for handler in self._handlers:
            try:
                handler(change)
            except Exception:
                # One poisoned object or one bad mapping must not stop the stream for everybody else.
                log.exception("%s %s: a handler failed", self.source, change.key)

    def _complain(self, error: errors.KubeError) -> None:
        """Say each trouble once, not at every attempt."""
        self.counts.failures += 1
        if str(error) != self.last_error:
            log.warning("%s: %s", self.source, error)
        self.last_error = str(error)
