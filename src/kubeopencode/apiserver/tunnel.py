"""Port-forward as kubectl does it: SPDY streams inside a WebSocket, a pair of them for each connection."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field

from aiohttp import WSMsgType, web

from kubeopencode.api.meta import Key
from kubeopencode.apiserver import spdy
from kubeopencode.apiserver.gateway import Kubelet, KubeletError

PROTOCOL = "SPDY/3.1+portforward.k8s.io"
_CHUNK = 32 * 1024


@dataclass
class _Connection:
    """One forwarded connection: the pair of streams, and what the client sent before the port answered."""

    error: int
    data: int
    port: int
    incoming: asyncio.Queue[bytes] = field(default_factory=asyncio.Queue[bytes])
    """An empty piece says that the client sends no more."""


class Tunnel:
    """All connections that one client forwards to one Pod."""

    def __init__(self, socket: web.WebSocketResponse, kubelet: Kubelet, pod: Key) -> None:
        self._socket = socket
        self._kubelet = kubelet
        self._pod = pod
        self._codec = spdy.Codec()
        self._errors: dict[str, int] = {}
        self._connections: dict[int, _Connection] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Carry frames until the client leaves."""
        try:
            async for message in self._socket:
                if message.type is not WSMsgType.BINARY:
                    continue
                for frame in self._codec.feed(message.data):
                    await self._take(frame)
        except (ConnectionError, spdy.ProtocolError):
            await self._socket.close()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _take(self, frame: spdy.Frame) -> None:
        if frame.kind == spdy.SYN_STREAM:
            await self._open(frame)
        elif frame.kind == spdy.PING:
            await self._socket.send_bytes(spdy.control(spdy.PING, frame.data))
        elif frame.kind == spdy.GOAWAY:
            await self._socket.close()
        elif found := self._connections.get(frame.stream):
            if frame.data and frame.kind == spdy.DATA:
                found.incoming.put_nowait(frame.data)
            if frame.kind == spdy.RST_STREAM or frame.flags & spdy.FIN:
                found.incoming.put_nowait(b"")

    async def _open(self, frame: spdy.Frame) -> None:
        await self._socket.send_bytes(self._codec.reply(frame.stream))
        request, port = frame.headers.get("requestid", ""), frame.headers.get("port", "")
        if frame.headers.get("streamtype") == "error":
            self._errors[request] = frame.stream
            return
        error = self._errors.pop(request, None)
        if error is None or not port.isdigit() or not 0 < int(port) < 65_536:
            raise spdy.ProtocolError(f"a data stream for port {port!r} has no error stream or no port")
        made = self._connections[frame.stream] = _Connection(error, frame.stream, int(port))
        task = asyncio.create_task(self._carry(made))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry(self, connection: _Connection) -> None:
        message = b""
        try:
            reader, writer = await self._kubelet.dial(self._pod, connection.port)
        except (KubeletError, OSError) as error:
            message = f"error forwarding port {connection.port} to pod {self._pod.name}: {error}".encode()
        else:
            await self._exchange(connection, reader, writer)
        self._connections.pop(connection.data, None)
        with suppress(ConnectionError):
            await self._socket.send_bytes(spdy.data(connection.error, message, last=True))
            await self._socket.send_bytes(spdy.data(connection.data, b"", last=True))

    async def _exchange(
        self, connection: _Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        sending = asyncio.create_task(_send(connection.incoming, writer))
        try:
            with suppress(ConnectionError):
                while piece := await reader.read(_CHUNK):
                    await self._socket.send_bytes(spdy.data(connection.data, piece))
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            writer.close()


async def _send(incoming: asyncio.Queue[bytes], writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while piece := await incoming.get():
            writer.write(piece)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
