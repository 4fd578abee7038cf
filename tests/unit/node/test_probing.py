from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from kubeopencode.api import core
from kubeopencode.api.probes import ExecAction, HttpGet, Probe
from kubeopencode.node import pretend, probing
from kubeopencode.node.runner import ContainerId, ExecRequest
from kubeopencode.runtime import clock


class Answer:
    """A command that has already ended."""

    def __init__(self, code: int) -> None:
        self.code = code

    async def read(self) -> tuple[int, bytes]:
        return 0, b""

    async def wait(self) -> int:
        return self.code

    async def kill(self) -> None: ...


class Scripted(pretend.PretendRunner):
    """Answers exec probes with exit codes, one after another; the last for ever."""

    def __init__(self, *codes: int) -> None:
        super().__init__()
        self.codes = list(codes)
        self.asked = 0

    async def exec(self, container: ContainerId, request: ExecRequest) -> Any:
        self.asked += 1
        return Answer(self.codes.pop(0) if len(self.codes) > 1 else self.codes[0])


class Scene:
    """A container that is probed, and what was heard of it."""

    def __init__(self, runner: Scripted, **probes: Probe) -> None:
        self.time = clock.ManualClock()
        self.heard: list[Any] = []
        self.runner = runner
        target = probing.Target(ContainerId("u", "c", 0), core.Container("c", **probes), "127.64.0.1")
        listener = probing.Listener(
            lambda: self.heard.append("started"), self.heard.append, lambda why, _: self.heard.append(why)
        )
        self.task = asyncio.create_task(probing.Prober(runner, self.time).watch(target, listener, started=False))


@pytest.fixture
async def scenes() -> AsyncIterator[list[Scene]]:
    made: list[Scene] = []
    yield made
    for scene in made:
        scene.task.cancel()
        await asyncio.gather(scene.task, return_exceptions=True)


def asks(**settings: int) -> Probe:
    return Probe(exec=ExecAction(("check",)), **settings)


async def test_readiness_changes_only_when_a_threshold_is_reached(scenes: list[Scene]):
    scenes.append(scene := Scene(Scripted(0, 1, 1, 1, 0), readinessProbe=asks(periodSeconds=10, failureThreshold=3)))
    await scene.time.advance(0)
    assert scene.heard == ["started", True]
    await scene.time.advance(20)
    assert scene.heard == ["started", True]
    await scene.time.advance(10)
    assert scene.heard == ["started", True, False]
    await scene.time.advance(10)
    assert scene.heard == ["started", True, False, True]


async def test_a_container_has_started_when_its_startup_probe_says_so(scenes: list[Scene]):
    scenes.append(scene := Scene(Scripted(1, 1, 0), startupProbe=asks(periodSeconds=2, failureThreshold=30)))
    await scene.time.advance(3)
    assert scene.heard == []
    await scene.time.advance(1)
    assert scene.heard == ["started", True]


async def test_a_startup_that_takes_too_long_is_unhealthy(scenes: list[Scene]):
    scenes.append(scene := Scene(Scripted(1), startupProbe=asks(periodSeconds=2, failureThreshold=3)))
    await scene.time.advance(10)
    assert scene.heard == ["Startup probe failed: command exited with 1: "]


async def test_liveness_waits_for_its_delay_and_tells_once(scenes: list[Scene]):
    probe = asks(initialDelaySeconds=30, periodSeconds=10, failureThreshold=2)
    scenes.append(scene := Scene(Scripted(1), livenessProbe=probe))
    await scene.time.advance(39)
    assert scene.heard == ["started", True]
    await scene.time.advance(1)
    assert scene.heard[2:] == ["Liveness probe failed: command exited with 1: "]
    await scene.time.advance(100)
    assert len(scene.heard) == 3


async def test_a_named_port_is_looked_up_and_an_unknown_one_is_a_failure():
    container = core.Container("c", ports=(core.ContainerPort(4096, "http"),))
    assert probing.port(container, "http") == 4096
    with pytest.raises(probing.Failed, match='no port named "grpc"'):
        probing.port(container, "grpc")


async def test_a_server_that_is_not_there_is_a_failure():
    prober = probing.Prober(pretend.PretendRunner())
    target = probing.Target(ContainerId("u", "c", 0), core.Container("c"), "127.64.0.1")
    with pytest.raises(probing.Failed, match=r"Get http://127\.64\.0\.1:1/"):
        await prober.ask(target, Probe(httpGet=HttpGet(1)))
    await prober.close()
