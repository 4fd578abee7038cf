"""Tasks in Pods of their own, told with the real OpenCode. What can run at once does: each takes a whole processor."""

from __future__ import annotations

import pytest
import pytest_asyncio

from kit.product import Place, Product, reasons, texts, until
from kubeopencode.api import kinds

pytestmark = pytest.mark.asyncio(loop_scope="session")

ALONE = {"templateRef": {"name": "alone"}}
AWKWARD = """--help -m nothing "it's" $(touch /tmp/owned) `id` \\ ${HOME} %s ö €\n\nand a second line: """
LONG = "0123456789abcdef" * 12_800
PARAMETERS = [
    {"name": "answer", "path": "answer.txt"},
    {"name": "missing", "path": "nowhere.txt", "default": "none"},
    {"name": "absent", "path": "nowhere.txt"},
    {"name": "outside", "path": "/etc/passwd"},
]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def alone(product: Product) -> Place:
    """A namespace where the Tasks that need nothing from their tests have begun."""
    place = await product.place("standalone")
    readme = ["sh", "-c", '/tools/opencode run "$(cat ${WORKSPACE_DIR}/task.md)"']
    await place.apply(
        place.template("alone"),
        place.agent("batch", command=readme),
        place.agent("broken", command=["sh", "-c", "exit 7"]),
        place.task("silent", "fall silent, alone", timeout="20s", **ALONE),
        place.task("hello", "write hello", outputs={"parameters": PARAMETERS}, **ALONE),
        place.task("unpaid", "refuse the key", **ALONE),
        place.task("patient", "be patient", **ALONE),
        place.task("readme", "write hello by hand", agentRef={"name": "batch"}),
        place.task("broken", "never read", agentRef={"name": "broken"}),
    )
    return place


async def test_a_task_ends_with_result_usage_cost_outputs_and_transcript(alone: Place) -> None:
    done = await alone.ended("hello")
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


async def test_a_refused_key_fails_the_task_with_the_providers_message(alone: Place) -> None:
    failed = await alone.ended("unpaid", "Failed")
    assert ("Ready", "AgentFailed") in reasons(failed)
    assert "Incorrect API key provided" in failed.status.conditions[-1].message
    assert "Incorrect API key provided" in await alone.log("unpaid-pod")


async def test_a_rate_limit_only_costs_time(alone: Place) -> None:
    assert (await alone.ended("patient")).status.result == "It worked after all."
    assert len(alone.asked("be patient")) >= 2


async def test_the_command_of_the_readme_runs(alone: Place) -> None:
    assert (await alone.ended("readme")).status.result == "The file is written."


async def test_a_command_that_fails_fails_the_task_with_its_exit_code(alone: Place) -> None:
    failed = await alone.ended("broken", "Failed")
    assert "exit code 7" in failed.status.conditions[-1].message


async def test_a_long_awkward_description_reaches_the_model_letter_by_letter(alone: Place) -> None:
    await alone.run("awkward", AWKWARD + LONG, **ALONE)
    request = await alone.until_asked(AWKWARD)
    assert texts(request, "user") == AWKWARD + LONG


async def test_a_stopped_task_and_a_deleted_one_take_their_processes_along(alone: Place) -> None:
    every = ("stopped", "dropped")
    await alone.apply(*(alone.task(name, f"sleep for ever, {name}", **ALONE) for name in every))
    for name in every:
        await alone.until_asked(f"sleep for ever, {name}")
    pods = [pod.metadata.uid for name in every for pod in await alone.pods_of(name)]
    await alone.stop("stopped")
    await alone.api.delete(kinds.TASKS, "dropped", alone.namespace)
    assert ("Stopped", "UserStopped") in reasons(await alone.ended("stopped"))
    for uid in pods:
        await alone.until_quiet(uid)

    async def gone() -> bool:
        return not await alone.pods_of("dropped")

    await until(gone, "the Pod is gone")
    assert await alone.get(kinds.TASKS, "dropped") is None
    assert [len(alone.asked(f"sleep for ever, {name}")) for name in every] == [1, 1]


async def test_a_silent_model_is_ended_by_the_timeout(alone: Place) -> None:
    assert len(alone.asked("fall silent, alone")) == 1
    pods = await alone.pods_of("silent")
    assert ("Stopped", "Timeout") in reasons(await alone.ended("silent"))
    for pod in pods:
        await alone.until_quiet(pod.metadata.uid)
