"""Tasks on the live server of an Agent, told with the real OpenCode."""

from __future__ import annotations

import asyncio

import pytest
import pytest_asyncio

from kit.product import Place, Product, processes, reasons, texts, until
from kubeopencode import names
from kubeopencode.api import kinds

pytestmark = pytest.mark.asyncio(loop_scope="session")

TEAM = {"agentRef": {"name": "team"}}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def team(product: Product) -> Place:
    """A namespace with one Agent for the stories of this file, as one Agent serves many Tasks."""
    place = await product.place("attached")
    await place.apply(place.agent("team"))
    await place.ready("team")
    await place.apply(place.task("silent", "fall silent", timeout="5s", **TEAM))
    return place


async def test_a_task_ends_with_result_usage_cost_and_transcript(team: Place) -> None:
    done = await team.run("hello", "write hello", **TEAM)
    session = done.status.session
    assert session is not None
    assert session.id == names.session_id(done.metadata.uid)
    assert session.summary is not None
    assert session.summary.tokenUsage is not None
    assert (session.summary.tokenUsage.input, session.summary.tokenUsage.output) == (300, 30)
    assert session.summary.cost == "0.000360"
    assert done.status.result == "The file is written."
    transcript = await team.log("hello-pod")
    assert "I write it now." in transcript
    assert "The file is written." in transcript
    known = await team.ask("team", "/session")
    assert (session.id, session.title) in [(each["id"], each["title"]) for each in known]


async def test_a_refused_key_fails_the_task_with_the_providers_message(team: Place) -> None:
    failed = await team.run("unpaid", "refuse the key", "Failed", **TEAM)
    assert ("Ready", "AgentFailed") in reasons(failed)
    assert "Incorrect API key provided" in failed.status.conditions[-1].message
    assert "Incorrect API key provided" in await team.log("unpaid-pod")


async def test_a_rate_limit_only_costs_time(team: Place) -> None:
    done = await team.run("patient", "be patient", **TEAM)
    assert done.status.result == "It worked after all."
    assert "attempt 1 failed" in await team.log("patient-pod")


async def test_a_stopped_task_stops_spending_on_the_server(team: Place) -> None:
    await team.apply(team.task("endless", "sleep for ever, first", **TEAM))
    running = await team.running("endless")
    server = (await team.server_pod("team")).metadata.uid
    await until(lambda: _sleeps(server), "the agent's tool runs")
    pod = (await team.pods_of("endless"))[0].metadata.uid
    await team.stop("endless")
    stopped = await team.ended("endless")
    assert ("Stopped", "UserStopped") in reasons(stopped)
    await _aborted(team, names.session_id(running.metadata.uid))
    await team.until_quiet(pod)
    assert not await _sleeps(server)
    assert len(team.asked("sleep for ever, first")) == 1


async def test_a_deleted_task_stops_spending_on_the_server(team: Place) -> None:
    await team.apply(team.task("dropped", "sleep for ever, second", **TEAM))
    running = await team.running("dropped")
    server = (await team.server_pod("team")).metadata.uid
    await until(lambda: _sleeps(server), "the agent's tool runs")
    pod = (await team.pods_of("dropped"))[0].metadata.uid
    await team.api.delete(kinds.TASKS, "dropped", team.namespace)
    await _aborted(team, names.session_id(running.metadata.uid))
    await team.until_quiet(pod)
    assert await team.get(kinds.TASKS, "dropped") is None
    assert not await _sleeps(server)
    assert len(team.asked("sleep for ever, second")) == 1


async def test_ten_tasks_at_once_all_come_right(team: Place) -> None:
    every = [f"one-of-ten-{number}" for number in range(10)]
    await team.apply(*(team.task(name, f"write a file of your own, {name}", **TEAM) for name in every))
    done = await asyncio.gather(*(team.ended(name) for name in every))
    assert {each.status.result for each in done} == {"It is there."}
    assert len({each.status.session.id for each in done if each.status.session}) == 10
    assert [len(team.asked(f"own, {name}")) for name in every] == [2] * 10


@pytest.mark.parametrize(
    ("name", "description"),
    [
        ("dashes", "--help --version -m nothing"),
        ("quotes", """say "it's" $(touch /tmp/owned) `id` \\ ${HOME} %s ö €\n\nand a second line"""),
        ("long", "long: " + "0123456789abcdef" * 12_800),
    ],
    ids=["dashes", "quotes", "long"],
)
async def test_a_description_reaches_the_model_letter_by_letter(team: Place, name: str, description: str) -> None:
    await team.run(name, description, **TEAM)
    request = await team.until_asked(description)
    assert texts(request, "user") == description


async def test_a_silent_model_is_ended_by_the_timeout(team: Place) -> None:
    assert len(team.asked("fall silent")) == 1
    stopped = await team.ended("silent")
    assert ("Stopped", "Timeout") in reasons(stopped)
    await _aborted(team, names.session_id(stopped.metadata.uid))


async def test_a_tasks_texts_reach_the_system_prompt_and_its_files_go_along(team: Place) -> None:
    await team.apply(
        team.config_map("standards", style_md="Write short lines.", tests_md="Test first."),
    )
    contexts = [
        {"type": "Text", "name": "hint", "text": "The hint is blue."},
        {"type": "ConfigMap", "name": "whole", "configMap": {"name": "standards"}},
        {"type": "ConfigMap", "configMap": {"name": "standards", "key": "style.md"}},
        {"type": "ConfigMap", "configMap": {"name": "nowhere"}, "optional": True},
        {"type": "Text", "text": "The attached secret word is heron.", "mountPath": "notes/attached.md"},
        {"type": "Runtime"},
    ]
    await team.run("told", "do as you are told", contexts=contexts, **TEAM)
    request = await team.until_asked("do as you are told")
    system = texts(request, "system")
    assert '<context name="hint" namespace="attached" type="Text">\nThe hint is blue.\n</context>' in system
    assert '<file name="style.md">\nWrite short lines.\n</file>\n<file name="tests.md">\nTest first.\n</file>' in system
    assert "TASK_NAME" in system
    assert "heron" in texts(request, "user")
    assert "attached.md" in texts(request, "user")


async def _sleeps(server: str) -> bool:
    """The endless tool of a story runs in the server's Pod."""
    return any("sleep 4321" in each for each in processes(server))


async def _aborted(place: Place, session: str) -> None:
    """The server works on the session no more, and says that its answer was aborted."""

    async def aborted() -> bool:
        messages = await place.ask("team", f"/session/{session}/message")
        return messages[-1]["info"].get("error", {}).get("name") == "MessageAbortedError"

    await until(aborted, "the answer is aborted")
    assert session not in await place.ask("team", "/session/status")
