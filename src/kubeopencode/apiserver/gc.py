"""Garbage collection and the end of namespaces: what is deleted because something else was.

Objects whose owners are all gone are deleted; an owner under foreground deletion waits for its dependents; a
terminating namespace is emptied. Works through the same deletions as clients, in the background.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from kubeopencode.api.meta import Json, Key
from kubeopencode.apiserver import objects
from kubeopencode.apiserver.builtins import NAMESPACES
from kubeopencode.apiserver.deletion import FOREGROUND, ORPHAN, DeleteOptions, Deleter
from kubeopencode.apiserver.registry import Registry
from kubeopencode.apiserver.storage import Change, Place, Storage
from kubeopencode.apiserver.writes import Target, finished

BATCH = 50
"""Objects looked at before other requests get their turn."""


class Collector:
    """One background task that follows all changes; `start` also looks at everything stored."""

    def __init__(self, storage: Storage, registry: Registry, deleter: Deleter) -> None:
        self._storage = storage
        self._registry = registry
        self._deleter = deleter
        self._places: deque[Place] = deque()
        self._waiting: set[Place] = set()
        self._arrived = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        storage.listen(self._changed)

    def start(self) -> None:
        """Look at everything once, then follow changes."""
        for collection in self._storage.collections():
            for key, record in self._storage.walk(collection):
                if record.owners or collection == NAMESPACES or b'"deletionTimestamp"' in record.raw:
                    self._add(Place(collection, key))
        self._task = asyncio.create_task(self._run(), name="garbage collector")

    async def stop(self) -> None:
        """End the background task."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def _add(self, place: Place) -> None:
        if place not in self._waiting:
            self._waiting.add(place)
            self._places.append(place)
            self._arrived.set()

    def _changed(self, change: Change) -> None:
        place, record = change.place, change.record
        if change.removed:
            for dependent in self._storage.dependents(record.uid):
                self._add(dependent)
            for owner in record.owners:
                self._add_uid(owner)
            if place.key.namespace:
                self._add_terminating(place.key.namespace)
        elif record.owners or b'"deletionTimestamp"' in record.raw:
            self._add(place)

    def _add_uid(self, uid: str) -> None:
        place = self._storage.by_uid(uid)
        if place is not None:
            self._add(place)

    def _add_terminating(self, namespace: str) -> None:
        place = Place(NAMESPACES, Key("", namespace))
        record = self._storage.get(place)
        if record is not None and record.fields.get("status.phase") == "Terminating":
            self._add(place)

    async def _run(self) -> None:
        while True:
            while self._places:
                for _ in range(min(BATCH, len(self._places))):
                    place = self._places.popleft()
                    self._waiting.discard(place)
                    self._look(place)
                await asyncio.sleep(0)
            self._arrived.clear()
            await self._arrived.wait()

    def _look(self, place: Place) -> None:
        record = self._storage.get(place)
        kind = self._registry.stored(place.collection)
        if record is None or kind is None:
            return
        target = Target(kind, place.key.namespace, place.key.name)
        obj = objects.decode(record.raw)
        meta = objects.metadata(obj)
        if meta.get("deletionTimestamp"):
            if place.collection == NAMESPACES:
                self._empty(place, obj)
            elif set(meta.get("finalizers") or ()) & {FOREGROUND, ORPHAN}:
                self._finalize(target, record.uid, obj)
            return
        if record.owners and (owners := self._owners(place, meta)) is not None:
            self._deleter.delete(target, DeleteOptions(propagation=owners, uid=record.uid))

    def _owners(self, place: Place, meta: Json) -> str | None:
        """How to delete an object for its owners' sake; None when it stays."""
        foreground = False
        for owner in meta.get("ownerReferences") or ():
            found = self._storage.by_uid(str(owner.get("uid", "")))
            if found is None or found.key.namespace not in ("", place.key.namespace):
                continue
            record = self._storage.get(found)
            if record is None or b'"foregroundDeletion"' not in record.raw:
                return None
            foreground = True
        return "Foreground" if foreground else "Background"

    def _finalize(self, target: Target, uid: str, obj: Json) -> None:
        meta = objects.metadata(obj)
        held: list[Any] = list(meta.get("finalizers") or ())
        if ORPHAN in held:
            self._deleter.orphan(uid)
            held.remove(ORPHAN)
        if FOREGROUND in held:
            blocking = [place for place in self._storage.dependents(uid) if self._blocks(place, uid)]
            for place in self._storage.dependents(uid):
                self._add_if_alive(place)
            if not blocking:
                held.remove(FOREGROUND)
        if held == (meta.get("finalizers") or []):
            return
        meta["finalizers"] = held
        if not held:
            del meta["finalizers"]
        if finished(target.kind, obj):
            self._storage.remove(target.place, obj)
        else:
            self._storage.put(target.place, obj)

    def _add_if_alive(self, place: Place) -> None:
        record = self._storage.get(place)
        if record is not None and b'"deletionTimestamp"' not in record.raw:
            self._add(place)

    def _blocks(self, place: Place, uid: str) -> bool:
        record = self._storage.get(place)
        if record is None:
            return False
        owners = objects.metadata(objects.decode(record.raw)).get("ownerReferences") or ()
        return any(owner.get("uid") == uid and owner.get("blockOwnerDeletion") for owner in owners)

    def _empty(self, place: Place, obj: Json) -> None:
        """Delete what is in a terminating namespace; release it once nothing is left."""
        namespace, left = place.key.name, 0
        for collection in self._storage.collections():
            kind = self._registry.stored(collection)
            if kind is None or not kind.namespaced:
                continue
            for key, record in list(self._storage.walk(collection, namespace)):
                if b'"deletionTimestamp"' not in record.raw:
                    self._deleter.delete(Target(kind, namespace, key.name), DeleteOptions())
                left += self._storage.get(Place(collection, key)) is not None
        if left:
            return
        objects.section(obj, "spec").pop("finalizers", None)
        kind = self._registry.stored(NAMESPACES)
        if kind is not None and finished(kind, obj):
            self._storage.remove(place, obj)
        else:
            self._storage.put(place, obj)
