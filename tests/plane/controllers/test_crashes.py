"""Kill the controllers after any write and start them again: the story ends the same."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from kit import build
from kit.plane import Plane
from kubeopencode.api import core, kinds, workloads


class Crash:
    """Lets so many writes pass, then nothing more: the process is dead after write `after`."""

    def __init__(self, after: int) -> None:
        self.left = after
        self.dead = asyncio.Event()

    async def __call__(self, request, send):  # type: ignore[no-untyped-def]
        if self.dead.is_set():
            await asyncio.Event().wait()
        answer = await send(request)
        if request.writes and "events" not in request.resource:
            self.left -= 1
            if self.left == 0:
                self.dead.set()
                await asyncio.Event().wait()
        return answer


async def _standalone(plane: Plane) -> None:
    await plane.apply(build.task("one"))


async def _queued(plane: Plane) -> None:
    await plane.apply(build.batch_agent("solo", maxConcurrentTasks=1))
    await plane.apply(build.task_for("solo", "one"))


async def _attached(plane: Plane) -> None:
    await plane.apply(build.agent("live"))
    await plane.apply(build.task_for("live", "one"))


async def _kubelet(plane: Plane) -> None:
    """Makes servers ready and ends Pods, as often as it takes."""
    while True:
        for deployment in (await plane.api.list(workloads.DEPLOYMENTS, "default")).items:
            if not deployment.status.readyReplicas:
                await plane.server_ready(deployment.metadata.labels["kubeopencode.io/agent"])
        for pod in (await plane.api.list(core.PODS, "default")).items:
            if pod.status.phase != "Succeeded":
                await plane.finish_pod(pod.metadata.name)
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("story", [_standalone, _queued, _attached], ids=["standalone", "queued", "attached"])
@pytest.mark.parametrize("after", range(1, 14))
async def test_the_story_ends_the_same_after_a_crash(
    idle: Plane, story: Callable[[Plane], Awaitable[None]], after: int
) -> None:
    crash = Crash(after)
    started: set[str] = set()
    kubelet = asyncio.create_task(_kubelet(idle))
    since = (await idle.api.list(core.PODS, "default")).resource_version
    watching = asyncio.create_task(_pods_made(idle, since, started))
    await idle.start_operator(crash)
    await story(idle)
    ended = asyncio.create_task(idle.until_phase("one", "Completed"))
    dead = asyncio.create_task(crash.dead.wait())
    await asyncio.wait([ended, dead], return_when=asyncio.FIRST_COMPLETED)
    await idle.kill_operator()
    await idle.start_operator()
    done = await ended
    for task in (kubelet, watching, dead):
        task.cancel()
    assert done.status.completionTime is not None
    assert len(started) == 1, "exactly one Pod was ever made for the Task"


async def _pods_made(plane: Plane, since: str, uids: set[str]) -> None:
    async for event in plane.api.watch(core.PODS, "default", since=since):
        if (
            event.type == "ADDED"
            and event.object is not None
            and "kubeopencode.io/task" in event.object.metadata.labels
        ):
            uids.add(event.object.metadata.uid)


async def test_two_operators_at_once_start_one_pod_and_never_admit_too_many(idle: Plane) -> None:
    await idle.apply(build.batch_agent("solo", maxConcurrentTasks=1))
    for number in range(4):
        await idle.apply(build.task_for("solo", f"t{number}"))
    await idle.start_operator()
    second = Plane(idle.api)
    await second.start_operator()
    finished: set[str] = set()
    while len(finished) < 4:
        listed = (await idle.api.list(kinds.TASKS, "default")).items
        running = [each.metadata.name for each in listed if each.status.phase == "Running"]
        assert len(running) <= 1
        for name in running:
            await idle.finish_pod(f"{name}-pod")
            await idle.until_phase(name, "Completed")
            finished.add(name)
    await second.kill_operator()
