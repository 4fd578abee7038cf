from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from tests.plane.apiserver.plane import CORE, Api

POD = f"{CORE}/pods/p"


@pytest.fixture
async def pod(api: Api) -> Api:
    spec = {"nodeName": "here", "containers": [{"name": "main", "image": "x"}]}
    await api.create(f"{CORE}/pods", {"metadata": {"name": "p"}, "spec": spec})
    return api


async def test_a_log_comes_from_the_kubelet(pod: Api) -> None:
    assert (await pod.get(f"{POD}/log?tailLines=3&follow=true")).raw == b"main tail=3 follow=True\n"
    answer = await pod.get(f"{POD}/log?container=other")
    assert (answer.code, answer.message) == (400, "container other is not valid for pod p")


async def run(api: Api, query: str, *sent: bytes) -> list[tuple[int, Any]]:
    found: list[tuple[int, Any]] = []
    async with api.session.ws_connect(f"{POD}/exec?{query}", protocols=("v5.channel.k8s.io",)) as socket:
        for data in sent:
            await socket.send_bytes(data)
        async for message in socket:
            found.append((message.data[0], message.data[1:]))
    return found


async def test_a_command_answers_on_its_channels(pod: Api) -> None:
    found = await run(pod, "command=echo&command=a%20b&stdout=true")
    assert found[0] == (1, b"echo a b\n")
    assert (found[1][0], json.loads(found[1][1])["status"]) == (3, "Success")


async def test_standard_input_can_be_closed(pod: Api) -> None:
    found = await run(pod, "command=cat&stdin=true", b"\x00hello", b"\xff\x00")
    assert found[0] == (1, b"hello")


async def test_an_exit_code_comes_as_a_status(pod: Api) -> None:
    found = await run(pod, "command=fail")
    outcome = json.loads(found[-1][1])
    assert found[0] == (2, b"no\n")
    assert (outcome["reason"], outcome["details"]["causes"]) == (
        "NonZeroExitCode",
        [{"reason": "ExitCode", "message": "7"}],
    )


async def test_a_port_is_forwarded(pod: Api) -> None:
    async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.readline()).upper())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(shout, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with (
        server,
        pod.session.ws_connect(f"{POD}/portforward?ports={port}", protocols=("v4.channel.k8s.io",)) as socket,
    ):
        for channel in (0, 1):
            assert await socket.receive_bytes() == bytes((channel,)) + port.to_bytes(2, "little")
        await socket.send_bytes(b"\x00hello\n")
        assert await socket.receive_bytes() == b"\x00HELLO\n"
