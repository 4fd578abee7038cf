"""A scripted API server: it lists and watches ConfigMaps and fails exactly as it is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web

from kubeopencode.kube import client, config

Fault = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ScriptedServer:
    """Holds `a` and `b` at version 10; then `b` goes (11) and `done` comes (12)."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self.names = ["a", "b"]
        self.version = 10
        self.history = [(11, "DELETED", "b"), (12, "ADDED", "done")]
        self.faults: list[Fault] = []
        self.always: Fault | None = None
        self.routes: dict[str, Fault] = {}
        self.oldest = 0
        self.lists: list[str] = []
        self.watches: list[str] = []
        self.seen: list[web.Request] = []

    def config_map(self, name: str, version: int = 10, **data: object) -> dict[str, object]:
        return {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": "ns", "uid": f"uid-{name}", "resourceVersion": str(version)},
            "data": data,
        }

    def line(self, kind: str, name: str, version: int, **data: object) -> bytes:
        return json.dumps({"type": kind, "object": self.config_map(name, version, **data)}).encode() + b"\n"

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(request)
        if route := self.routes.get(f"{request.method} {request.path}"):
            return await route(request)
        if request.query.get("watch") != "1":
            return await self.list(request)
        self.watches.append(request.query["resourceVersion"])
        if self.faults:
            return await self.faults.pop(0)(request)
        if self.always:
            return await self.always(request)
        if int(request.query["resourceVersion"]) < self.oldest:
            return web.json_response(status(410, "Expired"), status=410)
        return await self.watch(request)

    async def list(self, request: web.Request) -> web.StreamResponse:
        self.lists.append(request.query.get("continue", ""))
        if len(self.lists) > 1:
            # Whoever lists again sees what has become of the world.
            self.names, self.version = ["a", "done"], 12
        items = [self.config_map(name, 12 if name == "done" else 10) for name in self.names]
        return web.json_response({"metadata": {"resourceVersion": str(self.version)}, "items": items})

    async def watch(self, request: web.Request) -> web.StreamResponse:
        response = await opened(request)
        for version, kind, name in self.history:
            if version > int(request.query["resourceVersion"]):
                await response.write(self.line(kind, name, version))
        return await held(request, response)


def status(code: int, reason: str) -> dict[str, object]:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "message": reason,
        "reason": reason,
        "code": code,
    }


async def opened(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    response.enable_chunked_encoding()
    await response.prepare(request)
    return response


async def held(request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    """Say nothing until the client goes away."""
    while request.transport is not None and not request.transport.is_closing():
        await asyncio.sleep(0.01)
    return response


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ScriptedServer]:
    scripted = ScriptedServer(tmp_path / "api.sock")
    runner = web.ServerRunner(web.Server(scripted.handle, access_log=None), shutdown_timeout=0.1)
    await runner.setup()
    await web.UnixSite(runner, str(scripted.socket)).start()
    yield scripted
    await runner.cleanup()


@pytest.fixture
async def kube(server: ScriptedServer) -> AsyncIterator[client.Client]:
    async with client.Client(config.local_socket(server.socket, "secret")) as connection:
        yield connection
