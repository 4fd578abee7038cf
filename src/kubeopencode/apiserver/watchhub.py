"""Watches: every change goes to whoever selected it, once encoded, never waited for.

A watcher that does not read is cut off when its queue is full; it resumes from its last version like after any other
lost connection. This module knows no HTTP: `watching` writes the lines.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from kubeopencode.apiserver.selectors import Selector
from kubeopencode.apiserver.storage import Change, Storage

QUEUE = 8_192
"""Undelivered changes after which a watcher is too slow."""


class Watcher:
    """One open watch: what it selected and what it has not read yet."""

    def __init__(self, collection: str, namespace: str, selector: Selector) -> None:
        self.collection = collection
        self._namespace = namespace
        self._selector = selector
        self._queue: deque[tuple[str, Change]] = deque()
        self._arrived = asyncio.Event()
        self.closed = False
        self.on_cut: Callable[[], None] | None = None
        """Called when the watcher is cut off while its connection may be stuck in a write."""

    def kind_of(self, change: Change) -> str:
        """ADDED, MODIFIED or DELETED as this watcher sees the change; empty when it does not concern it."""
        key = change.place.key
        if self._namespace and key.namespace != self._namespace:
            return ""
        previous = change.previous
        if not self._selector:
            return "DELETED" if change.removed else "MODIFIED" if previous is not None else "ADDED"
        matches = self._selector.matches
        before = previous is not None and matches(key, previous.labels, previous.fields)
        after = not change.removed and matches(key, change.record.labels, change.record.fields)
        if after:
            return "MODIFIED" if before else "ADDED"
        return "DELETED" if before else ""

    def offer(self, change: Change) -> None:
        """Queue a change if it concerns this watcher; never blocks."""
        if self.closed or not (kind := self.kind_of(change)):
            return
        if len(self._queue) >= QUEUE:
            self.close()
            return
        self._queue.append((kind, change))
        self._arrived.set()

    def close(self) -> None:
        """End the watch from the server's side."""
        self.closed = True
        self._queue.clear()
        self._arrived.set()
        if self.on_cut is not None:
            self.on_cut()

    async def take(self, seconds: float) -> list[tuple[str, Change]]:
        """What arrived, waiting up to `seconds` for a first change."""
        if not self._queue and not self.closed:
            self._arrived.clear()
            try:
                async with asyncio.timeout(seconds):
                    await self._arrived.wait()
            except TimeoutError:
                return []
        taken = list(self._queue)
        self._queue.clear()
        return taken


class WatchHub:
    """All open watches of one server."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._watchers: dict[str, set[Watcher]] = {}
        storage.listen(self._publish)

    def _publish(self, change: Change) -> None:
        for watcher in tuple(self._watchers.get(change.place.collection, ())):
            watcher.offer(change)

    def open(self, watcher: Watcher, since: int) -> None:
        """Start a watch after version `since`. Raises Failure 410 when history does not reach back."""
        for change in self._storage.since(since):
            if change.place.collection == watcher.collection:
                watcher.offer(change)
        self._watchers.setdefault(watcher.collection, set()).add(watcher)

    def drop(self, watcher: Watcher) -> None:
        """End a watch from the client's side."""
        self._watchers.get(watcher.collection, set()).discard(watcher)

    def close(self) -> None:
        """End every watch."""
        for watchers in self._watchers.values():
            for watcher in tuple(watchers):
                watcher.close()

    def close_collection(self, collection: str) -> None:
        """End the watches of a kind that no longer exists."""
        for watcher in tuple(self._watchers.get(collection, ())):
            watcher.close()

    def count(self) -> int:
        """How many watches are open."""
        return sum(len(watchers) for watchers in self._watchers.values())
