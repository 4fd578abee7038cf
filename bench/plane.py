"""What the API server costs: creates, gets, status patches, lists and watches, with the server in a process of its own.

    python bench/plane.py                   # three runs, medians, journal on disk
    python bench/plane.py --memory          # the same without a journal
    python bench/plane.py --quick           # a tenth of everything, once

One client process sends requests through our own client over a Unix socket, 16 at a time. `server ms` and `client ms`
are CPU (user and system) of the two processes per request; wall time depends on what else the machine does. Tasks pass
a CustomResourceDefinition's schema with its CEL rules, Pods (about 3.5 KB) the built-in checks. Lists are read as bytes
and not decoded. Watchers count lines in a process of their own; their row says how many events a second reached all of
them and how many microseconds of the server's CPU one delivery took, the write included.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import stage

from kubeopencode import wiring
from kubeopencode.api import core, kinds
from kubeopencode.api.meta import Json, Resource
from kubeopencode.kube import client, config

NAMESPACE = "default"
CONCURRENCY = 16
WATCHERS = (1, 10, 100)


@dataclass(frozen=True)
class Size:
    """How much of everything is done."""

    objects: int = 10_000
    requests: int = 2_000
    events: int = 1_000

    def tenth(self) -> Size:
        return Size(self.objects // 10, self.requests // 10, self.events // 10)


class Meter:
    """Runs work against the server and notes what it cost."""

    def __init__(self, server: stage.Process) -> None:
        self._server = server
        self.rows: list[stage.Row] = []

    async def run(self, label: str, work: Iterable[Callable[[], Awaitable[Any]]], count: int, lanes: int) -> None:
        there, here, started = self._server.read().cpu, stage.cpu(), time.perf_counter()
        await stage.together(work, lanes)
        wall, here = time.perf_counter() - started, stage.cpu() - here
        there = self._server.read().cpu - there
        self.rows.append((label, count, wall, count / wall, there / count * 1000, here / count * 1000))


def task(number: int) -> Json:
    """A Task as people write them."""
    spec = {"description": "Mend the failing test and say what was wrong.", "agentRef": {"name": "worker"}}
    return {"metadata": {"name": f"task-{number}", "labels": {"team": f"team-{number % 20}"}}, "spec": spec}


def pod(number: int) -> Json:
    """A Pod that is stored in about 3.5 KB."""
    environment = [{"name": f"NAME_{n}", "value": f"value number {n} of {number}"} for n in range(18)]
    container = {"name": "agent", "image": "example.org/agent:1", "env": environment}
    return {"metadata": {"name": f"pod-{number}", "labels": {"app": "agent"}}, "spec": {"containers": [container]}}


async def requests(api: client.Client, meter: Meter, size: Size) -> None:
    """Creates, gets and status patches of Tasks and of Pods."""
    cases: tuple[tuple[Resource[Any], Callable[[int], Json], str], ...] = (
        (kinds.TASKS, task, "task"),
        (core.PODS, pod, "pod"),
    )
    for resource, body, prefix in cases:
        names = [f"{prefix}-{n}" for n in range(size.requests)]
        running = {"status": {"phase": "Running"}}
        creates = [functools.partial(api.create, resource, body(n), NAMESPACE) for n in range(size.requests)]
        gets = [functools.partial(api.get, resource, name, NAMESPACE) for name in names]
        patches = [
            functools.partial(api.patch, resource, name, running, NAMESPACE, options=client.STATUS) for name in names
        ]
        for verb, work in (("create", creates), ("get", gets), ("patch status", patches)):
            await meter.run(f"{verb} {resource.kind}", work, size.requests, CONCURRENCY)


async def lists(api: client.Client, meter: Meter, size: Size) -> None:
    """All Pods in one answer and in pages of 500; the row counts objects, not requests."""
    missing = range(size.requests, size.objects)
    await stage.together((functools.partial(api.create, core.PODS, pod(n), NAMESPACE) for n in missing), CONCURRENCY)
    path = core.PODS.path(NAMESPACE)
    whole = await api.request("GET", path)
    sys.stdout.write(f"{size.objects} Pods of {len(whole) // size.objects} bytes\n")

    async def pages() -> None:
        token = ""
        while True:
            query = {"limit": "500"} | ({"continue": token} if token else {})
            page = msgspec.json.decode(await api.request("GET", path, query=query), type=_Page)
            token = page.metadata.token
            if not token:
                return

    await meter.run("list, one answer (objects)", [functools.partial(api.request, "GET", path)], size.objects, 1)
    await meter.run("list, pages of 500 (objects)", [pages], size.objects, 1)


class _ListMeta(msgspec.Struct):
    version: str = msgspec.field(name="resourceVersion", default="")
    token: str = msgspec.field(name="continue", default="")


class _Page(msgspec.Struct):
    metadata: _ListMeta


@asynccontextmanager
async def watchers(folder: Path, number: int) -> AsyncIterator[Callable[[], stage.Counts]]:
    """So many watches of all ConfigMaps, which count lines and look at nothing."""
    seen = 0

    async def follow(session: aiohttp.ClientSession, since: str, opened: asyncio.Event) -> None:
        nonlocal seen
        async with session.get(f"http://api/api/v1/configmaps?watch=1&resourceVersion={since}") as response:
            opened.set()
            async for chunk in response.content.iter_any():
                seen += chunk.count(b"\n")

    connector = aiohttp.UnixConnector(str(stage.socket(folder)), limit=0)
    endless = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(connector=connector, timeout=endless) as session, asyncio.TaskGroup() as group:
        async with session.get("http://api/api/v1/configmaps?limit=1") as response:
            since = msgspec.json.decode(await response.read(), type=_Page).metadata.version
        opened = [asyncio.Event() for _ in range(number)]
        running = [group.create_task(follow(session, since, each)) for each in opened]
        await asyncio.gather(*(each.wait() for each in opened))
        yield lambda: {"seen": seen}
        for each in running:
            each.cancel()


async def fan_out(folder: Path, server: stage.Process, size: Size) -> list[stage.Row]:
    """Writes of one ConfigMap after another until every watcher has seen each."""
    rows: list[stage.Row] = []
    async with client.Client(config.local_socket(stage.socket(folder))) as api:
        text = {"content": "x" * 1000}
        for number in WATCHERS:
            name = f"told-to-{number}"
            listening = stage.Process([(watchers, (folder, number))])
            already = listening.read().counts["seen"]
            bodies = [{"metadata": {"name": f"{name}-{n}"}, "data": text} for n in range(size.events)]
            before, started = server.read().cpu, time.perf_counter()
            calls = (functools.partial(api.create, core.CONFIGMAPS, each, NAMESPACE) for each in bodies)
            await stage.together(calls, CONCURRENCY)
            wanted = size.events * number
            while listening.read().counts["seen"] - already < wanted:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            wall, used = time.perf_counter() - started, server.read().cpu - before
            listening.stop()
            label = f"{number} watchers" if number > 1 else "1 watcher"
            rows.append((label, size.events / wall, wanted / wall, used * 1e6 / wanted, used * 1000 / size.events))
    return rows


def measure(size: Size, disk: bool, profile: str) -> tuple[list[stage.Row], list[stage.Row], list[stage.Row]]:
    """One run with a server of its own."""
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        server = stage.Process([(stage.api_server, (folder, disk))], profile)
        start = server.read().resident
        meter = Meter(server)

        async def work() -> list[stage.Row]:
            async with client.Client(config.local_socket(stage.socket(folder))) as api:
                await wiring.install_definitions(api)
                await requests(api, meter, size)
                await lists(api, meter, size)
            return await fan_out(folder, server, size)

        told = asyncio.run(work())
        memories: list[stage.Row] = [("API server", start, server.read().resident)]
        server.stop()
    return meter.rows, told, memories


def main() -> int:
    """Run and print three tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--memory", action="store_true", help="no journal")
    parser.add_argument("--quick", action="store_true", help="a tenth of everything, once")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--profile", default="", help="write a profile of the server there")
    options = parser.parse_args()
    size, repeat = (Size().tenth(), 1) if options.quick else (Size(), options.repeat)
    runs = [measure(size, not options.memory, options.profile) for _ in range(repeat)]
    rows, told, memories = (stage.medians([run[n] for run in runs]) for n in range(3))
    where = "no journal" if options.memory else "journal on disk"
    head = ("", "count", "wall s", "a second", "server ms", "client ms")
    stage.table(f"Requests, {CONCURRENCY} at a time, {where}", head, rows)
    head = ("", "events/s", "deliveries/s", "us a delivery", "ms an event")
    stage.table(f"{size.events} events of 1 KB to all watchers", head, told)
    stage.table("Resident MiB", ("", "empty", "at the end"), memories)
    return 0


if __name__ == "__main__":
    sys.exit(main())
