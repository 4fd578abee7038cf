"""Commands inside running containers: their streams, their terminal, their exit code."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import pty
import struct
import sys
import termios
from dataclasses import dataclass
from pathlib import Path

import msgspec

from kubeopencode.node.runner import ExecRequest

ENTER = Path(__file__).with_name("enter.py")
CHUNK = 64 * 1024


@dataclass(frozen=True)
class Place:
    """Where to run: the sandbox's init (0 for no sandbox), its environment and working directory."""

    pid: int
    env: dict[str, str]
    cwd: str


class Execution:
    """One command that runs inside a container; satisfies `runner.ExecProcess`."""

    def __init__(self, process: asyncio.subprocess.Process, terminal: int = -1) -> None:
        self._process = process
        self._terminal = terminal
        self._output: asyncio.Queue[tuple[int, bytes]] = asyncio.Queue(maxsize=16)
        self._pump = asyncio.create_task(self._copy())

    async def read(self) -> tuple[int, bytes]:
        """The next output; `(0, b"")` at the end, and ever after."""
        if self._pump.done() and self._output.empty():
            return 0, b""
        return await self._output.get()

    async def write(self, content: bytes) -> None:
        """Bytes for its standard input; empty bytes close it (a terminal gets an end-of-file character)."""
        if self._terminal >= 0:
            with contextlib.suppress(OSError):
                await asyncio.to_thread(os.write, self._terminal, content or b"\x04")
        elif (stdin := self._process.stdin) is not None:
            with contextlib.suppress(OSError):
                if not content:
                    stdin.close()
                else:
                    stdin.write(content)
                    await stdin.drain()

    def resize(self, columns: int, rows: int) -> None:
        """Tell the terminal its size; nothing happens without one."""
        if self._terminal >= 0:
            with contextlib.suppress(OSError):
                fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    async def wait(self) -> int:
        """Its exit code, when it has ended."""
        code = await self._process.wait()
        return 128 - code if code < 0 else code

    async def kill(self) -> None:
        """End it and close its streams."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()
            await self._process.wait()
        self._pump.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._pump

    async def _copy(self) -> None:
        try:
            if self._terminal >= 0:
                await self._copy_terminal()
            else:
                await asyncio.gather(self._copy_pipe(1, self._process.stdout), self._copy_pipe(2, self._process.stderr))
            await self._output.put((0, b""))
        finally:
            if self._terminal >= 0:
                os.close(self._terminal)
                self._terminal = -1

    async def _copy_pipe(self, stream: int, reader: asyncio.StreamReader | None) -> None:
        while reader is not None and (content := await reader.read(CHUNK)):
            await self._output.put((stream, content))

    async def _copy_terminal(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            readable: asyncio.Future[None] = loop.create_future()
            loop.add_reader(self._terminal, _settle, readable)
            try:
                await readable
                content = os.read(self._terminal, CHUNK)
            except OSError:  # EIO: the last process has let go of the terminal
                return
            finally:
                loop.remove_reader(self._terminal)
            if not content:
                return
            await self._output.put((1, content))


async def execute(place: Place, request: ExecRequest) -> Execution:
    """Start a command inside a container."""
    order = {"pid": place.pid, "argv": request.command, "env": place.env, "cwd": place.cwd, "tty": request.tty}
    letter = os.memfd_create("order")
    terminal = subordinate = -1
    try:
        os.write(letter, msgspec.json.encode(order))
        os.lseek(letter, 0, os.SEEK_SET)
        if request.tty:
            terminal, subordinate = pty.openpty()
            streams = (subordinate, subordinate, subordinate)
        else:
            stdin = asyncio.subprocess.PIPE if request.stdin else asyncio.subprocess.DEVNULL
            streams = (stdin, asyncio.subprocess.PIPE, asyncio.subprocess.PIPE)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-S", str(ENTER), str(letter), pass_fds=(letter,), env={},
            stdin=streams[0], stdout=streams[1], stderr=streams[2], start_new_session=True,
        )  # fmt: skip
    except BaseException:
        if terminal >= 0:
            os.close(terminal)
        raise
    finally:
        os.close(letter)
        if subordinate >= 0:
            os.close(subordinate)
    return Execution(process, terminal)


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
