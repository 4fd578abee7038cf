"""What the server knows: objects as JSON bytes with a small index, one sequence of versions, a bounded history.

No HTTP, no schemas. Every write goes to the journal first and to memory second, so a refused write changes nothing.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import msgspec

from kubeopencode.api.meta import Json, Key
from kubeopencode.apiserver import objects, status
from kubeopencode.apiserver.journal import Journal, Row

HISTORY = 10_000
"""How many changes a watch may resume over before it is told 410."""
HISTORY_BYTES = 64 * 1024 * 1024
"""How many bytes these changes may have; whichever bound is met first."""
RECENT = 256
"""Changes whose watch lines are kept made; a watcher further behind makes them again."""

_NOTHING: dict[str, str] = {}


class Record(msgspec.Struct, frozen=True, gc=False):
    """One object as it is kept: its JSON and what lists, watches and the garbage collector ask without decoding."""

    raw: bytes
    version: int
    uid: str
    labels: dict[str, str]
    fields: dict[str, str]
    owners: tuple[str, ...]


class Place(NamedTuple):
    """Where an object lives: its collection (`group/plural`) and its key there."""

    collection: str
    key: Key


class Change(msgspec.Struct):
    """One step of history; `previous` is None for a creation, `removed` says that `record` is the last state."""

    place: Place
    record: Record
    previous: Record | None
    removed: bool
    lines: dict[str, bytes] = msgspec.field(default_factory=dict[str, bytes])

    def line(self, kind: str) -> bytes:
        """The watch line of this change as ADDED, MODIFIED or DELETED; made once, shared by all watchers."""
        made = self.lines.get(kind)
        if made is None:
            made = self.lines[kind] = b'{"type":"%s","object":%s}\n' % (kind.encode(), self.record.raw)
        return made


Listener = Callable[[Change], None]


class Storage:
    """All objects of one server. Single-threaded: every method is one atomic step of the event loop."""

    def __init__(self, journal: Journal | None = None) -> None:
        self._journal = journal
        self._collections: dict[str, dict[str, dict[str, Record]]] = {}
        self._paths: dict[str, tuple[str, ...]] = {}
        self._uids: dict[str, Place] = {}
        self._dependents: dict[str, set[Place]] = {}
        self._history: deque[Change] = deque()
        self._history_bytes = 0
        self._versions: deque[int] = deque()
        self._listeners: list[Listener] = []
        self.version = 1
        if journal is not None:
            self._load(journal)
        self._forgotten = self.version

    @classmethod
    def memory(cls) -> Storage:
        """A storage that forgets everything when the process ends."""
        return cls()

    @classmethod
    def open(cls, directory: Path) -> Storage:
        """The storage of a data directory. Raises `journal.DirectoryInUseError` when another process serves it."""
        return cls(Journal(directory))

    def _load(self, journal: Journal) -> None:
        for row in journal.rows():
            place = Place(row.collection, Key(row.namespace, row.name))
            self._keep(place, self.record(row.collection, objects.decode(row.body), row.version, row.body))
        self.version = max(self.version, journal.version())

    def close(self) -> None:
        """Release the data directory."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    def listen(self, listener: Listener) -> None:
        """Call `listener` after every change; it must not block and must not write."""
        self._listeners.append(listener)

    def index(self, collection: str, paths: tuple[str, ...]) -> None:
        """Keep these field values beside each object, so that field selectors need not decode."""
        if self._paths.get(collection, ()) == paths:
            return
        self._paths[collection] = paths
        for namespace in self._collections.get(collection, {}).values():
            for name, record in namespace.items():
                namespace[name] = self.record(collection, objects.decode(record.raw), record.version, record.raw)

    def record(self, collection: str, obj: Json, version: int, raw: bytes) -> Record:
        """The record of an object whose JSON is `raw`."""
        meta = objects.metadata(obj)
        paths = self._paths.get(collection)
        fields = {path: objects.text_at(obj, tuple(path.split("."))) for path in paths} if paths else _NOTHING
        owners = tuple(str(owner.get("uid", "")) for owner in meta.get("ownerReferences") or ())
        return Record(raw, version, str(meta.get("uid", "")), meta.get("labels") or _NOTHING, fields, owners)

    def get(self, place: Place) -> Record | None:
        """The object at a place."""
        namespaces = self._collections.get(place.collection)
        if namespaces is None:
            return None
        names = namespaces.get(place.key.namespace)
        return names.get(place.key.name) if names is not None else None

    def walk(self, collection: str, namespace: str = "", after: Key | None = None) -> Iterator[tuple[Key, Record]]:
        """Objects of one collection in key order; an empty namespace means all of them."""
        namespaces = self._collections.get(collection, {})
        chosen = [namespace] if namespace else sorted(namespaces)
        for current in chosen:
            if after is not None and current < after.namespace:
                continue
            names = namespaces.get(current, {})
            ordered = sorted(names)
            start = bisect_right(ordered, after.name) if after is not None and current == after.namespace else 0
            for name in islice(ordered, start, None):
                yield Key(current, name), names[name]

    def counts(self) -> dict[str, int]:
        """How many objects each collection holds."""
        return {name: sum(len(names) for names in spaces.values()) for name, spaces in self._collections.items()}

    def collections(self) -> list[str]:
        """The names of all collections that ever held an object."""
        return list(self._collections)

    def by_uid(self, uid: str) -> Place | None:
        """Where the object with this uid lives."""
        return self._uids.get(uid)

    def dependents(self, uid: str) -> list[Place]:
        """The objects that name this uid as an owner."""
        return sorted(self._dependents.get(uid, ()))

    def put(self, place: Place, obj: Json) -> Record:
        """Create or replace an object; sets its resourceVersion. Raises Failure when the journal refuses."""
        version = self.version + 1
        objects.metadata(obj)["resourceVersion"] = str(version)
        raw = objects.encode(obj)
        if self._journal is not None:
            self._journal.put(Row(place.collection, place.key.namespace, place.key.name, version, raw))
        record = self.record(place.collection, obj, version, raw)
        previous = self._keep(place, record)
        self._remember(version, Change(place, record, previous, removed=False))
        return record

    def remove(self, place: Place, last: Json) -> Record | None:
        """Delete an object; `last` is its final state, which watchers are told. None when it is not there."""
        previous = self.get(place)
        if previous is None:
            return None
        version = self.version + 1
        objects.metadata(last)["resourceVersion"] = str(version)
        if self._journal is not None:
            self._journal.remove(place.collection, place.key.namespace, place.key.name, version)
        del self._collections[place.collection][place.key.namespace][place.key.name]
        self._unlink(place, previous)
        record = self.record(place.collection, last, version, objects.encode(last))
        self._remember(version, Change(place, record, previous, removed=True))
        return record

    def _keep(self, place: Place, record: Record) -> Record | None:
        names = self._collections.setdefault(place.collection, {}).setdefault(place.key.namespace, {})
        previous = names.get(place.key.name)
        names[place.key.name] = record
        if previous is not None and (previous.uid != record.uid or previous.owners != record.owners):
            self._unlink(place, previous)
        self._uids[record.uid] = place
        for owner in record.owners:
            self._dependents.setdefault(owner, set()).add(place)
        return previous

    def _unlink(self, place: Place, record: Record) -> None:
        self._uids.pop(record.uid, None)
        for owner in record.owners:
            known = self._dependents.get(owner)
            if known is not None:
                known.discard(place)
                if not known:
                    del self._dependents[owner]

    def _remember(self, version: int, change: Change) -> None:
        self.version = version
        self._history.append(change)
        self._versions.append(version)
        self._history_bytes += len(change.record.raw)
        while len(self._history) > HISTORY or self._history_bytes > HISTORY_BYTES:
            self._forgotten = self._versions.popleft()
            self._history_bytes -= len(self._history.popleft().record.raw)
        if len(self._history) > RECENT:
            self._history[-RECENT - 1].lines.clear()
        for listener in self._listeners:
            listener(change)

    def reaches(self, version: int) -> bool:
        """Whether the history still holds every change after `version`."""
        return version >= self._forgotten

    def since(self, version: int) -> list[Change]:
        """Every change after `version`. Raises Failure 410 when the history does not reach back that far."""
        if not self.reaches(version):
            raise status.too_old(version, self._forgotten)
        if version >= self.version:
            return []
        back = 0
        for known in reversed(self._versions):
            if known <= version:
                break
            back += 1
        return list(islice(self._history, len(self._history) - back, None))
