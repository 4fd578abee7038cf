"""Service addresses that answer: a TCP proxy from a Service's loopback address to the Pods behind it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
from collections.abc import Mapping
from typing import NamedTuple

CHUNK = 64 * 1024
DIAL_SECONDS = 5.0


class Address(NamedTuple):
    """An address and a port."""

    ip: str
    port: int


class Proxy:
    """Listens on fronts and passes connections on to one of the backends of each, in turn.

    Connections are accepted by hand: a server of asyncio loses those that arrive while it is being closed.
    """

    def __init__(self) -> None:
        self._sockets: dict[Address, socket.socket] = {}
        self._backends: dict[Address, tuple[Address, ...]] = {}
        self._turn = itertools.count()
        self._busy: set[asyncio.Task[None]] = set()

    def serve(self, fronts: Mapping[Address, tuple[Address, ...]]) -> dict[Address, str]:
        """Serve these fronts with these backends, besides others; returns why some cannot be served."""
        refused: dict[Address, str] = {}
        for front, backends in fronts.items():
            self._backends[front] = backends
            if front in self._sockets:
                continue
            try:
                listening = self._sockets[front] = socket.create_server(front)
            except OSError as error:
                refused[front] = error.strerror or str(error)
                continue
            listening.setblocking(False)
            asyncio.get_running_loop().add_reader(listening, self._accept, front, listening)
        return refused

    def withdraw(self, fronts: set[Address]) -> None:
        """Stop serving these fronts; connections that exist go on."""
        for front in fronts:
            self._backends.pop(front, None)
            listening = self._sockets.pop(front, None)
            if listening is not None:
                asyncio.get_running_loop().remove_reader(listening)
                listening.close()

    async def close(self) -> None:
        """Stop everything."""
        self.withdraw(set(self._sockets))
        for task in list(self._busy):
            task.cancel()
        await asyncio.gather(*self._busy, return_exceptions=True)

    def _accept(self, front: Address, listening: socket.socket) -> None:
        try:
            connection, _ = listening.accept()
        except OSError:  # gone again, or out of descriptors: the next one may do better
            return
        connection.setblocking(False)
        task = asyncio.create_task(self._pass(front, connection))
        self._busy.add(task)
        task.add_done_callback(self._busy.discard)
        # A task that is cancelled before it began never reaches its own `finally`.
        task.add_done_callback(lambda _: connection.close())

    async def _pass(self, front: Address, connection: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=connection)
        try:
            backend = await self._dial(front)
            if backend is not None:
                try:
                    await asyncio.gather(_copy(reader, backend[1]), _copy(backend[0], writer))
                finally:
                    backend[1].close()
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _dial(self, front: Address) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """A connection to one of the backends; those that refuse are passed over."""
        backends = self._backends.get(front, ())
        first = next(self._turn)
        for number in range(len(backends)):
            backend = backends[(first + number) % len(backends)]
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(DIAL_SECONDS):
                    return await asyncio.open_connection(backend.ip, backend.port)
        return None


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Bytes until the end, and then the end."""
    with contextlib.suppress(OSError):
        while content := await reader.read(CHUNK):
            writer.write(content)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
