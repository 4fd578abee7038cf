"""What the API server asks of whoever runs the Pods: logs, commands, connections. A Protocol; `node` satisfies it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from kubeopencode.api.meta import Key


@dataclass(frozen=True)
class LogRequest:
    """Which log, and how much of it."""

    pod: Key
    container: str = ""
    """Empty means the only container."""
    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    tail: int | None = None
    """The last lines only."""
    since: datetime | None = None
    limit_bytes: int | None = None


@dataclass(frozen=True)
class ExecRequest:
    """A command to start inside a running container."""

    pod: Key
    command: tuple[str, ...]
    container: str = ""
    stdin: bool = False
    tty: bool = False


class Session(Protocol):
    """A running command; leaving it is `close`, which ends the command if it still runs."""

    def output(self) -> AsyncIterator[tuple[int, bytes]]:
        """What the command writes, as (1 for stdout or 2 for stderr, bytes), until both ends are closed."""
        ...

    async def write(self, data: bytes) -> None:
        """Give bytes to standard input."""
        ...

    async def close_input(self) -> None:
        """End standard input."""
        ...

    async def resize(self, columns: int, rows: int) -> None:
        """Change the size of the terminal; without a terminal nothing happens."""
        ...

    async def wait(self) -> int:
        """The exit code, once the command ended."""
        ...

    async def close(self) -> None:
        """End the session and the command."""
        ...


class KubeletError(Exception):
    """The kubelet cannot do what was asked; the message is for the user."""


class Kubelet(Protocol):
    """What runs Pods. Every method raises `KubeletError` when the Pod or container cannot serve it."""

    def logs(self, request: LogRequest) -> AsyncIterator[bytes]:
        """The log in pieces; with `follow` until the container has ended."""
        ...

    async def exec(self, request: ExecRequest) -> Session:
        """Start a command in a container."""
        ...

    async def dial(self, pod: Key, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a connection to a port of the Pod."""
        ...
