"""What the API server asks of the node: logs, commands, connections. Satisfies its `Kubelet` protocol by shape.

The request types are the API server's own; only their attributes are known here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from datetime import datetime
from typing import Protocol

from kubeopencode.api import core, meta
from kubeopencode.node import logs
from kubeopencode.node.runner import ContainerId, ExecProcess, ExecRequest, Runner, RunnerError, Running
from kubeopencode.runtime import store


class KubeletError(Exception):
    """The node cannot do what was asked; the message is for the user."""


class LogRequest(Protocol):
    """Which log, and how much of it."""

    @property
    def pod(self) -> meta.Key:
        """Whose."""
        ...

    @property
    def container(self) -> str:
        """Which container; empty for the only one."""
        ...

    @property
    def follow(self) -> bool:
        """Until the container has ended."""
        ...

    @property
    def previous(self) -> bool:
        """Of the start before this one."""
        ...

    @property
    def timestamps(self) -> bool:
        """With the time before each line."""
        ...

    @property
    def tail(self) -> int | None:
        """The last lines only."""
        ...

    @property
    def since(self) -> datetime | None:
        """From this moment on."""
        ...

    @property
    def limit_bytes(self) -> int | None:
        """At most so much."""
        ...


class CommandRequest(Protocol):
    """A command to start inside a running container."""

    @property
    def pod(self) -> meta.Key:
        """In whose container."""
        ...

    @property
    def command(self) -> tuple[str, ...]:
        """The words of the command."""
        ...

    @property
    def container(self) -> str:
        """Which container; empty for the only one."""
        ...

    @property
    def stdin(self) -> bool:
        """With standard input."""
        ...

    @property
    def tty(self) -> bool:
        """With a terminal."""
        ...


class Session:
    """A running command, in the API server's words."""

    def __init__(self, process: ExecProcess) -> None:
        self._process = process

    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        """What the command writes, until both ends are closed."""
        while (piece := await self._process.read())[0]:
            yield piece

    async def write(self, data: bytes) -> None:
        """Give bytes to standard input."""
        if data:
            await self._process.write(data)

    async def close_input(self) -> None:
        """End standard input."""
        await self._process.write(b"")

    async def resize(self, columns: int, rows: int) -> None:
        """Change the size of the terminal."""
        self._process.resize(columns, rows)

    async def wait(self) -> int:
        """The exit code, once the command ended."""
        return await self._process.wait()

    async def close(self) -> None:
        """End the session and the command."""
        await self._process.kill()


class Gateway:
    """Serves logs, commands and connections for the Pods of this node.

    `refusal` is the type of error to raise: whoever joins this to an API server gives that server's own.
    """

    def __init__(self, pods: store.Store[core.Pod], runner: Runner, refusal: type[Exception] = KubeletError) -> None:
        self._pods = pods
        self._runner = runner
        self._refusal = refusal

    async def logs(self, request: LogRequest) -> AsyncIterator[bytes]:
        """The log in pieces; with `follow` until the container has ended."""
        container = self._container(request.pod, request.container, previous=request.previous)
        selection = logs.Selection(request.tail, request.since, request.timestamps)
        path = self._runner.log(container)
        left = request.limit_bytes
        if request.follow:
            pieces = logs.follow(path, selection, lambda: not self._runs(container))
        else:
            pieces = _each(logs.shown(logs.entries(path), selection))
        async for piece in pieces:
            yield piece if left is None else piece[:left]
            left = None if left is None else left - len(piece)
            if left is not None and left <= 0:
                return

    async def exec(self, request: CommandRequest) -> Session:
        """Start a command in a container."""
        container = self._container(request.pod, request.container)
        try:
            process = await self._runner.exec(container, ExecRequest(request.command, request.stdin, request.tty))
        except RunnerError as error:
            raise self._refusal(str(error)) from error
        return Session(process)

    async def dial(self, pod: meta.Key, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a connection to a port of the Pod."""
        found = self._pods.get(pod)
        if found is None or not found.status.podIP:
            raise self._refusal(f"pod {pod} has no address yet")
        try:
            return await asyncio.open_connection(found.status.podIP, port)
        except OSError as error:
            raise self._refusal(f"pod {pod} does not listen on port {port}: {error.strerror}") from error

    def _runs(self, container: ContainerId) -> bool:
        return isinstance(self._runner.state(container), Running)

    def _container(self, key: meta.Key, name: str, *, previous: bool = False) -> ContainerId:
        """The newest start of a container, or the one before."""
        pod = self._pods.get(key)
        if pod is None:
            raise self._refusal(f"pod {key} is not known on this node")
        names = [found.name for found in (*pod.spec.containers, *pod.spec.initContainers)]
        name = name or pod.metadata.annotations.get("kubectl.kubernetes.io/default-container", "") or names[0]
        if name not in names:
            raise self._refusal(f"container {name} is not valid for pod {key.name}")
        attempts = [found.attempt for found in self._runner.known(pod.metadata.uid) if found.name == name]
        if not attempts:
            raise self._refusal(f'container "{name}" in pod "{key.name}" is waiting to start')
        attempt = max(attempts) - (1 if previous else 0)
        if attempt < 0:
            raise self._refusal(f'previous terminated container "{name}" in pod "{key.name}" not found')
        return ContainerId(pod.metadata.uid, name, attempt)


async def _each(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
