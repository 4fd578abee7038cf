"""Tasks in Pods of their own, told with the real OpenCode. What can run at once does: each takes a whole processor."""

from __future__ import annotations

import asyncio

import pytest
import pytest_asyncio

from kit.product import Place, Product, reasons, texts, until
from kubeopencode.api import kinds

pytestmark = pytest.mark.asyncio(loop_scope="session")

ALONE = {"templateRef": {"name": "alone"}}
DASHES = "--help --version -m nothing"
QUOTES = """say "it's" $(touch /tmp/owned) `id` \\ ${HOME} %s ‘ö’\n\nand a second line"""
LONG = "long: " + "0123456789abcdef" * 12_800


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def alone(product: Product) -> Place:
    """A namespace with a template for the stories of this file."""
    place = await product.place("standalone")
    await place.apply(place.template("alone"))
    return place


async def test_a_task_ends_with_result_usage_cost_outputs_and_transcript(alone: Place) -> None:
    parameters = [
        {"name": "answer", "path": "answer.txt"},
        {"name": "missing", "path": "nowhere.txt", "default": "none"},
        {"name": "absent", "path": "nowhere.txt"},
        {"name": "outside", "path": "/etc/passwd"},
    ]
    done = await alone.run("hello", "write hello", outputs={"parameters": parameters}, **ALONE)
    session = done.status.session
    assert session is not None
    assert session.summary is not None
    assert session.summary.tokenUsage is not None
    assert (session.summary.tokenUsage.input, session.summary.tokenUsage.output) == (300, 30)
    assert session.summary.cost == "0.000360"
    assert done.status.result == "The file is written."
    assert done.status.outputs is not None
    assert done.status.outputs.parameters == {"answer": "4711", "missing": "none"}
    assert "The file is written." in await alone.log("hello-pod")


async def test_a_refused_key_fails_the_task_and_a_rate_limit_only_costs_time(alone: Place) -> None:
    failed, done = await asyncio.gather(
        alone.run("unpaid", "refuse the key", "Failed", **ALONE), alone.run("patient", "be patient", **ALONE)
    )
    assert ("Ready", "AgentFailed") in reasons(failed)
    assert "Incorrect API key provided" in failed.status.conditions[-1].message
    assert "Incorrect API key provided" in await alone.log("unpaid-pod")
    assert done.status.result == "It worked after all."


async def test_a_silent_model_is_ended_by_the_timeout_and_a_stopped_task_ends_with_its_tools(alone: Place) -> None:
    await alone.apply(
        alone.task("silent", "fall silent, alone", timeout="9s", **ALONE),
        alone.task("endless", "sleep for ever, alone", **ALONE),
    )
    await alone.until_asked("fall silent, alone")
    await alone.until_asked("sleep for ever, alone")
    pods = [pod.metadata.uid for name in ("silent", "endless") for pod in await alone.pods_of(name)]
    await alone.stop("endless")
    assert ("Stopped", "UserStopped") in reasons(await alone.ended("endless"))
    assert ("Stopped", "Timeout") in reasons(await alone.ended("silent"))
    for uid in pods:
        await alone.until_quiet(uid)
    assert len(alone.asked("sleep for ever, alone")) == 1


async def test_a_deleted_task_takes_its_processes_along(alone: Place) -> None:
    await alone.apply(alone.task("dropped", "sleep for ever, deleted", **ALONE))
    await alone.until_asked("sleep for ever, deleted")
    (pod,) = await alone.pods_of("dropped")
    await alone.api.delete(kinds.TASKS, "dropped", alone.namespace)
    await alone.until_quiet(pod.metadata.uid)

    async def gone() -> bool:
        return not await alone.pods_of("dropped")

    await until(gone, "the Pod is gone")
    assert await alone.get(kinds.TASKS, "dropped") is None


async def test_descriptions_reach_the_model_letter_by_letter(alone: Place) -> None:
    every = {"dashes": DASHES, "quotes": QUOTES, "long": LONG}
    await asyncio.gather(*(alone.run(name, description, **ALONE) for name, description in every.items()))
    for description in every.values():
        request = await alone.until_asked(description)
        assert texts(request, "user") == description


async def test_the_command_of_the_readme_runs(place: Place) -> None:
    command = ["sh", "-c", '/tools/opencode run "$(cat ${WORKSPACE_DIR}/task.md)"']
    await place.apply(place.agent("batch", command=command), place.agent("broken", command=["sh", "-c", "exit 7"]))
    done, failed = await asyncio.gather(
        place.run("one", "write hello by hand", agentRef={"name": "batch"}),
        place.run("two", "x", "Failed", agentRef={"name": "broken"}),
    )
    assert done.status.result == "The file is written."
    assert "exit code 7" in failed.status.conditions[-1].message
    assert await place.get(kinds.AGENTS, "batch")
