"""Answers that go on: watch lines, logs, programs in containers, connections into Pods.

Lines are split from chunks here because one object may be larger than any line buffer.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

import aiohttp
import msgspec

from kubeopencode.kube import errors, transport

PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
"""WebSocket subprotocols for exec; v5 (Kubernetes 1.30+) can close standard input."""

STDIN, STDOUT, STDERR, ERROR, RESIZE = range(5)
CLOSE = 255
FORWARD_DATA, FORWARD_ERROR = range(2)


@dataclass(frozen=True)
class LogOptions:
    """What else one may ask of a log."""

    previous: bool = False
    timestamps: bool = False
    since_seconds: int | None = None
    limit_bytes: int | None = None

    def query(self) -> dict[str, str]:
        """As the query of a request."""
        asked: dict[str, str] = {}
        if self.previous:
            asked["previous"] = "true"
        if self.timestamps:
            asked["timestamps"] = "true"
        if self.since_seconds is not None:
            asked["sinceSeconds"] = str(self.since_seconds)
        if self.limit_bytes is not None:
            asked["limitBytes"] = str(self.limit_bytes)
        return asked


@dataclass(frozen=True)
class ExecOptions:
    """Which container, and what is connected."""

    container: str = ""
    stdin: bool = False
    stdout: bool = True
    stderr: bool = True
    tty: bool = False

    def query(self) -> tuple[tuple[str, str], ...]:
        """As the query of a request. A terminal has one output only."""
        wanted = {
            "stdin": self.stdin,
            "stdout": self.stdout,
            "stderr": self.stderr and not self.tty,
            "tty": self.tty,
        }
        chosen = tuple((name, "true") for name, value in wanted.items() if value)
        return (("container", self.container), *chosen) if self.container else chosen


PLAIN_LOG = LogOptions()
PLAIN_EXEC = ExecOptions()


async def chunks(
    wire: transport.Wire, request: transport.Request, timeout: aiohttp.ClientTimeout
) -> AsyncGenerator[bytes, None]:
    """The answer's body as it comes. Raises `errors.ApiError`, `errors.ConnectionFailed`."""
    async with wire.open(request, timeout) as response:
        try:
            if response.status >= 300:
                raise errors.from_response(
                    response.status,
                    await response.read(),
                    where=wire.where(request),
                    retry_after=response.headers.get("Retry-After"),
                )
            async for chunk in response.content.iter_any():
                yield chunk
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise wire.failed(request, error) from error


async def lines(
    wire: transport.Wire, request: transport.Request, timeout: aiohttp.ClientTimeout
) -> AsyncGenerator[bytes, None]:
    """The answer's body line by line, without blank lines; what follows the last newline is the last line."""
    parts: list[bytes] = []
    source = chunks(wire, request, timeout)
    try:
        async for chunk in source:
            if b"\n" not in chunk:
                parts.append(chunk)
                continue
            first, *rest = chunk.split(b"\n")
            parts.append(first)
            complete = [b"".join(parts), *rest[:-1]]
            parts = [rest[-1]]
            for line in complete:
                if line:
                    yield line
    finally:
        await source.aclose()
    if remainder := b"".join(parts).strip():
        yield remainder


class _Cause(msgspec.Struct, frozen=True):
    reason: str = ""
    message: str = ""


class _ExitDetails(msgspec.Struct, frozen=True):
    causes: tuple[_Cause, ...] = ()


class _Exit(msgspec.Struct, frozen=True):
    status: str = ""
    message: str = ""
    reason: str = ""
    details: _ExitDetails | None = None

    def code(self) -> int:
        """The program's exit code; 0 for Success. Raises `errors.ConnectionFailed` when it never ran to an end."""
        if self.status == "Success":
            return 0
        for cause in self.details.causes if self.details else ():
            if cause.reason == "ExitCode" and cause.message.isdigit():
                return int(cause.message)
        raise errors.ConnectionFailed(f"exec: {self.message or self.reason or 'the program could not be run'}")


@dataclass
class ExecSession:
    """A running program: iterate over `output`, `write` to it, ask for its `exit_code` at the end."""

    socket: aiohttp.ClientWebSocketResponse[bool]
    _exit: _Exit | None = field(default=None, init=False)

    async def output(self) -> AsyncGenerator[tuple[int, bytes], None]:
        """(STDOUT or STDERR, bytes) until the program ends. Raises `errors.ConnectionFailed`."""
        async for message in self.socket:
            if message.type is aiohttp.WSMsgType.ERROR:
                raise errors.ConnectionFailed(f"exec: {self.socket.exception()}")
            content = message.data
            if not isinstance(content, bytes) or not content:
                continue
            channel, payload = content[0], content[1:]
            if channel == ERROR:
                self._exit = _read_exit(payload)
            elif payload and channel in (STDOUT, STDERR):
                yield channel, payload

    async def write(self, content: bytes) -> None:
        """Send to the program's standard input."""
        with _as_failed():
            await self.socket.send_bytes(bytes((STDIN,)) + content)

    async def end_input(self) -> None:
        """Close the program's standard input. Raises `errors.ConnectionFailed` on servers before v5 of the protocol."""
        if self.socket.protocol != PROTOCOLS[0]:
            raise errors.ConnectionFailed("exec: this server cannot close standard input; Kubernetes 1.30 or newer can")
        with _as_failed():
            await self.socket.send_bytes(bytes((CLOSE, STDIN)))

    async def resize(self, width: int, height: int) -> None:
        """Tell the terminal's size in columns and rows."""
        with _as_failed():
            await self.socket.send_bytes(bytes((RESIZE,)) + msgspec.json.encode({"Width": width, "Height": height}))

    async def exit_code(self) -> int:
        """The program's exit code, once `output` has ended; what is left of the output is dropped.

        Raises `errors.ConnectionFailed` when the connection ended before the program.
        """
        async for _ in self.output():
            pass
        if self._exit is None:
            raise errors.ConnectionFailed("exec: the connection ended before the program did")
        return self._exit.code()

    async def close(self) -> None:
        """End the session; a program that still runs loses its terminal."""
        await self.socket.close()


@contextmanager
def _as_failed() -> Generator[None, None, None]:
    try:
        yield
    except (aiohttp.ClientError, OSError) as error:
        raise errors.ConnectionFailed(f"the stream to the container broke: {error}") from error


async def open_exec(wire: transport.Wire, request: transport.Request) -> ExecSession:
    """An exec session over WebSocket. Raises `errors.ApiError`, `errors.ConnectionFailed`."""
    return ExecSession(await wire.websocket(request, PROTOCOLS))


@dataclass
class ForwardSession:
    """A TCP connection into a Pod: iterate over `output`, `write`, `close`. One side cannot be closed alone."""

    socket: aiohttp.ClientWebSocketResponse[bool]

    async def output(self) -> AsyncGenerator[bytes, None]:
        """What the Pod sends. Raises `errors.ConnectionFailed` with the kubelet's words when it cannot connect."""
        opened: set[int] = set()
        async for message in self.socket:
            if message.type is aiohttp.WSMsgType.ERROR:
                raise errors.ConnectionFailed(f"port-forward: {self.socket.exception()}")
            content = message.data
            if not isinstance(content, bytes) or not content:
                continue
            channel, payload = content[0], content[1:]
            if channel not in opened:
                # Each channel begins with the port's number, two bytes that belong to nobody.
                opened.add(channel)
                payload = payload[2:]
            if not payload:
                continue
            if channel == FORWARD_ERROR:
                raise errors.ConnectionFailed(f"port-forward: {payload.decode('utf-8', 'replace')}")
            yield payload

    async def write(self, content: bytes) -> None:
        """Send to the Pod."""
        with _as_failed():
            await self.socket.send_bytes(bytes((FORWARD_DATA,)) + content)

    async def close(self) -> None:
        """Close the connection."""
        await self.socket.close()


async def open_forward(wire: transport.Wire, request: transport.Request) -> ForwardSession:
    """A connection to a port over WebSocket. Raises `errors.ApiError`, `errors.ConnectionFailed`."""
    return ForwardSession(await wire.websocket(request, PROTOCOLS[1:]))


def _read_exit(payload: bytes) -> _Exit:
    try:
        return msgspec.json.decode(payload, type=_Exit)
    except msgspec.MsgspecError:
        return _Exit(status="Failure", message=payload.decode("utf-8", "replace"))
