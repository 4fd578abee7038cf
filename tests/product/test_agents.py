"""The life of a live Agent as its users see it: kept sessions, suspension, changes."""

from __future__ import annotations

import pytest

from kit.product import Place, until
from kubeopencode import names
from kubeopencode.api import core, kinds, workloads

pytestmark = pytest.mark.asyncio(loop_scope="session")

KEPT = {"agentRef": {"name": "kept"}}


async def test_sessions_and_files_outlive_the_servers_pod_and_go_with_the_agent(place: Place) -> None:
    await place.apply(place.agent("kept", persistence={"sessions": {}, "workspace": {}}))
    done = await place.run("one", "write hello, to be kept", **KEPT)
    assert done.status.session is not None
    first = await place.server_pod("kept")
    await place.api.delete(core.PODS, first.metadata.name, place.namespace)
    await place.until_quiet(first.metadata.uid)
    second = await place.server_pod("kept")
    assert second.metadata.uid != first.metadata.uid
    await place.run("two", "after the change of Pods", **KEPT)
    listed = {each["id"]: each["title"] for each in await place.ask("kept", "/session")}
    assert listed[done.status.session.id] == names.session_title(place.namespace, "one", done.metadata.uid)
    messages = await place.ask("kept", f"/session/{done.status.session.id}/message")
    assert "write hello, to be kept" in messages[0]["parts"][0]["text"]
    files = await place.ask("kept", "/file?path=.")
    assert "hello.txt" in {each["name"] for each in files}
    await place.api.delete(kinds.AGENTS, "kept", place.namespace)
    await place.until_quiet(second.metadata.uid)
    await until(lambda: _nothing_left(place), "the Agent's objects are gone")


async def test_a_suspended_agent_runs_nothing_and_its_task_waits_until_it_is_resumed(place: Place) -> None:
    await place.apply(place.agent("kept", suspend=True), place.task("one", "wait until you are resumed", **KEPT))
    await place.queued("one", "AgentSuspended")
    assert await place.pods_of("one") == []
    await _suspend(place, False)
    await place.ended("one")
    server = await place.server_pod("kept")
    await _suspend(place, True)
    await place.until_quiet(server.metadata.uid)
    deployment = await place.api.get(workloads.DEPLOYMENTS, names.server("kept"), place.namespace)
    assert deployment.spec.replicas == 0
    assert not (await place.api.get(kinds.AGENTS, "kept", place.namespace)).status.ready
    assert len(place.asked("wait until you are resumed")) == 1


async def _nothing_left(place: Place) -> bool:
    kinds_of_an_agent = (workloads.DEPLOYMENTS, workloads.REPLICASETS, core.SERVICES, core.SECRETS, core.PVCS)
    lists = [await place.api.list(resource, place.namespace) for resource in kinds_of_an_agent]
    return not any(listed.items for listed in lists)


async def _suspend(place: Place, wanted: bool) -> None:
    await place.api.patch(kinds.AGENTS, "kept", {"spec": {"suspend": wanted}}, place.namespace)
