"""Agents with limits let Tasks in exactly, and in order."""

from __future__ import annotations

from kit import build
from kit.plane import Plane
from kubeopencode.api import kinds


async def test_a_finished_task_lets_the_next_one_in_at_once(world: Plane) -> None:
    await world.apply(build.batch_agent("solo", maxConcurrentTasks=1))
    await world.apply(build.task_for("solo", "first"))
    await world.until_phase("first", "Running")
    await world.apply(build.task_for("solo", "second"))
    await world.until_queued("second", "AgentAtCapacity")
    await world.finish_pod("first-pod")
    await world.until_phase("first", "Completed")
    await world.until_phase("second", "Running")


async def test_never_more_than_the_limit_run_and_all_of_them_end(world: Plane) -> None:
    await world.apply(build.batch_agent("trio", maxConcurrentTasks=3))
    names = [f"t{number}" for number in range(12)]
    for name in names:
        await world.apply(build.task_for("trio", name))
    finished: set[str] = set()
    while len(finished) < len(names):
        listed = (await world.api.list(kinds.TASKS, "default")).items
        running = [each.metadata.name for each in listed if each.status.phase == "Running"]
        assert len(running) <= 3
        for name in running:
            await world.finish_pod(f"{name}-pod")
            await world.until_phase(name, "Completed")
            finished.add(name)


async def test_the_quota_holds_back_what_is_too_much(world: Plane) -> None:
    await world.apply(build.batch_agent("slow", quota={"maxTaskStarts": 2, "windowSeconds": 60}))
    for name in ("a", "b"):
        await world.apply(build.task_for("slow", name))
        await world.until_phase(name, "Running")
    await world.apply(build.task_for("slow", "c"))
    await world.until_queued("c", "QuotaExceeded")
    await world.finish_pod("a-pod")
    await world.until_phase("a", "Completed")
    assert (await world.task("c")).status.phase == "Queued"


async def test_a_suspended_agent_keeps_its_tasks_waiting(world: Plane) -> None:
    await world.apply(build.agent("asleep", suspend=True))
    await world.apply(build.task_for("asleep", "one"))
    await world.until_queued("one", "AgentSuspended")
    await world.api.patch(kinds.AGENTS, "asleep", {"spec": {"suspend": False}}, "default")
    await world.until_queued("one", "AgentServerNotReady")
    await world.server_ready("asleep")
    await world.until_phase("one", "Running")


async def test_a_stopped_task_never_leaves_the_queue(world: Plane) -> None:
    await world.apply(build.batch_agent("solo", maxConcurrentTasks=1))
    await world.apply(build.task_for("solo", "first"))
    await world.until_phase("first", "Running")
    await world.apply(build.task_for("solo", "second"))
    await world.until_queued("second", "AgentAtCapacity")
    patch = {"metadata": {"annotations": {"kubeopencode.io/stop": "true"}}}
    await world.api.patch(kinds.TASKS, "second", patch, "default")
    stopped = await world.until_phase("second", "Completed")
    assert stopped.status.podName == ""
