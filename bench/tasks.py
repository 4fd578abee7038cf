"""What a Task costs from its creation to its end: API server, controllers and kubelet, without a single process.

    python bench/tasks.py                                  # all three scenarios, three runs each, medians
    python bench/tasks.py --scenario template --tasks 10000 --repeat 1          # memory of many finished Tasks

`template`: trivial Tasks of an AgentTemplate. `queue`: Tasks of one Agent that takes 50 at a time. `attached`: Tasks
handed to an Agent's live server that is ready. The API server keeps its journal on disk and listens on a Unix socket.
Pods end at once: in the row `one process`, which is what `kubeoc up` runs, by the real node with a pretended runner; in
the rows of `three processes` by a stub of a kubelet that writes one status, so that each share can be told apart.

CPU is user and system time of each process, per Task; wall time depends on what else the machine does. Requests are
counted by a middleware in the controllers' client: `writes` are creates, patches and deletes other than Events (which
are limited in rate, not by the number of Tasks), `reads` are gets; lists and watches of the caches do not count.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import stage

from kubeopencode import wiring
from kubeopencode.api import core, kinds, workloads
from kubeopencode.api.meta import Json, Key
from kubeopencode.api.task import FINISHED
from kubeopencode.kube import client, config, transport
from kubeopencode.node import embedded, pretend
from kubeopencode.node.runner import Launch
from kubeopencode.render import task as render
from kubeopencode.runtime import controller, manager, outcome, reflector

API = f"{kinds.GROUP}/v1alpha1"
NAMESPACE = "default"
DEFAULTS = {"template": 1000, "queue": 500, "attached": 500}
ENDED = {"exitCode": 0, "reason": "Completed"}


class Tally:
    """Counts a client's requests by verb and resource."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()

    async def count(self, request: transport.Request, send: transport.Transport) -> transport.Answer:
        self.seen[f"{request.verb} {request.resource}"] += 1
        return await send(request)


@asynccontextmanager
async def operator(folder: Path) -> AsyncIterator[Callable[[], stage.Counts]]:
    """Our controllers."""
    tally = Tally()
    async with client.Client(config.local_socket(stage.socket(folder))) as api:
        await wiring.install_definitions(api)
        made = wiring.Operator(api.through(tally.count), wiring.OperatorSettings(b"key"))
        running = asyncio.create_task(made.run())
        yield lambda: dict(tally.seen)
        made.stop()
        await running


def fate(launch: Launch) -> pretend.Fate:
    """Containers end at once; the one that collects outputs runs beside the agent until it is told to stop."""
    return pretend.Fate(None if launch.id.name == render.RECORDER else 0.0)


@asynccontextmanager
async def node(folder: Path) -> AsyncIterator[Callable[[], stage.Counts]]:
    """The real node over containers that are pretended to end at once."""
    async with client.Client(config.local_socket(stage.socket(folder))) as api:
        runner = pretend.PretendRunner(fate)
        settings = embedded.NodeSettings(folder / "node", opencode=Path("/bin/true"), runner=runner)
        made = embedded.Node(api, settings)
        await made.start()
        yield dict
        await made.stop()


@asynccontextmanager
async def stub(folder: Path) -> AsyncIterator[Callable[[], stage.Counts]]:
    """The least that a kubelet does: one status for each Pod, which has ended, and one for each Deployment."""
    async with client.Client(config.local_socket(stage.socket(folder))) as api:
        made = manager.Manager(api)
        pods, deployments = reflector.Source(core.PODS), reflector.Source(workloads.DEPLOYMENTS)

        async def end(key: Key) -> outcome.Outcome:
            found = made.store(pods).get(key)
            if found is not None and found.status.phase in ("", "Pending"):
                state = {"name": "agent", "state": {"terminated": ENDED}, "image": "x", "imageID": "", "ready": False}
                status = {"phase": "Succeeded", "containerStatuses": [state | {"restartCount": 0}]}
                await api.patch(core.PODS, key.name, {"status": status}, key.namespace, options=client.STATUS)
            return outcome.DONE

        async def ready(key: Key) -> outcome.Outcome:
            found = made.store(deployments).get(key)
            if found is not None and not found.status.readyReplicas:
                one = dict.fromkeys(("replicas", "readyReplicas", "availableReplicas", "updatedReplicas"), 1)
                options = client.STATUS
                await api.patch(workloads.DEPLOYMENTS, key.name, {"status": one}, key.namespace, options=options)
            return outcome.DONE

        made.add(controller.Controller("pods", end, watches=[controller.Watch(pods)]))
        made.add(controller.Controller("deployments", ready, watches=[controller.Watch(deployments)]))
        running = asyncio.create_task(made.run())
        yield dict
        made.stop()
        await running


def body(kind: str, name: str, **spec: Any) -> Json:
    return {"apiVersion": API, "kind": kind, "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec}


async def prepare(api: client.Client, scenario: str) -> Json:
    """Whoever does the work, ready; the spec of a Task for it."""
    if scenario == "template":
        await api.create(kinds.AGENTTEMPLATES, body("AgentTemplate", "plain"), NAMESPACE)
        return {"description": "do it", "templateRef": {"name": "plain"}}
    spec: Json = {"command": ["sh", "-c", "true"], "maxConcurrentTasks": 50} if scenario == "queue" else {}
    await api.create(kinds.AGENTS, body("Agent", "worker", **spec), NAMESPACE)
    async with asyncio.timeout(30):
        while scenario == "attached" and not (await api.get(kinds.AGENTS, "worker", NAMESPACE)).status.ready:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return {"description": "do it", "agentRef": {"name": "worker"}}


async def run_tasks(folder: Path, spec: Json, number: int) -> tuple[float, int]:
    """Create so many Tasks, 16 at a time, and wait for the last to end; wall seconds and how many did not complete."""
    async with client.Client(config.local_socket(stage.socket(folder))) as api, asyncio.TaskGroup() as group:
        store = reflector.Reflector(api, reflector.Source(kinds.TASKS))
        ended: dict[str, str] = {}
        done = asyncio.Event()

        def look(change: Any) -> None:
            if change.new is not None and change.new.status.phase in FINISHED:
                ended[change.new.metadata.name] = change.new.status.phase
                if len(ended) == number:
                    done.set()

        store.subscribe(look)
        watching = group.create_task(store.run())
        await store.store.synced.wait()
        started = time.perf_counter()
        bodies = (body("Task", f"task-{each}", **spec) for each in range(number))
        calls = (functools.partial(api.create, kinds.TASKS, each, NAMESPACE) for each in bodies)
        await stage.together(calls, 16)
        await done.wait()
        watching.cancel()
        failed = [name for name, phase in ended.items() if phase != "Completed"]
        if failed:
            print((await api.request("GET", kinds.TASKS.path(NAMESPACE, failed[0]))).decode())
        return time.perf_counter() - started, len(failed)


def measure(scenario: str, number: int, processes: int, profile: str) -> tuple[stage.Row, stage.Row, stage.Row]:
    """One run: per Task costs, requests of the controllers, resident memory."""
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        kubelet = node if processes == 1 else stub
        parts = [(stage.api_server, (folder, True)), (operator, (folder,)), (kubelet, (folder,))]
        groups = [parts] if processes == 1 else [[part] for part in parts]
        names = [profile and f"{profile}-{part[0][0].__name__}.prof" for part in groups]
        running = [stage.Process(group, name) for group, name in zip(groups, names, strict=True)]
        try:
            spec = asyncio.run(_prepared(folder, scenario))
            before = [each.read() for each in running]
            wall, failed = asyncio.run(run_tasks(folder, spec, number))
            after = [each.read() for each in running]
        finally:
            for each in reversed(running):
                each.stop()
    if failed:
        raise SystemExit(f"{scenario}: {failed} of {number} Tasks did not complete")
    label = f"{scenario} x {number}, {processes} proc."
    used = [(new.cpu - old.cpu) * 1000 / number for old, new in zip(before, after, strict=True)]
    resident = [new.resident for new in after]
    shares = used if processes > 1 else ["-", "-", "-"]
    memories = resident if processes > 1 else ["-", "-", "-"]
    counts: Counter[str] = Counter()
    for old, new in zip(before, after, strict=True):
        counts += Counter(new.counts) - Counter(old.counts)
    return (
        (label, wall, number / wall, sum(used), *shares),
        (label, *(each / number for each in _requests(counts))),
        (label, sum(resident), *memories, (sum(resident) - sum(each.resident for each in before)) * 1024 / number),
    )


def _requests(counts: Counter[str]) -> tuple[int, int, int, int]:
    """Writes, reads, Events, all."""
    events = sum(n for name, n in counts.items() if "events" in name)
    reads = sum(n for name, n in counts.items() if name.split()[0] in ("get", "raw", "list"))
    everything = sum(counts.values())
    return everything - events - reads, reads, events, everything


async def _prepared(folder: Path, scenario: str) -> Json:
    async with client.Client(config.local_socket(stage.socket(folder))) as api:
        return await prepare(api, scenario)


def main() -> int:
    """Run and print three tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenario", choices=[*DEFAULTS, "all"], default="all")
    parser.add_argument("--tasks", type=int, default=0, help="instead of 1000 or 500")
    parser.add_argument("--processes", type=int, choices=[1, 3], default=0, help="both unless given")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--profile", default="", help="write a profile of each process to PROFILE-*.prof")
    options = parser.parse_args()
    scenarios = list(DEFAULTS) if options.scenario == "all" else [options.scenario]
    cases = [(each, count) for each in scenarios for count in _processes(each, options.processes)]
    runs = [
        [measure(name, options.tasks or DEFAULTS[name], count, options.profile) for name, count in cases]
        for _ in range(options.repeat)
    ]
    costs, requests, memories = (stage.medians([[case[n] for case in run] for run in runs]) for n in range(3))
    head = ("", "wall s", "Tasks/s", "CPU ms a Task", "API server", "controllers", "kubelet")
    stage.table("Costs of a Task", head, costs)
    stage.table("Requests of the controllers a Task", ("", "writes", "reads", "Events", "all"), requests)
    head = ("", "MiB", "API server", "controllers", "kubelet", "KiB a Task")
    stage.table("Resident memory once all have ended", head, memories)
    return 0


def _processes(scenario: str, wanted: int) -> tuple[int, ...]:
    """A live server's probe needs a process, so attached Tasks have no row with the real node."""
    if scenario == "attached":
        return (3,)
    return (wanted,) if wanted else (1, 3)


if __name__ == "__main__":
    sys.exit(main())
