"""Service addresses that answer: a TCP proxy from a Service's loopback address to the Pods behind it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Mapping
from typing import NamedTuple

log = logging.getLogger(__name__)

CHUNK = 64 * 1024
DIAL_SECONDS = 5.0


class Address(NamedTuple):
    """An address and a port."""

    ip: str
    port: int


class Proxy:
    """Listens on fronts and passes connections on to one of the backends of each, in turn."""

    def __init__(self) -> None:
        self._servers: dict[Address, asyncio.Server] = {}
        self._backends: dict[Address, tuple[Address, ...]] = {}
        self._turn = itertools.count()
        self._busy: set[asyncio.Task[None]] = set()

    async def serve(self, fronts: Mapping[Address, tuple[Address, ...]]) -> dict[Address, str]:
        """Serve these fronts with these backends, besides others; returns why some cannot be served."""
        refused: dict[Address, str] = {}
        for front, backends in fronts.items():
            self._backends[front] = backends
            if front in self._servers:
                continue
            try:
                self._servers[front] = await asyncio.start_server(self._accept(front), front.ip, front.port)
            except OSError as error:
                refused[front] = error.strerror or str(error)
        return refused

    async def withdraw(self, fronts: set[Address]) -> None:
        """Stop serving these fronts; connections that exist go on."""
        for front in fronts:
            self._backends.pop(front, None)
            server = self._servers.pop(front, None)
            if server is not None:
                server.close()

    async def close(self) -> None:
        """Stop everything."""
        await self.withdraw(set(self._servers))
        for task in list(self._busy):
            task.cancel()
        await asyncio.gather(*self._busy, return_exceptions=True)

    def _accept(self, front: Address):
        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.create_task(self._pass(front, reader, writer))
            self._busy.add(task)
            task.add_done_callback(self._busy.discard)

        return accept

    async def _pass(self, front: Address, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            backend = await self._dial(front)
            if backend is None:
                return
            try:
                await asyncio.gather(_copy(reader, backend[1]), _copy(backend[0], writer))
            finally:
                backend[1].close()
        finally:
            writer.close()

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
