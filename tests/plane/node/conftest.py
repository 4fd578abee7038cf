from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kubeopencode.api import core
from kubeopencode.api.meta import Json, Key, Resource
from kubeopencode.apiserver import gateway, server, storage
from kubeopencode.apiserver.settings import Settings
from kubeopencode.kube import client, config, errors
from kubeopencode.node import embedded, pretend, processes, programs
from kubeopencode.node.runner import Launch, Runner


@pytest.fixture(scope="session")
def bubblewrap() -> None:
    """Skips where no sandbox can be made, but never silently in CI."""
    why = asyncio.run(processes.refusal(shutil.which("bwrap") or ""))
    if why and os.environ.get("CI") == "true":
        pytest.fail(why)
    if why:
        pytest.skip(why)


@pytest.fixture
async def runner(tmp_path: Path, bubblewrap: None) -> AsyncIterator[processes.ProcessRunner]:
    made = processes.ProcessRunner(tmp_path / "pods")
    await made.prepare()
    yield made
    for directory in (tmp_path / "pods").glob("*"):
        made.forget(directory.name)


class Plane:
    """An API server in memory, a node, and a client that looks at both from outside."""

    def __init__(self, data: Path, runner: Runner | None = None, opencode: Path | None = None) -> None:
        self.data = data
        self._socket = data / "api.sock"
        self._settings = embedded.NodeSettings(data / "node", opencode, data / "images.yaml", runner=runner)
        (data / "images.yaml").write_text("images: {host: {entrypoint: [/bin/sh, -c]}}")
        self.client = client.Client(config.local_socket(self._socket, "t"))
        self.node = self._node()
        self._server: server.ApiServer | None = None

    def _node(self) -> embedded.Node:
        return embedded.Node(self.client, replace(self._settings, refusal=gateway.KubeletError))

    async def start(self) -> None:
        settings = Settings(tokens={"t": "admin"}, kubelet=self.node.gateway)
        self._server = server.ApiServer(storage.Storage(), settings=settings)
        await self._server.start()
        await self._server.listen_unix(self._socket)
        await self.node.start()

    async def stop(self) -> None:
        await self.node.stop()
        await self.client.close()
        assert self._server is not None
        await self._server.stop()

    async def reborn(self) -> None:
        """The node dies and another takes its place; containers live on."""
        await self.node.stop(keep_running=True)
        self.node = self._node()
        await self.node.start()

    async def create(self, resource: Resource[Any], body: Json) -> Any:
        return await self.client.create(resource, body, "default")

    async def pod(self, name: str, script: str = "", **spec: Any) -> Any:
        """A Pod with one container `main` that runs a shell script; `spec` adds to the Pod's spec."""
        main = {"name": "main", "image": "host", "command": ["/bin/sh", "-c", script], **spec.pop("main", {})}
        body = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 5, "containers": [main], **spec}
        return await self.create(core.PODS, {"metadata": {"name": name, "labels": {"app": name}}, "spec": body})

    async def get(self, resource: Resource[Any], name: str) -> Any:
        return await self.client.get(resource, name, "default")

    async def until(self, resource: Resource[Any], name: str, condition: Callable[[Any], bool]) -> Any:
        """Wait until an object satisfies a condition; it is told as it last was if it never does."""
        found: Any = None
        try:
            async with asyncio.timeout(20):
                while True:
                    with contextlib.suppress(errors.NotFound):
                        found = await self.get(resource, name)
                        if condition(found):
                            return found
                    await asyncio.sleep(0.02)
        except TimeoutError:
            pytest.fail(f"{resource.kind} {name} never came to that; it is {found}")

    async def until_phase(self, name: str, phase: str) -> Any:
        return await self.until(core.PODS, name, lambda pod: pod.status.phase == phase)

    async def until_gone(self, resource: Resource[Any], name: str) -> None:
        async with asyncio.timeout(20):
            while True:
                try:
                    await self.get(resource, name)
                except errors.NotFound:
                    return
                await asyncio.sleep(0.02)

    async def logs(self, name: str, container: str = "main") -> str:
        request = gateway.LogRequest(Key("default", name), container)
        return b"".join([piece async for piece in self.node.gateway.logs(request)]).decode()


@pytest.fixture
async def plane(tmp_path: Path, bubblewrap: None) -> AsyncIterator[Plane]:
    made = Plane(tmp_path)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def plane_with_opencode(tmp_path: Path, bubblewrap: None) -> AsyncIterator[Plane]:
    made = Plane(tmp_path, opencode=programs.opencode())
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def pretended(tmp_path: Path) -> AsyncIterator[Plane]:
    """A plane whose containers are pretended: each ends at once unless it is called "server"."""

    def fate(launch: Launch) -> pretend.Fate:
        return pretend.Fate(None) if launch.id.name == "server" else pretend.Fate(0, int("fail" in launch.argv))

    made = Plane(tmp_path, pretend.PretendRunner(fate))
    await made.start()
    yield made
    await made.stop()
