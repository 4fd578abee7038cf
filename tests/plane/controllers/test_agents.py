"""Live Agents: the objects of their servers, and how they are."""

from __future__ import annotations

from kit import build
from kit.plane import Plane
from kubeopencode.api import core, kinds, workloads


async def test_an_agent_gets_a_server_and_tells_its_address(world: Plane) -> None:
    await world.apply(build.agent("team"))
    await world.server_ready("team")

    async def ready() -> bool:
        return (await world.agent("team")).status.ready

    await world.until(ready, "the Agent is ready")
    status = (await world.agent("team")).status
    assert status.url == "http://team.default.svc.cluster.local:4096"
    assert {each.type: each.status for each in status.conditions}["ServerReady"] == "True"
    assert await world.exists(core.SERVICES, "team")
    assert await world.exists(core.SECRETS, "team-server-password")


async def test_a_foreign_service_is_left_alone_and_the_conflict_is_told(world: Plane) -> None:
    spec = {"ports": [{"port": 80}], "selector": {"app": "other"}}
    await world.api.create(core.SERVICES, {"metadata": {"name": "team"}, "spec": spec}, "default")
    await world.apply(build.agent("team"))

    async def told() -> bool:
        return any(each.reason == "NameConflict" for each in (await world.agent("team")).status.conditions)

    await world.until(told, "the conflict is told")
    service = await world.api.get(core.SERVICES, "team", "default")
    assert service.spec.selector == {"app": "other"}


async def test_a_template_change_reaches_its_agents(world: Plane) -> None:
    await world.apply(build.template("base", executorImage="example.org/one:1"))
    await world.apply(build.agent("team", templateRef={"name": "base"}))
    await world.until_exists(workloads.DEPLOYMENTS, "team-server")
    await world.api.patch(kinds.AGENTTEMPLATES, "base", {"spec": {"executorImage": "example.org/two:2"}}, "default")

    async def rolled() -> bool:
        found = await world.api.get(workloads.DEPLOYMENTS, "team-server", "default")
        return "example.org/two:2" in str(found.spec)

    await world.until(rolled, "the Deployment has the new image")
    assert (await world.agent("team")).metadata.labels["kubeopencode.io/agent-template"] == "base"


async def test_an_unchanged_agent_is_not_written_again(idle: Plane) -> None:
    writes: list[str] = []

    async def counting(request, send):  # type: ignore[no-untyped-def]
        if request.writes and "events" not in request.resource and "agenttemplates" not in request.resource:
            writes.append(f"{request.verb} {request.resource}")
        return await send(request)

    await idle.start_operator(counting)
    await idle.apply(build.agent("team"))
    await idle.server_ready("team")

    async def ready() -> bool:
        return (await idle.agent("team")).status.ready

    await idle.until(ready, "the Agent is ready")
    before = len(writes)
    await idle.api.patch(kinds.AGENTS, "team", {"metadata": {"annotations": {"x": "y"}}}, "default")
    await idle.apply(build.task("marker"))
    await idle.until_phase("marker", "Running")
    assert not [
        write for write in writes[before:] if "tasks" not in write and "pods" not in write and "configmaps" not in write
    ]


async def test_an_idle_agent_on_standby_sleeps_and_work_wakes_it(world: Plane) -> None:
    await world.apply(build.agent("night", standby={"idleTimeout": "1s"}))

    async def asleep() -> bool:
        found = await world.agent("night")
        return found.spec.suspend and found.status.suspended

    await world.until(asleep, "the Agent sleeps")
    reasons = {each.type: each.reason for each in (await world.agent("night")).status.conditions}
    assert reasons["Suspended"] == "Standby"
    await world.apply(build.task_for("night", "one"))

    async def awake() -> bool:
        return not (await world.agent("night")).spec.suspend

    await world.until(awake, "the Agent wakes")
    await world.server_ready("night")
    await world.until_phase("one", "Running")
