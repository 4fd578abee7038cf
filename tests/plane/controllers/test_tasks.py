"""The story of a Task, told against the real API server."""

from __future__ import annotations

import json

import pytest

from kit import build
from kit.plane import Plane
from kubeopencode import names
from kubeopencode.api import core, kinds
from kubeopencode.kube import client


async def test_a_task_gets_a_pod_runs_and_completes(world: Plane) -> None:
    await world.apply(build.task("one"))
    running = await world.until_phase("one", "Running")
    assert running.status.podName == "one-pod"
    await world.finish_pod("one-pod")
    done = await world.until_phase("one", "Completed")
    assert done.status.completionTime is not None
    assert done.metadata.labels[names.LABEL_AGENT_TEMPLATE] == "plain"


async def test_usage_and_cost_come_from_the_agents_last_message(world: Plane) -> None:
    await world.apply(build.task("one"))
    report = {
        "session": {"id": "ses_1", "messageCount": 4, "tokens": {"input": 7, "output": 3}, "cost": "0.000123"},
        "result": "All done.",
    }
    await world.finish_pod("one-pod", message=json.dumps(report))
    done = await world.until_phase("one", "Completed")
    assert done.status.session is not None
    assert done.status.session.summary is not None
    assert done.status.session.summary.cost == "0.000123"
    assert done.status.session.summary.tokenUsage.input == 7
    assert done.status.result == "All done."


async def test_a_failed_agent_fails_the_task_with_the_providers_message(world: Plane) -> None:
    await world.apply(build.task("one"))
    message = json.dumps({"error": {"name": "APIError", "message": "invalid api key", "statusCode": 401}})
    await world.finish_pod("one-pod", code=1, message=message)
    failed = await world.until_phase("one", "Failed")
    assert "invalid api key" in failed.status.conditions[-1].message


async def test_a_stopped_task_is_completed_and_its_pod_goes(world: Plane) -> None:
    await world.apply(build.task("one"))
    await world.until_phase("one", "Running")
    patch = {"metadata": {"annotations": {names.ANNOTATION_STOP: "true"}}}
    await world.api.patch(kinds.TASKS, "one", patch, "default")
    stopped = await world.until_phase("one", "Completed")
    assert ("Stopped", "UserStopped") in [(each.type, each.reason) for each in stopped.status.conditions]
    await world.until(lambda: _going(world, "one-pod"), "the Pod goes")


async def test_a_task_that_takes_too_long_is_ended(world: Plane) -> None:
    await world.apply(build.task("one", timeout="1s"))
    stopped = await world.until_phase("one", "Completed")
    assert ("Stopped", "Timeout") in [(each.type, each.reason) for each in stopped.status.conditions]


async def test_a_vanished_pod_fails_the_task(world: Plane) -> None:
    await world.apply(build.task("one"))
    await world.until_phase("one", "Running")
    await world.remove_pod("one-pod")
    failed = await world.until_phase("one", "Failed")
    assert failed.status.conditions[-1].reason == "PodLost"


async def test_deleting_a_task_takes_its_pod_and_config_map_along(world: Plane) -> None:
    await world.apply(build.task("one"))
    await world.until_phase("one", "Running")
    await world.api.delete(kinds.TASKS, "one", "default")
    await world.until_gone(core.CONFIGMAPS, "one-context")
    await world.until(lambda: _going(world, "one-pod"), "the Pod goes")


async def test_a_new_task_of_an_old_name_never_gets_the_old_instructions(world: Plane) -> None:
    await world.apply(build.task("one", description="old"))
    await world.until_phase("one", "Running")
    await world.api.delete(kinds.TASKS, "one", "default")
    await world.until_gone(kinds.TASKS, "one")
    await world.apply(build.task("one", description="new"))
    await world.until(lambda: _going(world, "one-pod"), "the old Pod goes")
    if await world.exists(core.PODS, "one-pod"):
        await world.remove_pod("one-pod")
    await world.until_phase("one", "Running")
    found = await world.api.get(core.CONFIGMAPS, "one-context", "default")
    assert found.data["workspace-task.md"] == "new"


async def test_somebody_elses_pod_is_not_adopted(world: Plane) -> None:
    body = {"metadata": {"name": "one-pod"}, "spec": {"containers": [{"name": "x", "image": "x"}]}}
    await world.api.create(core.PODS, body, "default")
    await world.apply(build.task("one"))
    failed = await world.until_phase("one", "Failed")
    assert failed.status.conditions[-1].reason == "NameConflict"


async def test_a_task_may_come_before_its_agent(world: Plane) -> None:
    await world.apply(build.task_for("late", "one"))
    await world.until_queued("one", "AgentNotFound")
    await world.apply(build.batch_agent("late"))
    await world.until_phase("one", "Running")


async def test_a_missing_config_map_is_named(world: Plane) -> None:
    context = {"type": "ConfigMap", "configMap": {"name": "nowhere"}}
    await world.apply(build.task("one", contexts=[context]))
    failed = await world.until_phase("one", "Failed")
    assert failed.status.conditions[-1].reason == "ContextError"
    assert '"nowhere"' in failed.status.conditions[-1].message
    assert not await world.exists(core.PODS, "one-pod")


async def test_a_task_without_reference_takes_the_agent_default(world: Plane) -> None:
    await world.apply(build.batch_agent("default"))
    await world.api.create(kinds.TASKS, {"metadata": {"name": "one"}, "spec": {"description": "x"}}, "default")
    running = await world.until_phase("one", "Running")
    assert running.status.agentRef is not None
    assert running.status.agentRef.name == "default"


async def test_a_foreign_agent_keeps_the_pod_in_its_namespace(world: Plane) -> None:
    await world.namespace("platform")
    await world.apply(build.batch_agent("shared", namespace="platform", allowedNamespaces=["def*"]))
    await world.apply(build.task("one", agentRef={"name": "shared", "namespace": "platform"}))
    running = await world.until_phase("one", "Running")
    assert running.status.podNamespace == "platform"
    assert running.status.podName.startswith("default-one-")
    await world.api.delete(kinds.TASKS, "one", "default")
    await world.until_gone(kinds.TASKS, "one")
    assert not (await world.api.list(core.CONFIGMAPS, "platform")).items


async def test_a_namespace_that_is_not_allowed_is_told_so(world: Plane) -> None:
    await world.namespace("platform")
    await world.apply(build.batch_agent("shared", namespace="platform", allowedNamespaces=["dev-*"]))
    await world.apply(build.task("one", agentRef={"name": "shared", "namespace": "platform"}))
    failed = await world.until_phase("one", "Failed")
    assert "dev-*" in failed.status.conditions[-1].message


async def test_finished_tasks_beyond_the_limit_are_deleted_oldest_first(world: Plane) -> None:
    spec = {"cleanup": {"maxRetainedTasks": 1}}
    await world.api.create(kinds.CONFIGS, {"metadata": {"name": "cluster"}, "spec": spec})
    for name in ("first", "second"):
        await world.apply(build.task(name))
        await world.finish_pod(f"{name}-pod")
    await world.until_gone(kinds.TASKS, "first")
    assert await world.exists(kinds.TASKS, "second")


@pytest.mark.parametrize("count", [30])
async def test_many_tasks_cost_five_writes_each(idle: Plane, count: int) -> None:
    writes: list[str] = []

    async def counting(request, send):  # type: ignore[no-untyped-def]
        if request.writes:
            writes.append(f"{request.verb} {request.resource}")
        return await send(request)

    await idle.start_operator(counting)
    for number in range(count):
        await idle.apply(build.task(f"t{number}"))
    for number in range(count):
        await idle.finish_pod(f"t{number}-pod")
    for number in range(count):
        await idle.until_phase(f"t{number}", "Completed")
    ours = [write for write in writes if "events" not in write and "agenttemplates" not in write]
    assert len(ours) <= 5 * count


async def _going(world: Plane, name: str) -> bool:
    try:
        found = await world.api.get(core.PODS, name, "default")
    except client.errors.NotFound:
        return True
    return found.metadata.deletionTimestamp is not None
