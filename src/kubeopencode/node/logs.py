"""Reading container logs in CRI format: whole, the tail, from a moment on, and as they grow. Writes nothing."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

POLL_SECONDS = 0.1
"""How often a followed log is looked at."""


@dataclass(frozen=True)
class Entry:
    """One line, or a part of a long one."""

    stamp: str
    stream: str
    content: bytes

    @property
    def time(self) -> datetime:
        """When it was written; nanoseconds are cut to microseconds."""
        return datetime.fromisoformat(self.stamp[:26].rstrip("Z")).replace(tzinfo=UTC)


@dataclass(frozen=True)
class Selection:
    """Which lines to show, in the words of `pods/log`."""

    tail: int | None = None
    since: datetime | None = None
    timestamps: bool = False


class Reader:
    """A log that is read piece by piece while it grows and rotates."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._inode = 0
        self._position = 0

    def fresh(self) -> Iterator[Entry]:
        """The entries that came since the last call; the first call gives all."""
        older = self._path.with_name(self._path.name + ".1")
        current = _inode(self._path)
        if self._inode in (0, _inode(older)) and current != self._inode:
            yield from self._read(older, self._position)
            self._position = 0
        elif current != self._inode:
            self._position = 0
        self._inode = current
        yield from self._read(self._path, self._position)

    def _read(self, path: Path, start: int) -> Iterator[Entry]:
        self._position = start
        try:
            with path.open("rb") as handle:
                handle.seek(start)
                for line in handle:
                    if not line.endswith(b"\n"):
                        return
                    self._position += len(line)
                    if entry := parse(line[:-1]):
                        yield entry
        except FileNotFoundError:
            return


def parse(line: bytes) -> Entry | None:
    """One line of a CRI log; None for a line that is not one."""
    parts = line.split(b" ", 3)
    if len(parts) != 4 or parts[2] not in (b"F", b"P"):
        return None
    content = parts[3] if parts[2] == b"P" else parts[3] + b"\n"
    return Entry(parts[0].decode("ascii", "replace"), parts[1].decode("ascii", "replace"), content)


def entries(path: Path) -> Iterator[Entry]:
    """Every entry there is, the older file first."""
    return Reader(path).fresh()


def shown(found: Iterable[Entry], selection: Selection) -> Iterator[bytes]:
    """The lines somebody asked for, as bytes; a long line counts once."""
    chosen = (entry for entry in found if selection.since is None or entry.time >= selection.since)
    lines = _lines(chosen)
    return iter(deque(_formatted(lines, selection), maxlen=selection.tail))


async def follow(path: Path, selection: Selection, ended: Callable[[], bool]) -> AsyncIterator[bytes]:
    """What there is and what comes, until `ended` says that nothing comes any more."""
    reader = Reader(path)
    for line in shown(list(reader.fresh()), selection):
        yield line
    after = Selection(since=selection.since, timestamps=selection.timestamps)
    while True:
        # Asked before reading: what was written before the end is then sure to be read.
        over = ended()
        found = list(reader.fresh())
        for line in shown(found, after):
            yield line
        if over:
            return
        if not found:
            await asyncio.sleep(POLL_SECONDS)


def _lines(found: Iterable[Entry]) -> Iterator[Entry]:
    """Parts of a long line put together again."""
    parts: dict[str, list[Entry]] = {}
    for entry in found:
        begun = parts.setdefault(entry.stream, [])
        begun.append(entry)
        if entry.content.endswith(b"\n"):
            yield Entry(begun[0].stamp, entry.stream, b"".join(part.content for part in begun))
            begun.clear()
    for begun in parts.values():
        if begun:
            yield Entry(begun[0].stamp, begun[0].stream, b"".join(part.content for part in begun))


def _formatted(lines: Iterable[Entry], selection: Selection) -> Iterator[bytes]:
    for line in lines:
        yield line.stamp.encode() + b" " + line.content if selection.timestamps else line.content


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return 0
