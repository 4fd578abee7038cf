"""How much the runtime costs: list, watch, two indexes, queue and reconciles, against a server in another process.

    python bench/runtime.py --objects 10000 --events 20000

Prints CPU seconds of this process alone (the server has its own) and its resident memory.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from kubeopencode.api import core, meta
from kubeopencode.kube import client, config
from kubeopencode.runtime import controller, manager, outcome, reflector

PAGE = 500


def pod(number: int, version: int) -> dict[str, Any]:
    """A Pod of about 3.5 KB, as a server sends it."""
    owner = {"apiVersion": "example.org/v1", "kind": "Task", "name": f"task-{number}", "uid": f"uid-task-{number}"}
    managed = {"manager": "controller", "operation": "Update", "fieldsV1": {f"f:field-{n}": {} for n in range(60)}}
    environment = [{"name": f"NAME_{n}", "value": f"value number {n}"} for n in range(40)]
    kinds = ("Initialized", "Ready", "ContainersReady")
    conditions = [{"type": kind, "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"} for kind in kinds]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"task-{number}-pod",
            "namespace": f"team-{number % 20}",
            "uid": f"uid-{number}",
            "resourceVersion": str(version),
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {"app": "task", "agent": f"agent-{number % 50}"},
            "ownerReferences": [{**owner, "controller": True}],
            "managedFields": [managed],
        },
        "spec": {"containers": [{"name": "agent", "image": "example.org/agent:1", "env": environment}]},
        "status": {"phase": "Running", "podIP": "10.0.0.1", "conditions": conditions},
    }


def encoded(number: int, version: int) -> bytes:
    """One Pod as it travels."""
    return json.dumps(pod(number, version), separators=(",", ":")).encode()


class Server:
    """Bytes prepared beforehand, sent as fast as the other side reads."""

    def __init__(self, objects: int, events: int) -> None:
        self.pages = [self._page(start, objects) for start in range(0, objects, PAGE)]
        moves = (encoded(number % objects, objects + number + 1) for number in range(events))
        self.lines = b"".join(b'{"type":"MODIFIED","object":' + move + b"}\n" for move in moves)

    @staticmethod
    def _page(start: int, objects: int) -> bytes:
        end = min(start + PAGE, objects)
        items = b",".join(encoded(number, number + 1) for number in range(start, end))
        more = f',"continue":"{end // PAGE}"' if end < objects else ""
        head = f'{{"kind":"PodList","metadata":{{"resourceVersion":"{objects}"{more}}},"items":['
        return head.encode() + items + b"]}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while request := await reader.readuntil(b"\r\n\r\n"):
                target = request.split(b" ", 2)[1].decode()
                if "watch=1" in target:
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n")
                    for start in range(0, len(self.lines), 1 << 16):
                        writer.write(self.lines[start : start + (1 << 16)])
                        await writer.drain()
                    await reader.read()
                    return
                page = int(target.partition("continue=")[2].partition("&")[0] or 0)
                body = self.pages[page]
                head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
                writer.write(head.encode() + body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def serve(socket: str, objects: int, events: int) -> None:
    """The server process."""

    async def run() -> None:
        server = Server(objects, events)
        listening = await asyncio.start_unix_server(server.serve, socket)
        await listening.serve_forever()

    asyncio.run(run())


def by_agent(found: core.Pod) -> Iterable[str]:
    """The first index."""
    return (found.metadata.labels["agent"],)


def by_owner(found: core.Pod) -> Iterable[str]:
    """The second index."""
    return (found.metadata.controller.uid,) if found.metadata.controller else ()


def cpu() -> float:
    """CPU seconds of this process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def memory() -> float:
    """Resident MiB now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


async def measure(socket: Path, objects: int, events: int) -> list[tuple[str, float, float, float]]:
    """(what, wall seconds, CPU seconds, resident MiB) for the list and for the watch."""
    rows: list[tuple[str, float, float, float]] = []
    source = reflector.Source(core.PODS)
    async with client.Client(config.local_socket(socket)) as connection:
        found = manager.Manager(connection)
        cache = found.store(source)
        cache.add_index("agent", by_agent)
        cache.add_index("owner", by_owner)
        reconciled: set[meta.Key] = set()
        count = 0

        async def reconcile(key: meta.Key) -> outcome.Outcome:
            nonlocal count
            count += 1
            reconciled.add(key)
            live = cache.get(key)
            if live is not None and live.metadata.controller is not None:
                cache.by_index("owner", live.metadata.controller.uid)
            return outcome.DONE

        work = controller.Controller(
            "bench", reconcile, watches=[controller.Watch(source)], tuning=controller.Tuning(workers=16)
        )
        found.add(work)
        start = (time.perf_counter(), cpu())
        task = asyncio.create_task(found.run())
        await cache.synced.wait()
        rows.append((f"list {objects}", time.perf_counter() - start[0], cpu() - start[1], memory()))
        start = (time.perf_counter(), cpu())
        while cache.version != str(objects + events) or len(work.queue) or len(reconciled) < objects:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        label = f"{events} events, {count} reconciles"
        rows.append((label, time.perf_counter() - start[0], cpu() - start[1], memory()))
        found.stop()
        await task
    return rows


def main() -> int:
    """Run once and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=10_000)
    parser.add_argument("--events", type=int, default=20_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        socket = Path(directory) / "api.sock"
        server = multiprocessing.get_context("spawn").Process(
            target=serve, args=(str(socket), options.objects, options.events), daemon=True
        )
        server.start()
        while not socket.exists():
            time.sleep(0.05)
        rows = asyncio.run(measure(socket, options.objects, options.events))
        server.terminate()
        server.join()
    size = len(encoded(0, 1))
    sys.stdout.write(f"{options.objects} objects of {size} bytes\n")
    sys.stdout.write(f"{'what':40} {'wall s':>8} {'CPU s':>8} {'RSS MiB':>8}\n")
    for what, wall, used, resident in rows:
        sys.stdout.write(f"{what:40} {wall:8.2f} {used:8.2f} {resident:8.0f}\n")
    sys.stdout.write(f"{'together':40} {sum(row[1] for row in rows):8.2f} {sum(row[2] for row in rows):8.2f}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
