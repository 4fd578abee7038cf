"""Logs, exec and port-forward: what the API server only carries between a client and the kubelet.

Exec and port-forward speak Kubernetes' WebSocket protocols, in which the first byte of a message names its channel.
"""

from __future__ import annotations

import asyncio
import struct
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import msgspec
from aiohttp import WSMsgType, web

from kubeopencode.api.meta import Json
from kubeopencode.apiserver import objects, status, tunnel
from kubeopencode.apiserver.calls import Call
from kubeopencode.apiserver.gateway import ExecRequest, Kubelet, KubeletError, LogRequest, Session
from kubeopencode.apiserver.storage import Storage
from kubeopencode.apiserver.writes import Target

_STDIN, _ERROR, _RESIZE, _CLOSE = 0, 3, 4, 255
_EXEC = ("v5.channel.k8s.io", "v4.channel.k8s.io")
_FORWARD = ("v4.channel.k8s.io",)
_CHUNK = 64 * 1024


class _Size(msgspec.Struct, rename={"width": "Width", "height": "Height"}):
    width: int = 0
    height: int = 0


def _kubelet(kubelet: Kubelet | None) -> Kubelet:
    if kubelet is None:
        raise status.Failure(503, "no kubelet is connected: this server stores Pods and runs none")
    return kubelet


def _pod(storage: Storage, target: Target) -> Json:
    record = storage.get(target.place)
    if record is None:
        raise target.missing()
    if target.kind.collection != "/pods":
        raise status.no_such_path()
    return objects.decode(record.raw)


def _container(call: Call, pod: Json) -> str:
    spec = objects.section(pod, "spec")
    groups = ("containers", "initContainers", "ephemeralContainers")
    names = [str(found.get("name")) for group in groups for found in objects.items(spec, group)]
    wanted = call.query.get("container", "")
    name = objects.metadata(pod).get("name")
    if wanted:
        if wanted not in names:
            raise status.bad_request(f"container {wanted} is not valid for pod {name}")
        return wanted
    main = [str(found.get("name")) for found in objects.items(spec, "containers")]
    if len(main) != 1:
        raise status.bad_request(
            f"a container name must be specified for pod {name}, choose one of: [{' '.join(names)}]"
        )
    return main[0]


async def log(call: Call, storage: Storage, target: Target, kubelet: Kubelet | None) -> web.StreamResponse:
    """`pods/{name}/log`. Raises Failure 400, 404 or 503."""
    pod = _pod(storage, target)
    since = objects.moment(call.query.get("sinceTime"))
    if (seconds := call.number("sinceSeconds")) is not None:
        since = datetime.now(UTC) - timedelta(seconds=seconds)
    wanted = LogRequest(
        pod=target.place.key,
        container=_container(call, pod),
        follow=call.flag("follow"),
        previous=call.flag("previous"),
        timestamps=call.flag("timestamps"),
        tail=call.number("tailLines"),
        since=since,
        limit_bytes=call.number("limitBytes"),
    )
    pieces = _kubelet(kubelet).logs(wanted)
    try:
        first = await anext(pieces, b"")
    except KubeletError as error:
        raise status.bad_request(str(error)) from error
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    response.enable_chunked_encoding()
    await response.prepare(call.request)
    with suppress(ConnectionError, KubeletError):
        await response.write(first)
        async for piece in pieces:
            await response.write(piece)
    return response


async def execute(call: Call, storage: Storage, target: Target, kubelet: Kubelet | None) -> web.StreamResponse:
    """`pods/{name}/exec` over a WebSocket. Raises Failure 400, 404 or 503."""
    pod = _pod(storage, target)
    command = tuple(call.request.query.getall("command", []))
    if not command:
        raise status.bad_request("you must specify at least 1 command for the container")
    wanted = ExecRequest(
        pod=target.place.key,
        command=command,
        container=_container(call, pod),
        stdin=call.flag("stdin"),
        tty=call.flag("tty"),
    )
    runner = _kubelet(kubelet)
    socket = await _upgrade(call, _EXEC)
    try:
        session = await runner.exec(wanted)
    except KubeletError as error:
        await _finish(socket, _failed(str(error)))
        return socket
    reading = asyncio.create_task(_feed(socket, session))
    try:
        async for channel, data in session.output():
            await socket.send_bytes(bytes((channel,)) + data)
        await _finish(socket, _ended(await session.wait()))
    except ConnectionError:
        pass
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        await session.close()
    return socket


async def _upgrade(call: Call, protocols: tuple[str, ...]) -> web.WebSocketResponse:
    if call.request.headers.get("Upgrade", "").lower() != "websocket":
        raise status.bad_request("Upgrade request required: this server speaks WebSocket here")
    offered = [name.strip() for name in call.request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
    if not set(offered) & set(protocols):
        raise status.bad_request(f"unable to upgrade: the server speaks {', '.join(protocols)}, not {offered}")
    socket = web.WebSocketResponse(protocols=protocols, max_msg_size=16 * 1024 * 1024)
    await socket.prepare(call.request)
    return socket


async def _feed(socket: web.WebSocketResponse, session: Session) -> None:
    """Give a command what the client sends; a client that leaves ends the command."""
    async for message in socket:
        if message.type is not WSMsgType.BINARY or not message.data:
            continue
        channel, data = message.data[0], message.data[1:]
        if channel == _STDIN:
            await session.write(data)
        elif channel == _CLOSE and data[:1] == b"\x00":
            await session.close_input()
        elif channel == _RESIZE:
            with suppress(msgspec.DecodeError):
                size = msgspec.json.decode(data, type=_Size)
                await session.resize(size.width, size.height)
    await session.close()


def _ended(code: int) -> Json:
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: exit status {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


def _failed(message: str) -> Json:
    return {"metadata": {}, "status": "Failure", "message": message, "reason": "InternalError", "code": 500}


async def _finish(socket: web.WebSocketResponse, outcome: Json) -> None:
    await socket.send_bytes(bytes((_ERROR,)) + objects.encode(outcome))
    await socket.close()


async def forward(call: Call, storage: Storage, target: Target, kubelet: Kubelet | None) -> web.StreamResponse:
    """`pods/{name}/portforward`: kubectl's tunnel, or channels (2n carries port n, 2n+1 its error)."""
    _pod(storage, target)
    if tunnel.PROTOCOL in call.request.headers.get("Sec-WebSocket-Protocol", ""):
        runner = _kubelet(kubelet)
        socket = await _upgrade(call, (tunnel.PROTOCOL,))
        await tunnel.Tunnel(socket, runner, target.place.key).run()
        return socket
    numbers = [text for value in call.request.query.getall("ports", []) for text in value.split(",")]
    if not numbers or not all(text.isdigit() and 0 < int(text) < 65_536 for text in numbers):
        raise status.bad_request(f"ports: {','.join(numbers)!r} is not a list of port numbers")
    runner = _kubelet(kubelet)
    socket = await _upgrade(call, _FORWARD)
    writers: dict[int, asyncio.StreamWriter] = {}
    carriers: list[asyncio.Task[None]] = []
    try:
        for index, text in enumerate(numbers):
            mark = struct.pack("<H", int(text))
            await socket.send_bytes(bytes((2 * index,)) + mark)
            await socket.send_bytes(bytes((2 * index + 1,)) + mark)
            try:
                reader, writers[2 * index] = await runner.dial(target.place.key, int(text))
            except (KubeletError, OSError) as error:
                await socket.send_bytes(bytes((2 * index + 1,)) + str(error).encode())
                continue
            carriers.append(asyncio.create_task(_carry(reader, socket, 2 * index)))
        async for message in socket:
            if message.type is WSMsgType.BINARY and message.data and (writer := writers.get(message.data[0])):
                writer.write(message.data[1:])
                await writer.drain()
    except ConnectionError:
        pass
    finally:
        for task in carriers:
            task.cancel()
        await asyncio.gather(*carriers, return_exceptions=True)
        for writer in writers.values():
            writer.close()
    return socket


async def _carry(reader: asyncio.StreamReader, socket: web.WebSocketResponse, channel: int) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(_CHUNK):
            await socket.send_bytes(bytes((channel,)) + data)
        await socket.close()
