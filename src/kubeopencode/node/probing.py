"""Asking a container for its health, as the kubelet does: startup first, then readiness and liveness side by side.

Only observes: what follows from an answer is decided by whoever listens.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import aiohttp

from kubeopencode.api import core, probes
from kubeopencode.node.runner import ContainerId, ExecRequest, Runner, RunnerError
from kubeopencode.runtime import clock

OUTPUT_LIMIT = 1024
"""How much of a failed probe's answer is told."""


class Failed(Exception):  # noqa: N818 - an answer, not a mishap
    """A probe was answered with no; the text says how."""


@dataclass(frozen=True)
class Target:
    """The container to ask."""

    id: ContainerId
    container: core.Container
    ip: str


@dataclass(frozen=True)
class Listener:
    """Who wants to know. Called on every change; `unhealthy` when the container should be restarted."""

    started: Callable[[], None]
    ready: Callable[[bool], None]
    unhealthy: Callable[[str, probes.Probe], None]


class Prober:
    """Carries out probes; one for a whole node."""

    def __init__(self, runner: Runner, time: clock.Clock = clock.SYSTEM) -> None:
        self._runner = runner
        self._clock = time
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    async def watch(self, target: Target, listener: Listener, *, started: bool) -> None:
        """Probe a container until cancelled. `started`: it had started before, the startup probe is over."""
        container = target.container
        if container.startupProbe and not started and not await self._startup(target, container.startupProbe, listener):
            return
        listener.started()
        async with asyncio.TaskGroup() as group:
            if container.readinessProbe:
                group.create_task(self._readiness(target, container.readinessProbe, listener))
            else:
                listener.ready(True)
            if container.livenessProbe:
                group.create_task(self._liveness(target, container.livenessProbe, listener))

    async def ask(self, target: Target, probe: probes.Probe) -> None:
        """One probe, one answer. Raises `Failed`."""
        limit = max(probe.timeoutSeconds, 1)
        try:
            async with clock.timeout(self._clock, limit):
                await self.act(target, probes.LifecycleHandler(probe.exec, probe.httpGet, probe.tcpSocket))
        except TimeoutError:
            raise Failed(f"no answer within {limit} s") from None

    async def act(self, target: Target, handler: probes.LifecycleHandler) -> None:
        """Carry out an action of a probe or a hook. Raises `Failed`."""
        if handler.exec:
            await self._exec(target, handler.exec)
        elif handler.httpGet:
            await self._http(target, handler.httpGet)
        elif handler.tcpSocket:
            await self._tcp(target, handler.tcpSocket)
        elif handler.sleep:
            await clock.sleep(self._clock, handler.sleep.seconds)
        else:
            raise Failed("this kind of probe is not supported by this node; use httpGet, tcpSocket or exec")

    async def _startup(self, target: Target, probe: probes.Probe, listener: Listener) -> bool:
        await clock.sleep(self._clock, probe.initialDelaySeconds)
        failures = 0
        while True:
            try:
                await self.ask(target, probe)
                return True
            except Failed as why:
                failures += 1
                if failures >= probe.failureThreshold:
                    listener.unhealthy(f"Startup probe failed: {why}", probe)
                    return False
            await clock.sleep(self._clock, probe.periodSeconds)

    async def _readiness(self, target: Target, probe: probes.Probe, listener: Listener) -> None:
        async def tell(healthy: bool, _: str) -> bool:
            listener.ready(healthy)
            return True

        await self._repeat(target, probe, tell)

    async def _liveness(self, target: Target, probe: probes.Probe, listener: Listener) -> None:
        async def tell(healthy: bool, why: str) -> bool:
            if not healthy:
                listener.unhealthy(f"Liveness probe failed: {why}", probe)
            return healthy

        await self._repeat(target, probe, tell)

    async def _repeat(self, target: Target, probe: probes.Probe, tell: Callable[[bool, str], Awaitable[bool]]) -> None:
        """Ask for ever; tell when a threshold is reached. Ends when the listener has heard enough."""
        await clock.sleep(self._clock, probe.initialDelaySeconds)
        successes = failures = 0
        while True:
            try:
                await self.ask(target, probe)
                successes, failures, why = successes + 1, 0, ""
            except Failed as error:
                successes, failures, why = 0, failures + 1, str(error)
            reached = (successes, failures) in ((probe.successThreshold, 0), (0, probe.failureThreshold))
            if reached and not await tell(not why and successes > 0, why):
                return
            await clock.sleep(self._clock, probe.periodSeconds)

    async def _http(self, target: Target, action: probes.HttpGet) -> None:
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=False, force_close=True, limit=0))
        url = f"{action.scheme.lower()}://{action.host or target.ip}:{port(target.container, action.port)}"
        path = action.path if action.path.startswith("/") else f"/{action.path}"
        headers = {"User-Agent": "kube-probe/1.35", "Accept": "*/*"}
        headers |= {header.name: header.value for header in action.httpHeaders}
        try:
            async with self._session.get(url + path, headers=headers, allow_redirects=False) as answer:
                if not 200 <= answer.status < 400:
                    raise Failed(f"HTTP probe failed with statuscode: {answer.status}")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Failed(f"Get {url}{path}: {error}") from error

    async def _tcp(self, target: Target, action: probes.TcpSocket) -> None:
        try:
            _, writer = await asyncio.open_connection(action.host or target.ip, port(target.container, action.port))
        except OSError as error:
            raise Failed(f"dial tcp: {error.strerror}") from error
        writer.close()

    async def _exec(self, target: Target, action: probes.ExecAction) -> None:
        try:
            process = await self._runner.exec(target.id, ExecRequest(action.command))
        except RunnerError as error:
            raise Failed(str(error)) from error
        try:
            said = b""
            while (piece := await process.read())[0]:
                said = (said + piece[1])[-OUTPUT_LIMIT:]
            if code := await process.wait():
                raise Failed(f"command exited with {code}: {said.decode(errors='replace').strip()}")
        finally:
            await process.kill()


def port(container: core.Container, wanted: probes.IntOrString) -> int:
    """A port number, or that of the container port with this name. Raises `Failed` for an unknown name."""
    if isinstance(wanted, int):
        return wanted
    for found in container.ports:
        if found.name == wanted:
            return found.containerPort
    if wanted.isdecimal():
        return int(wanted)
    raise Failed(f'container "{container.name}" has no port named "{wanted}"')
