"""What the benchmarks share: parts that run in processes of their own, meters, tables.

A part is an async context manager that yields a function which says what it has counted so far. Its process answers
questions about its CPU seconds (user and system) and its resident memory between the steps of a benchmark.
"""

from __future__ import annotations

import asyncio
import cProfile
import multiprocessing
import resource
import statistics
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from kubeopencode.apiserver.server import ApiServer
from kubeopencode.apiserver.settings import Settings
from kubeopencode.apiserver.storage import Storage
from kubeopencode.runtime import manager

Counts = dict[str, int]
Part = Callable[..., AbstractAsyncContextManager[Callable[[], Counts]]]


@dataclass(frozen=True)
class Reading:
    """A process at one moment: CPU seconds since its start, resident MiB, what it has counted."""

    cpu: float
    resident: float
    counts: Counts = field(default_factory=dict)


def cpu() -> float:
    """CPU seconds of this process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def memory() -> float:
    """Resident MiB now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


class Process:
    """Parts that live together in one process. `read` it, `stop` it."""

    def __init__(self, parts: Sequence[tuple[Part, tuple[Any, ...]]], profile: str = "") -> None:
        self._pipe, theirs = multiprocessing.Pipe()
        context = multiprocessing.get_context("spawn")
        self._process = context.Process(target=_main, args=(theirs, parts, profile), daemon=True)
        self._process.start()
        theirs.close()
        self._pipe.recv()

    def read(self) -> Reading:
        """How it is now."""
        self._pipe.send("read")
        found: Reading = self._pipe.recv()
        return found

    def stop(self) -> None:
        """End it in order."""
        self._pipe.send("stop")
        self._process.join()


def _main(pipe: Connection, parts: Sequence[tuple[Part, tuple[Any, ...]]], profile: str) -> None:
    if not profile:
        asyncio.run(_live(pipe, parts))
        return
    profiler = cProfile.Profile()
    profiler.runcall(asyncio.run, _live(pipe, parts))
    profiler.dump_stats(profile)


async def _live(pipe: Connection, parts: Sequence[tuple[Part, tuple[Any, ...]]]) -> None:
    stopped = asyncio.Event()
    counters: list[Callable[[], Counts]] = []

    def answer() -> None:
        try:
            asked = pipe.recv()
        except EOFError:  # whoever measured is gone
            asked = "stop"
        if asked == "stop":
            asyncio.get_running_loop().remove_reader(pipe.fileno())
            stopped.set()
            return
        counts: Counts = {}
        for counted in counters:
            counts |= counted()
        pipe.send(Reading(cpu(), memory(), counts))

    async with AsyncExitStack() as stack:
        for part, arguments in parts:
            counters.append(await stack.enter_async_context(part(*arguments)))
        pipe.send("ready")
        asyncio.get_running_loop().add_reader(pipe.fileno(), answer)
        await stopped.wait()


@asynccontextmanager
async def api_server(folder: Path, disk: bool) -> AsyncIterator[Callable[[], Counts]]:
    """An API server on a Unix socket, with its journal on disk or with none, and the process set up as a plane's."""
    manager.collect_rarely()
    server = ApiServer(Storage.open(folder / "data") if disk else Storage.memory(), settings=Settings())
    await server.start()
    await server.listen_unix(socket(folder))
    try:
        yield dict
    finally:
        await server.stop()


def socket(folder: Path) -> Path:
    """Where the API server of a benchmark listens."""
    return folder / "api.sock"


async def together(work: Iterable[Callable[[], Awaitable[Any]]], concurrency: int) -> None:
    """Do all of it, so many at a time."""
    left = iter(work)

    async def hands() -> None:
        for each in left:
            await each()

    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(hands())


Row = Sequence[str | float]


def medians(runs: Sequence[Sequence[Row]]) -> list[list[str | float]]:
    """Several runs of one table as one: the median of every number."""
    made: list[list[str | float]] = []
    for rows in zip(*runs, strict=True):
        cells = zip(*rows, strict=True)
        made.append([c[0] if isinstance(c[0], str) else statistics.median(map(float, c)) for c in cells])
    return made


def table(title: str, head: Sequence[str], rows: Iterable[Row]) -> None:
    """Print numbers under headings; the first column is words."""
    sys.stdout.write(f"\n{title}\n{head[0]:34}" + "".join(f" {name:>14}" for name in head[1:]) + "\n")
    for row in rows:
        cells = (cell if isinstance(cell, str) else f"{cell:,.{2 if cell >= 1 else 3}f}" for cell in row[1:])
        sys.stdout.write(f"{row[0]:34}" + "".join(f" {cell:>14}" for cell in cells) + "\n")
    sys.stdout.flush()
