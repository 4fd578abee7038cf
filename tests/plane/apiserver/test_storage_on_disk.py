from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import aiohttp
import pytest
from tests.plane.apiserver.plane import CORE, CRD, CRDS, TASKS, Api, config_map, task

from kubeopencode.apiserver import journal
from kubeopencode.apiserver.server import ApiServer
from kubeopencode.apiserver.settings import Settings
from kubeopencode.apiserver.status import Failure
from kubeopencode.apiserver.storage import Storage

CHILD = """
import asyncio, sys
from pathlib import Path
from kubeopencode.apiserver.server import ApiServer
from kubeopencode.apiserver.settings import Settings
from kubeopencode.apiserver.storage import Storage

async def main(data, socket):
    server = ApiServer(Storage.open(Path(data)), settings=Settings())
    await server.start()
    await server.listen_unix(Path(socket))
    print("ready", flush=True)
    await asyncio.Event().wait()

asyncio.run(main(*sys.argv[1:]))
"""


def client(path: Path) -> aiohttp.ClientSession:
    return aiohttp.ClientSession("http://plane", connector=aiohttp.UnixConnector(str(path)))


async def test_every_acknowledged_write_survives_a_kill(tmp_path: Path) -> None:
    data, socket = tmp_path / "data", tmp_path / "api.sock"
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CHILD, str(data), str(socket), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert child.stdout is not None
        assert await asyncio.wait_for(child.stdout.readline(), 20) == b"ready\n"
        async with client(socket) as session:
            api = Api(session)
            await api.create(CRDS, CRD)
            await api.create(TASKS, task("t"))
            for index in range(50):
                last = await api.create(f"{CORE}/configmaps", config_map(f"m{index}"))
            gone = await api.delete(f"{CORE}/configmaps/m49")
            assert (last.code, gone.code) == (201, 200)
    finally:
        child.kill()
        await child.wait()
    server = ApiServer(Storage.open(data), settings=Settings())
    await server.start()
    await server.listen_unix(socket)
    async with client(socket) as session:
        api = Api(session)
        found = (await api.get(f"{CORE}/configmaps")).json
        assert len(found["items"]) == 49
        assert int(found["metadata"]["resourceVersion"]) > int(last.json["metadata"]["resourceVersion"])
        assert (await api.get(f"{TASKS}/t")).code == 200
        assert (await api.create(TASKS, task("u", size=0))).code == 422
    await server.stop()


def test_a_data_directory_has_one_owner(tmp_path: Path) -> None:
    first = Storage.open(tmp_path)
    with pytest.raises(journal.DirectoryInUseError, match="another process serves this data directory"):
        Storage.open(tmp_path)
    first.close()
    Storage.open(tmp_path).close()


async def test_a_refused_disk_write_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = Storage.open(tmp_path / "data")
    server = ApiServer(storage, settings=Settings())
    await server.start()
    await server.listen_unix(tmp_path / "api.sock")
    async with client(tmp_path / "api.sock") as session:
        api = Api(session)
        version = storage.version
        storage.close()
        monkeypatch.setattr(storage, "_journal", Full())
        answer = await api.create(f"{CORE}/configmaps", config_map("a"))
        assert (answer.code, answer.json["reason"]) == (507, "InsufficientStorage")
        assert (await api.get(f"{CORE}/configmaps/a")).code == 404
        assert storage.version == version
    await server.stop()


class Full:
    def put(self, row: journal.Row) -> None:
        raise Failure(507, "the disk that holds the data directory is full; nothing was written")

    def close(self) -> None: ...
