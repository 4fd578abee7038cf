"""The life of a live Agent as its users see it: kept sessions, suspension, changes."""

from __future__ import annotations

import pytest

from kit.product import Place, until
from kubeopencode import names
from kubeopencode.api import core, kinds, workloads
from kubeopencode.kube import client

pytestmark = pytest.mark.asyncio(loop_scope="session")

KEPT = {"agentRef": {"name": "kept"}}


async def test_sessions_and_files_outlive_the_servers_pod(place: Place) -> None:
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


async def test_an_agent_that_is_deleted_takes_its_server_along(place: Place) -> None:
    await place.apply(place.agent("kept"))
    await place.ready("kept")
    server = await place.server_pod("kept")
    await place.api.delete(kinds.AGENTS, "kept", place.namespace, options=client.DeleteOptions())
    await place.until_quiet(server.metadata.uid)

    async def gone() -> bool:
        left = [
            await place.get(workloads.DEPLOYMENTS, names.server("kept")),
            await place.get(core.SERVICES, names.service("kept")),
            await place.get(core.SECRETS, names.server_password("kept")),
        ]
        return left == [None] * 3

    await until(gone, "the Agent's objects are gone")


async def _suspend(place: Place, wanted: bool) -> None:
    await place.api.patch(kinds.AGENTS, "kept", {"spec": {"suspend": wanted}}, place.namespace)
