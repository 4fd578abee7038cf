"""The indexed cache of one collection: what the API server said last.

Every lookup is a dictionary access; nothing scans. Objects are shared and must not be changed. Only a reflector writes.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable, Collection, Hashable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from kubeopencode.api import meta

T = TypeVar("T", bound=meta.Object)

Index: TypeAlias = Callable[[T], Iterable[Hashable]]
"""The values under which an object is found."""


@dataclass(frozen=True)
class Change(Generic[T]):
    """What became of one object: `old` is None for a new one, `new` is None for one that is gone."""

    key: meta.Key
    old: T | None
    new: T | None


class Store(Generic[T]):
    """Objects by key, by namespace and by any index added with `add_index`.

    `version` is the resourceVersion up to which the store is complete, and `synced` is set once it held the whole
    collection for the first time.
    """

    def __init__(self) -> None:
        self.synced = asyncio.Event()
        self._objects: dict[meta.Key, T] = {}
        self._namespaces: dict[str, dict[meta.Key, T]] = {}
        self._indexes: dict[str, tuple[Index[T], dict[Hashable, dict[meta.Key, T]]]] = {}
        self._version = ""
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._count = itertools.count()

    def __len__(self) -> int:
        return len(self._objects)

    def __contains__(self, key: object) -> bool:
        return key in self._objects

    @property
    def version(self) -> str:
        """The newest resourceVersion seen."""
        return self._version

    def get(self, key: meta.Key) -> T | None:
        """The object, or None."""
        return self._objects.get(key)

    def list(self, namespace: str = "") -> list[T]:
        """The objects of a namespace; an empty namespace means all."""
        return list((self._namespaces.get(namespace, {}) if namespace else self._objects).values())

    def by_index(self, name: str, value: Hashable) -> list[T]:
        """The objects found under `value`. Raises `KeyError` for an index that was never added."""
        return list(self._indexes[name][1].get(value, {}).values())

    def add_index(self, name: str, index: Index[T]) -> None:
        """Find objects by what `index` says of them, now and later. Adding the same index again changes nothing.

        Raises `ValueError` when the name stands for another index.
        """
        if name in self._indexes:
            if self._indexes[name][0] is index:
                return
            raise ValueError(f'the store already has an index "{name}"; give this one another name')
        buckets: dict[Hashable, dict[meta.Key, T]] = {}
        self._indexes[name] = (index, buckets)
        for key, found in self._objects.items():
            for value in index(found):
                buckets.setdefault(value, {})[key] = found

    def put(self, found: T) -> Change[T]:
        """Keep an object, in place of an older one."""
        key = found.metadata.key
        old = self._objects.get(key)
        if old is not None:
            self._forget(key, old)
        self._objects[key] = found
        self._namespaces.setdefault(key.namespace, {})[key] = found
        for index, buckets in self._indexes.values():
            for value in index(found):
                buckets.setdefault(value, {})[key] = found
        return Change(key, old, found)

    def remove(self, key: meta.Key) -> Change[T] | None:
        """Drop an object; None when there was none."""
        old = self._objects.pop(key, None)
        if old is None:
            return None
        self._forget(key, old)
        return Change(key, old, None)

    def replace(self, objects: Iterable[T], keep: Collection[meta.Key] = ()) -> list[Change[T]]:
        """Hold exactly these objects, and those of `keep` as they are; says what differs, disappearances first."""
        fresh = {found.metadata.key: found for found in objects}
        gone = [key for key in self._objects if key not in fresh and key not in keep]
        changes = [change for key in gone if (change := self.remove(key)) is not None]
        for key, found in fresh.items():
            old = self._objects.get(key)
            if old is None or old.metadata.resourceVersion != found.metadata.resourceVersion:
                changes.append(self.put(found))
        return changes

    def advance(self, version: str) -> None:
        """Everything up to `version` has been seen; wakes whoever waits for it."""
        if not version:
            return
        self._version = version
        seen = _order(version)
        while self._waiting and self._waiting[0][0] <= seen:
            _, _, waiter = heapq.heappop(self._waiting)
            if not waiter.done():
                waiter.set_result(None)

    def has_seen(self, version: str) -> bool:
        """Whether the store is at least as new as `version`."""
        return _order(self._version) >= _order(version)

    async def reached(self, version: str) -> None:
        """Wait until the store is at least as new as `version`."""
        if self.has_seen(version):
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (_order(version), next(self._count), waiter))
        await waiter

    def _forget(self, key: meta.Key, old: T) -> None:
        members = self._namespaces[key.namespace]
        del members[key]
        if not members:
            del self._namespaces[key.namespace]
        for index, buckets in self._indexes.values():
            for value in index(old):
                bucket = buckets.get(value)
                if bucket is not None:
                    bucket.pop(key, None)
                    if not bucket:
                        del buckets[value]


def _order(version: str) -> int:
    """Versions grow as numbers (KEP-5504 made that a promise); what is no number is older than everything."""
    return int(version) if version.isdecimal() else -1
