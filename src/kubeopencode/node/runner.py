"""The seam between a Pod's life and the processes that live it.

Whoever starts containers satisfies `Runner`: bubblewrap sandboxes on a laptop, nothing at all in a benchmark. Nothing
here knows Pods, restarts or the API.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, Protocol


class RunnerError(Exception):
    """A container cannot be made here; the message says why and what mends it."""


class ContainerId(NamedTuple):
    """One start of one container of one Pod; nothing is ever started twice under the same id."""

    uid: str
    name: str
    attempt: int


@dataclass(frozen=True)
class Mount:
    """A host path that appears inside a container."""

    source: Path
    target: str
    read_only: bool = False


@dataclass(frozen=True)
class Identity:
    """As whom a container runs."""

    user: int = 1000
    group: int = 1000


@dataclass(frozen=True)
class Launch:
    """All that a container needs to start. `memory` is in bytes, 0 for no limit."""

    id: ContainerId
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    cwd: str = "/"
    hostname: str = "localhost"
    identity: Identity = Identity()
    mounts: tuple[Mount, ...] = ()
    message_path: str = "/dev/termination-log"
    read_only_root: bool = False
    memory: int = 0


@dataclass(frozen=True)
class Running:
    """A container that runs."""

    started_at: datetime


@dataclass(frozen=True)
class Exited:
    """A container that has ended; `reason` in the kubelet's words."""

    code: int
    reason: str
    started_at: datetime
    finished_at: datetime
    message: str = ""
    signal: int = 0


State = Running | Exited


@dataclass(frozen=True)
class ExecRequest:
    """A command to run inside a running container."""

    command: tuple[str, ...]
    stdin: bool = False
    tty: bool = False


class ExecProcess(Protocol):
    """A command that runs inside a container."""

    async def read(self) -> tuple[int, bytes]:
        """The next output as (1 for stdout or 2 for stderr, bytes); (0, b"") when all has been said."""
        ...

    async def write(self, content: bytes) -> None:
        """Bytes for its standard input; empty bytes close it."""
        ...

    def resize(self, columns: int, rows: int) -> None:
        """Tell a terminal its size."""
        ...

    async def wait(self) -> int:
        """Its exit code."""
        ...

    async def kill(self) -> None:
        """End it."""
        ...


class Runner(Protocol):
    """Starts, watches and ends containers."""

    async def prepare(self) -> None:
        """Find out whether containers can be made at all; a refusal is raised by `start`, with a reason."""
        ...

    def known(self, uid: str) -> Iterable[ContainerId]:
        """Every start of a Pod's containers that has left a trace, ended or not: what a new node adopts."""
        ...

    async def start(self, launch: Launch) -> None:
        """Start a container. Raises `RunnerError`; a second start under one id does nothing."""
        ...

    def state(self, container: ContainerId) -> State | None:
        """How a container is; None if it was never started."""
        ...

    async def wait(self, container: ContainerId) -> Exited:
        """Wait for a container's end."""
        ...

    def message(self, container: ContainerId) -> bytes:
        """What it wrote to its termination message path."""
        ...

    def log(self, container: ContainerId) -> Path:
        """Its log in CRI format; `.1` beside it is the older half."""
        ...

    def terminate(self, container: ContainerId) -> None:
        """Ask the main process to end (SIGTERM)."""
        ...

    def kill(self, container: ContainerId) -> None:
        """End every process of the container, at once."""
        ...

    async def exec(self, container: ContainerId, request: ExecRequest) -> ExecProcess:
        """Run a command inside. Raises `RunnerError` if the container does not run."""
        ...

    def forget(self, uid: str) -> None:
        """Remove every trace of a Pod's containers, ending those that run."""
        ...
