"""OpenCode has habits that surprise whoever runs it in a Pod; docs/opencode.md lists them by number.

Each test shows with the real program that a Pod of ours is safe from one of them. Surprises 2 and 3, and the driver's
part of 9, are shown in test_driver.py.
"""

from __future__ import annotations

import asyncio
import base64
import os
import resource
import shutil
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.agent import bridge, rendered
from tests.agent.rendered import Pod, Running
from tests.unit.api import builders
from tests.unit.render.builders import containers, desired, env, live, main

from kubeopencode import names
from kubeopencode.api.meta import Json
from kubeopencode.node import environment, processes
from kubeopencode.world import Cluster

pytestmark = pytest.mark.asyncio(loop_scope="module")

PASSWORD = "a-password-nobody-prints"
SKILL = "---\nname: finding\ndescription: How to find things\n---\nLook below the haystack.\n"
PLUGIN = "import fs from 'fs'\nexport const Mark = async () => { fs.writeFileSync('/workspace/ran', ''); return {} }\n"
WITHOUT_INTERNET = {"npm_config_offline": "true", "OPENCODE_DISABLE_MODELS_FETCH": "1"}
"""What docs/opencode.md advises where the internet is out of reach."""


class House:
    """Makes Pods of Tasks and Agents that ask the scripted model, each in a folder of its own."""

    def __init__(self, folder: Path, program: Path, settings: Json, port: int) -> None:
        self.folder, self.program, self.port = folder, program, port
        self.settings = {name: value for name, value in settings.items() if name != "permission"}
        self.pods: list[Pod] = []

    async def task(self, description: str, *, env: dict[str, str] | None = None, **config: Any) -> Pod:
        """A Task in a Pod of its own, ready to start."""
        extra = [{"name": name, "value": value} for name, value in (env or {}).items()]
        template = builders.template(config=self.settings | config, podSpec={"extraEnv": extra})
        config_map, pod = desired(builders.task(description=description), template)
        return await self._ready(pod, config_map)

    async def client(self, description: str) -> Pod:
        """The Pod that hands a Task to the live server."""
        config_map, pod = desired(builders.task(description=description), self._agent())
        return await self._ready(pod, config_map, self._secret())

    async def server(self) -> Pod:
        """The Pod of the live server."""
        objects = live(self._agent())
        template = objects["Deployment/solo-server"]["spec"]["template"]
        pod = template | {"metadata": {"name": "solo-server", "namespace": builders.NAMESPACE}}
        return await self._ready(pod, self._secret(), *objects.values())

    def _agent(self) -> Any:
        return builders.agent(config=self.settings, port=self.port)

    def _secret(self) -> Json:
        data = {"password": base64.b64encode(PASSWORD.encode()).decode()}
        return {"kind": "Secret", "metadata": {"name": names.server_password("solo")}, "data": data}

    async def _ready(self, pod: Json, *objects: Json) -> Pod:
        made = Pod(self.folder / str(len(self.pods)), self.program, pod, objects)
        self.pods.append(made)
        await made.prepare()
        return made

    async def stop(self) -> None:
        """End everything."""
        for pod in self.pods:
            await pod.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(
    tmp_path_factory: pytest.TempPathFactory,
    binary: str,
    provider: Json,
    unused_tcp_port_factory: Callable[[], int],
) -> AsyncIterator[House]:
    why = await processes.refusal(shutil.which("bwrap") or "")
    if why := why or ("" if shutil.which("ip") else "ip is not installed (Debian, Ubuntu: iproute2)"):
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(why)
    made = House(tmp_path_factory.mktemp("house"), Path(binary), provider, unused_tcp_port_factory())
    try:
        yield made
    finally:
        await made.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def way_out(house: House, model: Any) -> AsyncIterator[tuple[Path, int]]:
    """A socket that leads to the model, and the model's port."""
    socket = house.folder / "way-out" / "model"
    socket.parent.mkdir()
    forward = bridge.forwarder(lambda: asyncio.open_connection("127.0.0.1", model.port))
    async with await asyncio.start_unix_server(forward, socket):
        yield socket, model.port


class Live:
    """A live server's Pod, running."""

    def __init__(self, pod: Pod, running: Running, url: str) -> None:
        self.pod, self.running, self.url = pod, running, url


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def agent(house: House) -> Live:
    pod = await house.server()
    return Live(pod, await pod.start(), f"http://127.0.0.1:{house.port}")


class Crowd:
    """Three Tasks that start at once, and at the same time as the live server, each on a fresh home."""

    def __init__(self, pods: dict[str, Pod], running: dict[str, Running]) -> None:
        self.pods, self.running = pods, running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def crowd(house: House, way_out: tuple[Path, int], agent: Live) -> Crowd:
    pods = {
        "searches": await house.task("search the house", skills={"paths": ["/workspace/skills"]}),
        "sleeps": await house.task("sleep for ever"),
        "is cut off": await house.task("write the file"),
    }
    workspace = pods["searches"].volume("workspace")
    (workspace / "skills" / "finding").mkdir(parents=True)
    (workspace / "skills" / "finding" / "SKILL.md").write_text(SKILL)
    (workspace / "haystack.txt").write_text("hay\na needle\nhay\n")
    running = {name: await pod.start() for name, pod in pods.items() if name != "is cut off"}
    running["is cut off"] = await pods["is cut off"].start_alone(rendered.DROPPING, *way_out)
    return Crowd(pods, running)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(house: House, agent: Live) -> Running:
    """A handed-over Task that the provider refuses, ended."""
    await until(lambda: "server listening" in agent.running.said, agent.running)
    running = await (await house.client("refuse me")).start()
    await running.end()
    return running


async def until(condition: Callable[[], bool], running: Running, seconds: float = 40.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            assert running.process.returncode is None, running.said
            await asyncio.sleep(0.02)


def idle() -> float:
    """A clock that leaves out what programs that have ended have computed, so that a busy machine is no delay."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.monotonic() - used.ru_utime - used.ru_stime


def words(pid: int) -> bytes:
    """A process's command line."""
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def results(model: Any, words: str) -> list[str]:
    """What the tools answered in the conversation that began with these words."""
    asked = [each for each in model.requests if each.get("tools") and words in str(each["messages"])]
    return [str(each["content"]) for each in asked[-1]["messages"] if each["role"] == "tool"]


async def test_1_a_pod_that_is_told_to_stop_ends_at_once(house: House, unused_tcp_port: int):
    pod = await House(house.folder / "stopped", house.program, house.settings, unused_tcp_port).server()
    running = await pod.start()
    try:
        await until(lambda: "server listening" in running.said, running)
        running.terminate()

        assert await running.end(5) == 143
    finally:
        await pod.stop()


async def test_4_the_tools_that_need_ripgrep_find_it(crowd: Crowd, model: Any):
    running = crowd.running["searches"]

    assert await running.end() == 0, running.said
    skill, glob, grep, _ = results(model, "search the house")
    assert "Look below the haystack." in skill
    assert "/workspace/haystack.txt" in glob
    assert "a needle" in grep


async def test_7_a_server_that_does_not_answer_its_first_connection_holds_nobody_up(agent: Live, driver: Any):
    swallowed: list[Any] = []
    host, _, port = agent.url.removeprefix("http://").partition(":")
    forward = bridge.forwarder(lambda: asyncio.open_connection(host, int(port)))

    async def silent_at_first(reader: Any, writer: Any) -> None:
        if not swallowed:
            swallowed.append(writer)
            return
        await forward(reader, writer)

    async with await asyncio.start_server(silent_at_first, "127.0.0.1", 0) as proxy:
        own = f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}"
        run = await driver.start("hello", f"--attach={own}", "--directory=/workspace")

        assert await run.end() == 0, run.transcript
        assert run.lines[-1] == "Very well."
        assert swallowed
        swallowed[0].close()
        proxy.close()


async def test_8_pods_that_start_together_do_not_disturb_each_other(crowd: Crowd):
    sleeper = crowd.running["sleeps"]
    homes = {pod.volume("home") for pod in crowd.pods.values()}

    assert len(homes) == len(crowd.pods)
    await until((crowd.pods["sleeps"].volume("workspace") / "pid").exists, sleeper)
    for name in ("searches", "is cut off"):
        assert await crowd.running[name].end() == 0, crowd.running[name].said


async def test_9_nothing_that_the_agent_wants_waits_for_a_person(crowd: Crowd, model: Any):
    running = crowd.running["searches"]

    assert await running.end() == 0, running.said
    assert "It is found." in running.said
    assert "127.0.0.1 localhost" in results(model, "search the house")[-1], "a file outside of the workspace"


async def test_10_an_open_standard_input_holds_nobody_up(crowd: Crowd, agent: Live, client: Running):
    assert client.process.returncode is not None
    assert await crowd.running["searches"].end() == 0, crowd.running["searches"].said
    (server,) = (pid for pid in agent.running.left() if b"opencode\0serve\0" in words(pid))
    assert Path(f"/proc/{server}/fd/0").readlink() == Path("/dev/null")


@pytest.mark.parametrize("kind", ["task", "server"])
async def test_11_without_its_configuration_the_agent_does_not_start(house: House, model: Any, kind: str):
    pod = await (house.server() if kind == "server" else house.task("never asked"))
    (pod.volume("tools") / "opencode.json").unlink()
    running = await pod.start()

    assert await running.end(5) == 1
    assert running.said == "OPENCODE_CONFIG names /tools/opencode.json, which cannot be read\n"


SHAPES = {
    "bare": {},
    "configured": {"config": {"permission": "ask"}, "trustWorkspaceConfig": True},
    "behind a proxy": {"proxy": {"httpProxy": "", "httpsProxy": "http://proxy:8080"}, "workspaceDir": "/work"},
    "with an empty text": {"contexts": [{"type": "Text", "text": ""}], "config": "{}"},
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("native_sidecars", [True, False])
async def test_12_no_variable_of_the_program_is_ever_empty(shape: str, native_sidecars: bool):
    cluster, spec = Cluster(native_sidecars=native_sidecars), SHAPES[shape]
    task = builders.task(description="")
    _, alone = desired(task, builders.template(**spec), cluster=cluster)
    _, attached = desired(task, builders.agent(**spec), cluster=cluster)
    server = live(builders.agent(**spec), cluster=cluster)["Deployment/solo-server"]["spec"]["template"]
    for pod in (alone, attached, server):
        for container in containers(pod["spec"]):
            empty = [name for name, value in env(container).items() if name.startswith("OPENCODE_") and not value]
            assert not empty, container["name"]


async def test_13_what_a_run_leaves_behind_goes_with_its_pod(crowd: Crowd):
    pod, running = crowd.pods["searches"], crowd.running["searches"]

    assert await running.end() == 0, running.said
    left = [path for path in pod.volume("home").glob(".*.so") if path.stat().st_size > 1_000_000]
    assert len(left) == 1
    assert (pod.volume("record") / "opencode.db").exists()
    assert {"home", "record"} <= {volume.name for volume in pod.pod.spec.volumes if volume.emptyDir}


async def test_14_no_process_of_a_tool_outlives_its_pod(crowd: Crowd):
    sleeper = crowd.running["sleeps"]
    await until((crowd.pods["sleeps"].volume("workspace") / "pid").exists, sleeper)
    assert len(sleeper.left()) >= 3, "the shell, the agent and its tool"

    sleeper.kill()

    await sleeper.end(5)
    assert sleeper.left() == []


async def test_15_an_ordinary_run_stays_far_below_its_memory_limit(crowd: Crowd):
    assert await crowd.running["searches"].end() == 0, crowd.running["searches"].said
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    _, pod = desired(builders.task(), builders.template())
    limit = environment.quantity(main(pod)["resources"]["limits"]["memory"])

    assert 100 * 2**20 < peak < limit / 2


# What follows is in this order so that the long silence of the dropping network passes while other tests work.


async def test_6_a_network_that_swallows_every_packet_costs_seconds_and_not_the_task(crowd: Crowd):
    running = crowd.running["is cut off"]

    assert await running.end() == 0, running.said
    assert (crowd.pods["is cut off"].volume("workspace") / "hello.txt").read_text() == "hello\n"


async def test_5_a_plugin_does_not_hold_up_an_agent_that_knows_there_is_no_internet(
    house: House, crowd: Crowd, way_out: tuple[Path, int]
):
    await crowd.running["is cut off"].end()
    pod = await house.task("hello", env=WITHOUT_INTERNET, plugin=["file:///workspace/plugin.js"])
    (pod.volume("workspace") / "plugin.js").write_text(PLUGIN)
    began = idle()
    running = await pod.start_alone(rendered.REFUSING, *way_out)

    assert await running.end() == 0, running.said
    assert (pod.volume("workspace") / "ran").exists()
    assert idle() - began < 10


async def test_2_the_pod_of_a_refused_task_fails(client: Running, model: Any):
    assert any("refuse me" in str(request["messages"]) for request in model.requests), client.said
    assert client.process.returncode == 1
