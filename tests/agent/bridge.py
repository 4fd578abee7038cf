"""Runs a command in a sandbox without network and brings one address outside to it, through a Unix socket.

`bridge.py SOCKET PORT COMMAND…`: whoever connects to 127.0.0.1:PORT inside speaks with who listens on SOCKET outside.
Standard library only.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from asyncio import StreamReader, StreamWriter
from collections.abc import Awaitable, Callable

Connect = Callable[[], Awaitable[tuple[StreamReader, StreamWriter]]]


def forwarder(connect: Connect) -> Callable[[StreamReader, StreamWriter], Awaitable[None]]:
    """What a server does that hands its connections on."""

    async def forward(reader: StreamReader, writer: StreamWriter) -> None:
        inner_reader, inner_writer = await connect()
        await asyncio.gather(pump(reader, inner_writer), pump(inner_reader, writer))

    return forward


async def pump(source: StreamReader, target: StreamWriter) -> None:
    """Copy until the end of the source."""
    with contextlib.suppress(OSError):
        while block := await source.read(65536):
            target.write(block)
            await target.drain()
    target.close()


async def main(socket: str, port: str, *command: str) -> int:
    """The exit status of the command."""
    forward = forwarder(lambda: asyncio.open_unix_connection(socket))
    async with await asyncio.start_server(forward, "127.0.0.1", int(port)):
        process = await asyncio.create_subprocess_exec(*command)
        return await process.wait()


if __name__ == "__main__":
    sys.exit(asyncio.run(main(*sys.argv[1:])))
