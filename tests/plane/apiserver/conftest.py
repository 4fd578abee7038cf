"""A running server on a Unix socket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from tests.plane.apiserver.plane import CRD, CRDS, Api, FakeKubelet

from kubeopencode.apiserver.server import ApiServer
from kubeopencode.apiserver.settings import Settings
from kubeopencode.apiserver.storage import Storage


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    made = ApiServer(Storage.memory(), settings=Settings(tokens={"secret": "me"}, kubelet=FakeKubelet()))
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def api(server: ApiServer, tmp_path: Path) -> AsyncIterator[Api]:
    path = tmp_path / "api.sock"
    await server.listen_unix(path)
    connector = aiohttp.UnixConnector(str(path))
    timeout = aiohttp.ClientTimeout(10)
    async with aiohttp.ClientSession("http://plane", connector=connector, timeout=timeout) as session:
        yield Api(session)


@pytest.fixture
async def tasks(api: Api) -> Api:
    answer = await api.create(CRDS, CRD)
    assert answer.code == 201, answer.message
    return api
