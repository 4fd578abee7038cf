"""`kill -9` of the whole plane at any moment: what runs goes on, what is written stays, nothing happens twice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio

from kit.product import Outside, Place, Product, processes, reasons, texts, until
from kubeopencode.api import core, kinds
from kubeopencode.kube import client, config, errors
from kubeopencode.replay.server import ReplayServer

pytestmark = pytest.mark.asyncio(loop_scope="session")

GATED = "example.org/gated"


@dataclass
class Survivor:
    """A plane that can be killed, with an Agent and templates in it."""

    plane: Outside
    place: Place
    gate: Path
    uids: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    """Every Pod uid that was ever seen, by Task."""

    def open(self, name: str) -> None:
        (self.gate / name).touch()

    def close(self, name: str) -> None:
        (self.gate / name).unlink(missing_ok=True)

    async def start(self, names: list[str], description: str, template: str = "alone") -> None:
        """A Task on the live server and one in a Pod of its own, by these names."""
        references = ({"agentRef": {"name": "team"}}, {"templateRef": {"name": template}})
        wanted = zip(names, references, strict=True)
        await self.place.apply(*(self.place.task(name, f"{description}, {name}.", **each) for name, each in wanted))

    async def start_attached(self, name: str, description: str) -> None:
        """A Task on the live server."""
        await self.place.apply(self.place.task(name, f"{description}, {name}.", agentRef={"name": "team"}))

    async def has_left(self, name: str) -> bool:
        """The agent of the Task has ended, whether the plane knows it or not."""
        ended = (self.place.pods / uid / "containers/agent/0/exit" for uid in self.uids.get(name, set[str]()))
        return any(path.exists() for path in ended)

    async def watch(self) -> None:
        """Remember the uids of all Pods of Tasks, whatever happens to the plane."""
        while True:
            with suppress(errors.ApiError, errors.ConnectionFailed):
                for pod in (await self.place.api.list(core.PODS, self.place.namespace)).items:
                    task = pod.metadata.labels.get("kubeopencode.io/task", "")
                    self.uids.setdefault(task, set()).add(pod.metadata.uid)
            await asyncio.sleep(0.03)

    async def die_and_rise(self) -> None:
        self.plane.kill()
        await self.plane.up()

    async def ended_as_undisturbed(self, name: str, result: str, requests: int) -> None:
        """The Task succeeded, in one Pod, and the model was asked as often as it takes."""
        done = await self.place.ended(name)
        assert done.status.result == result
        assert done.status.session is not None
        assert done.status.session.summary is not None
        assert len(self.uids[name]) == 1
        assert len(self.place.asked(f", {name}.")) == requests


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def survivor(
    tmp_path_factory: pytest.TempPathFactory, agent_program: Path, model: ReplayServer
) -> AsyncIterator[Survivor]:
    data, gate = tmp_path_factory.mktemp("survivor"), tmp_path_factory.mktemp("gate")
    bring = 'until [ -e /gate/init ]; do sleep 0.05; done; ln -sf /opt/kubeopencode/opencode "$TOOLS_DIR/opencode"'
    binds = {"/gate": str(gate), "/opt/kubeopencode/opencode": str(agent_program.resolve())}
    images = {
        GATED: {"entrypoint": ["/bin/bash"], "binds": binds},
        f"{GATED}-init": {"entrypoint": ["/bin/sh", "-c", bring], "binds": binds},
    }
    (data / "images.yaml").write_text(json.dumps({"images": images}))
    running = Outside(data)
    await running.up()
    try:
        async with client.Client(config.local_socket(Path(running.state.socket))) as api:
            place = await Product(api, model, data / "node" / "pods").place("survival")
            found = Survivor(running, place, gate)
            await place.apply(
                place.agent("team", executorImage=GATED),
                place.template("alone", executorImage=GATED),
                place.template("gated", executorImage=GATED, agentImage=f"{GATED}-init"),
            )
            await place.ready("team")
            watching = asyncio.create_task(found.watch())
            yield found
            watching.cancel()
            await running.down()
        assert processes(str(data)) == []
    finally:
        running.clear()


async def test_killed_before_there_are_pods_and_again_while_they_start(survivor: Survivor) -> None:
    survivor.close("init")
    await survivor.start(["early-attached", "early-alone"], "write hello", template="gated")
    await survivor.die_and_rise()
    await until(lambda: _prepares(survivor.place, "early-alone"), "an init container runs")
    await survivor.start_attached("next", "write hello")
    await until(lambda: survivor.place.pods_of("next"), "there is a Pod")
    await survivor.die_and_rise()
    survivor.open("init")
    for name in ("early-attached", "next", "early-alone"):
        await survivor.ended_as_undisturbed(name, "The file is written.", requests=3)


async def test_killed_while_the_agents_work_which_end_while_it_is_away(survivor: Survivor) -> None:
    survivor.close("work")
    every = ["working-attached", "working-alone"]
    await survivor.start(every, "wait at the gate")
    for name in every:
        await survivor.place.until_asked(f", {name}.")
    await survivor.die_and_rise()
    survivor.plane.kill()
    survivor.open("work")
    await until(lambda: survivor.has_left("working-alone"), "the agent has ended")
    await survivor.plane.up()
    for name in every:
        await survivor.ended_as_undisturbed(name, "The gate is open.", requests=2)
        assert texts(survivor.place.asked(f", {name}.")[-1], "tool").split() == ["once"]
    assert "The gate is open." in await survivor.place.log("working-attached-pod")


async def test_killed_just_after_the_end(survivor: Survivor) -> None:
    await survivor.start_attached("late", "write hello")
    await until(lambda: survivor.has_left("late"), "the agent has ended")
    await survivor.die_and_rise()
    await survivor.ended_as_undisturbed("late", "The file is written.", requests=3)


async def test_killed_while_an_agents_server_starts(survivor: Survivor) -> None:
    place = survivor.place
    await place.apply(place.agent("fresh"), place.task("first", "write hello, first.", agentRef={"name": "fresh"}))
    await survivor.die_and_rise()
    await _exists(lambda: _servers(place))
    await survivor.die_and_rise()
    await survivor.ended_as_undisturbed("first", "The file is written.", requests=3)
    assert len(await _servers(place)) == 1
    await place.api.delete(kinds.AGENTS, "fresh", place.namespace)


async def test_nothing_that_was_acknowledged_is_lost(survivor: Survivor) -> None:
    place = survivor.place
    known: list[str] = []

    async def write(number: int) -> None:
        with suppress(errors.ApiError, errors.ConnectionFailed):
            await place.apply(place.config_map(f"note-{number}", text=str(number)))
            known.append(f"note-{number}")

    async def some() -> bool:
        return len(known) > 100

    writing = asyncio.gather(*(write(number) for number in range(400)))
    await until(some, "some are written")
    survivor.plane.kill()
    with suppress(asyncio.CancelledError):
        await writing
    await survivor.plane.up()
    there = {each.metadata.name: each for each in (await place.api.list(core.CONFIGMAPS, place.namespace)).items}
    assert [name for name in known if name not in there] == []
    assert all(each.data["text"] == name[5:] for name, each in there.items() if name.startswith("note-"))


async def test_down_leaves_no_process_behind_and_up_again_tells_what_was_ended(survivor: Survivor) -> None:
    place = survivor.place
    await place.apply(place.template("sleeper", command=["sleep", "4321"]))
    await place.apply(place.task("endless-alone", "x", templateRef={"name": "sleeper"}))
    await survivor.start_attached("endless", "sleep for ever")
    await place.until_asked(", endless.")
    await until(lambda: _works(place, "endless-alone"), "the command runs")
    await survivor.plane.down()
    assert processes(str(survivor.plane.data)) == []
    await survivor.plane.up()
    for name in ("endless", "endless-alone"):
        failed = await place.ended(name, "Failed")
        assert ("Ready", "Terminated") in reasons(failed)
        assert len(survivor.uids[name]) == 1
    await place.ready("team")
    assert len(place.asked(", endless.")) == 1


async def test_down_after_a_kill_ends_what_was_left(survivor: Survivor) -> None:
    place = survivor.place
    await place.apply(place.template("left", command=["sleep", "4321"]))
    await place.apply(place.task("left", "x", templateRef={"name": "left"}))
    await until(lambda: _works(place, "left"), "the command runs")
    survivor.plane.kill()
    assert processes(str(survivor.plane.data)) != []
    assert "not running" in await survivor.plane.down()
    assert processes(str(survivor.plane.data)) == []
    await survivor.plane.up()
    await place.ended("left", "Failed")


async def test_two_planes_on_one_machine_do_not_meet(survivor: Survivor, product: Product) -> None:
    """Both have Agents on the same port, and the loopback addresses are the machine's."""
    other = await product.place("neighbour")
    await other.apply(other.agent("team"))
    await other.ready("team")
    ours = await survivor.place.run("ours", "write hello, to the one.", agentRef={"name": "team"})
    theirs = await other.run("theirs", "write hello, to the other.", agentRef={"name": "team"})
    for place, done in ((survivor.place, ours), (other, theirs)):
        assert done.status.session is not None
        assert [done.status.session.id] == [
            each["id"] for each in await place.ask("team", "/session") if each["id"] == done.status.session.id
        ]
    assert (await _addresses(survivor.place)).isdisjoint(await _addresses(other))


async def _prepares(place: Place, task: str) -> bool:
    pods = await place.pods_of(task)
    return any(each.state and each.state.running for pod in pods for each in pod.status.initContainerStatuses)


async def _servers(place: Place) -> list[core.Pod]:
    selector = "kubeopencode.io/agent=fresh,app.kubernetes.io/component=server"
    return list((await place.api.list(core.PODS, place.namespace, labels=selector)).items)


async def _works(place: Place, task: str) -> bool:
    pods = await place.pods_of(task)
    return any(each.state and each.state.running for pod in pods for each in pod.status.containerStatuses)


async def _addresses(place: Place) -> set[str]:
    pods = (await place.api.list(core.PODS, place.namespace)).items
    services = (await place.api.list(core.SERVICES, place.namespace)).items
    return {pod.status.podIP for pod in pods} | {service.spec.clusterIP for service in services}


async def _exists(find: Callable[[], Awaitable[list[core.Pod]]]) -> None:
    await until(find, "the server's Pod exists")
