"""What cannot start is told with the name of what is missing, and costs no process."""

from __future__ import annotations

from datetime import timedelta

import pytest

from kit.product import Place, reasons, until
from kubeopencode.api import core, kinds
from kubeopencode.judge import podstate

pytestmark = pytest.mark.asyncio(loop_scope="session")

IMAGE = "registry.example.org/team/toolbox:7"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waiting might mend is given up at once."""
    for reason in list(podstate.START_FAILURES):
        monkeypatch.setitem(podstate.START_FAILURES, reason, timedelta(seconds=1))


@pytest.mark.parametrize("field", ["agentImage", "executorImage"])
async def test_an_unknown_image_is_named(place: Place, field: str) -> None:
    await place.apply(place.template("odd", **{field: IMAGE}))
    failed = await place.run("one", "never said", "Failed", templateRef={"name": "odd"})
    message = failed.status.conditions[-1].message
    assert reasons(failed)[-1] in (("Ready", "ErrImagePull"), ("Ready", "ImagePullBackOff"))
    assert IMAGE in message
    assert "images.yaml" in message


@pytest.mark.parametrize(
    "credential",
    [
        {"name": "x", "secretRef": {"name": "vault", "key": "token"}, "env": "TOKEN"},
        {"name": "x", "secretRef": {"name": "vault"}},
        {"name": "x", "secretRef": {"name": "vault", "key": "token"}, "mountPath": "/creds/token"},
    ],
    ids=["variable", "variables", "file"],
)
async def test_a_missing_secret_is_named(place: Place, credential: dict[str, object]) -> None:
    await place.apply(place.template("odd", credentials=[credential]))
    failed = await place.run("one", "never said", "Failed", templateRef={"name": "odd"})
    assert reasons(failed)[-1] in (("Ready", "CreateContainerConfigError"), ("Ready", "ContainerCreating"))
    assert '"vault"' in failed.status.conditions[-1].message


async def test_a_secret_that_comes_a_little_late_is_waited_for(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(podstate.START_FAILURES, "CreateContainerConfigError", timedelta(minutes=1))
    credential = {"name": "x", "secretRef": {"name": "vault", "key": "token"}, "env": "TOKEN"}
    command = ["sh", "-c", 'test "$TOKEN" = late']
    await place.apply(place.template("odd", credentials=[credential], command=command))
    await place.apply(place.task("one", "x", templateRef={"name": "odd"}))

    async def waits() -> bool:
        return any("vault" in str(pod.status) for pod in await place.pods_of("one"))

    await until(waits, "the Pod waits for the Secret")
    await place.apply(place.secret("vault", token="late"))
    await place.ended("one")


async def test_an_agent_whose_image_is_unknown_says_so(place: Place) -> None:
    await place.apply(place.agent("odd", executorImage=IMAGE))

    async def told() -> bool:
        found = await place.api.get(kinds.AGENTS, "odd", place.namespace)
        return any(IMAGE in each.message for each in found.status.conditions)

    await until(told, "the Agent names the image", 10)


async def test_a_failed_start_leaves_no_process(place: Place) -> None:
    await place.apply(place.template("odd", executorImage=IMAGE))
    await place.run("one", "never said", "Failed", templateRef={"name": "odd"})

    async def gone() -> bool:
        return not (await place.api.list(core.PODS, place.namespace)).items

    await until(gone, "the Pod is ended")
