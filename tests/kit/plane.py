"""A plane in memory: the real API server and the real controllers; the test itself is the kubelet."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from kubeopencode import wiring
from kubeopencode.api import core, kinds, workloads
from kubeopencode.api.agent import Agent
from kubeopencode.api.meta import Json, Resource
from kubeopencode.api.task import Task
from kubeopencode.apiserver.server import ApiServer
from kubeopencode.apiserver.settings import Settings
from kubeopencode.apiserver.storage import Storage
from kubeopencode.kube import client, config, errors

RESOURCES: dict[str, Resource[Any]] = {
    resource.kind: resource
    for resource in (*kinds.KINDS, core.PODS, core.CONFIGMAPS, core.SECRETS, core.NAMESPACES, workloads.DEPLOYMENTS)
}
PATIENCE = 10.0


class Plane:
    """What a test does to a plane and what it sees of it."""

    def __init__(self, api: client.Client) -> None:
        self.api = api
        self._operator: wiring.Operator | None = None
        self._running: asyncio.Task[None] | None = None

    async def start_operator(self, *middleware: Any) -> None:
        """Controllers with empty caches, as after a start of the process."""
        through = self.api.through(*middleware) if middleware else self.api
        self._operator = wiring.Operator(through, wiring.OperatorSettings(b"key"))
        self._running = asyncio.create_task(self._operator.run())

    async def kill_operator(self) -> None:
        """The controllers end at once, as the process would by kill -9."""
        if self._running is not None:
            self._running.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await self._running
            self._running = None

    async def apply(self, *objects: Json) -> None:
        """Create objects, in order."""
        for body in objects:
            await self.api.create(RESOURCES[body["kind"]], body, body["metadata"].get("namespace", ""))

    async def namespace(self, name: str) -> None:
        """There is a namespace of that name."""
        with suppress(errors.AlreadyExists):
            await self.api.create(core.NAMESPACES, {"metadata": {"name": name}})

    async def task(self, name: str, namespace: str = "default") -> Task:
        """A Task as it is now."""
        return await self.api.get(kinds.TASKS, name, namespace)

    async def agent(self, name: str) -> Agent:
        """An Agent as it is now."""
        return await self.api.get(kinds.AGENTS, name, "default")

    async def exists(self, resource: Resource[Any], name: str, namespace: str = "default") -> bool:
        """There is an object of that name."""
        try:
            await self.api.get(resource, name, namespace)
        except errors.NotFound:
            return False
        return True

    async def pod_status(self, name: str, namespace: str = "default", **status: Any) -> None:
        """What a kubelet would report of a Pod."""
        await self.api.patch(core.PODS, name, {"status": status}, namespace, options=client.STATUS)

    async def finish_pod(self, name: str, *, code: int = 0, message: str = "", namespace: str = "default") -> None:
        """The Pod's agent ends."""
        await self.until_exists(core.PODS, name, namespace)
        ended = {"exitCode": code, "reason": "Completed" if code == 0 else "Error", "message": message}
        status = {
            "name": "agent",
            "state": {"terminated": ended},
            "ready": False,
            "image": "x",
            "imageID": "",
            "restartCount": 0,
        }
        phase = "Succeeded" if code == 0 else "Failed"
        await self.pod_status(name, namespace, phase=phase, containerStatuses=[status])

    async def remove_pod(self, name: str, namespace: str = "default") -> None:
        """The Pod vanishes, as when its node dies."""
        await self.api.delete(core.PODS, name, namespace, options=client.DeleteOptions(grace_seconds=0))

    async def server_ready(self, agent: str) -> None:
        """The Agent's Deployment reports a ready Pod."""
        await self.until_exists(workloads.DEPLOYMENTS, f"{agent}-server")
        status = {"status": {"replicas": 1, "readyReplicas": 1, "availableReplicas": 1, "updatedReplicas": 1}}
        await self.api.patch(workloads.DEPLOYMENTS, f"{agent}-server", status, "default", options=client.STATUS)

    async def until(self, check: Callable[[], Awaitable[Any]], what: str = "") -> Any:
        """What `check` returns once it is true; it is asked again every few milliseconds."""
        deadline = time.monotonic() + PATIENCE
        while True:
            if found := await check():
                return found
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {PATIENCE:g} s: {what or check}")
            await asyncio.sleep(0.005)

    async def until_exists(self, resource: Resource[Any], name: str, namespace: str = "default") -> None:
        """An object appears."""
        await self.until(lambda: self.exists(resource, name, namespace), f"{resource.kind} {name} exists")

    async def until_gone(self, resource: Resource[Any], name: str, namespace: str = "default") -> None:
        """An object disappears."""

        async def gone() -> bool:
            return not await self.exists(resource, name, namespace)

        await self.until(gone, f"{resource.kind} {name} is gone")

    async def until_phase(self, name: str, phase: str, namespace: str = "default") -> Task:
        """A Task reaches a phase."""

        async def reached() -> Task | None:
            found = await self.task(name, namespace)
            return found if found.status.phase == phase else None

        found: Task = await self.until(reached, f"Task {name} is {phase}")
        return found

    async def until_queued(self, name: str, reason: str) -> Task:
        """A Task waits for that reason."""

        async def waits() -> Task | None:
            found = await self.task(name)
            told = [each for each in found.status.conditions if each.type == "Queued" and each.status == "True"]
            return found if told and told[0].reason == reason else None

        found: Task = await self.until(waits, f"Task {name} is queued: {reason}")
        return found


REAL = "KUBEOPENCODE_TEST_KUBECONFIG"
"""Names the kubeconfig of a real API server to run the same tests against. What it holds in `default` is deleted."""


@asynccontextmanager
async def ready(folder: Path) -> AsyncIterator[Plane]:
    """A plane with our definitions installed and no controllers running yet: in memory, or the real one of REAL."""
    kubeconfig = os.environ.get(REAL)
    async with _real(Path(kubeconfig)) if kubeconfig else _in_memory(folder) as api:
        await wiring.install_definitions(api)
        plane = Plane(api)
        try:
            yield plane
        finally:
            await plane.kill_operator()


@asynccontextmanager
async def _in_memory(folder: Path) -> AsyncIterator[client.Client]:
    socket = folder / "api.sock"
    server = ApiServer(Storage.memory(), settings=Settings())
    await server.start()
    await server.listen_unix(socket)
    async with client.Client(config.local_socket(socket)) as api:
        yield api
    await server.stop()


@asynccontextmanager
async def _real(kubeconfig: Path) -> AsyncIterator[client.Client]:
    async with client.Client(config.load(kubeconfig)) as api:
        await _emptied(Plane(api))
        yield api


async def _emptied(plane: Plane) -> None:
    """Nothing of an earlier test is left."""
    for resource in (kinds.TASKS, kinds.AGENTS, kinds.AGENTTEMPLATES, kinds.TASKTEMPLATES, kinds.CONFIGS):
        with suppress(errors.NotFound):
            for found in (await plane.api.list(resource)).items:
                patch = {"metadata": {"finalizers": None}}
                await plane.api.patch(resource, found.metadata.name, patch, found.metadata.namespace)
                with suppress(errors.NotFound):
                    await plane.api.delete(resource, found.metadata.name, found.metadata.namespace)
    now = client.DeleteOptions(grace_seconds=0)
    for resource in (workloads.DEPLOYMENTS, core.PODS, core.CONFIGMAPS, core.SECRETS, core.SERVICES):
        for found in (await plane.api.list(resource)).items:
            meta = found.metadata
            if meta.namespace in ("default", "platform") and meta.name not in ("kubernetes", "kube-root-ca.crt"):
                with suppress(errors.NotFound):
                    await plane.api.delete(resource, meta.name, meta.namespace, options=now)
