"""A runner without processes: Pods that start, run and end as told, for replays, benchmarks and fault tests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from kubeopencode.node.runner import ContainerId, ExecProcess, ExecRequest, Exited, Launch, RunnerError, Running, State
from kubeopencode.runtime import clock


@dataclass(frozen=True)
class Fate:
    """What becomes of a container: it ends after so many seconds with a code; None means that it runs on."""

    seconds: float | None = 0.0
    code: int = 0
    message: str = ""


def at_once(_: Launch) -> Fate:
    """Every container ends well as soon as it has started."""
    return Fate()


@dataclass
class _Pretended:
    launch: Launch
    state: State
    message: str = ""
    done: asyncio.Event = field(default_factory=asyncio.Event)
    timer: clock.Timer | None = None


class PretendRunner:
    """Satisfies `runner.Runner`. `fate` says what becomes of each container; `launches` are all there were."""

    def __init__(self, fate: Callable[[Launch], Fate] = at_once, time: clock.Clock = clock.SYSTEM) -> None:
        self.launches: list[Launch] = []
        self._fate = fate
        self._clock = time
        self._found: dict[str, dict[ContainerId, _Pretended]] = {}

    async def prepare(self) -> None:
        """Nothing is needed."""

    def known(self, uid: str) -> Iterable[ContainerId]:
        """Every start of a Pod's containers."""
        return tuple(self._found.get(uid, {}))

    async def start(self, launch: Launch) -> None:
        """Pretend to start a container."""
        found = self._found.setdefault(launch.id.uid, {})
        if launch.id in found:
            return
        self.launches.append(launch)
        fate = self._fate(launch)
        pretended = found[launch.id] = _Pretended(launch, Running(self._clock.now()), fate.message)
        if fate.seconds == 0:
            self.end(launch.id, fate.code)
        elif fate.seconds is not None:
            pretended.timer = self._clock.call_later(fate.seconds, lambda: self.end(launch.id, fate.code))

    def end(self, container: ContainerId, code: int = 0) -> None:
        """End a container now."""
        pretended = self._found.get(container.uid, {}).get(container)
        if pretended is None or not isinstance(pretended.state, Running):
            return
        reason = "Completed" if code == 0 else "Error"
        pretended.state = Exited(code, reason, pretended.state.started_at, self._clock.now())
        if pretended.timer is not None:
            pretended.timer.cancel()
        pretended.done.set()

    def state(self, container: ContainerId) -> State | None:
        """How a container is."""
        pretended = self._found.get(container.uid, {}).get(container)
        return pretended.state if pretended else None

    async def wait(self, container: ContainerId) -> Exited:
        """Wait for a container's end."""
        pretended = self._found.get(container.uid, {}).get(container)
        if pretended is None:
            raise RunnerError(f'container "{container.name}" was never started')
        await pretended.done.wait()
        if isinstance(pretended.state, Exited):
            return replace(pretended.state)
        raise RunnerError(f'container "{container.name}" was forgotten')

    def message(self, container: ContainerId) -> bytes:
        """What its fate said."""
        pretended = self._found.get(container.uid, {}).get(container)
        return pretended.message.encode() if pretended else b""

    def log(self, container: ContainerId) -> Path:
        """There is none; a file that is always empty stands for it."""
        return Path("/dev/null")

    def terminate(self, container: ContainerId) -> None:
        """It ends at once, as one that handles SIGTERM."""
        self.end(container, 143)

    def kill(self, container: ContainerId) -> None:
        """It ends at once."""
        self.end(container, 137)

    async def exec(self, container: ContainerId, request: ExecRequest) -> ExecProcess:
        """Nothing runs inside. Raises `RunnerError`."""
        raise RunnerError(f'container "{container.name}" is pretended; no command can run in it')

    def forget(self, uid: str) -> None:
        """Forget a Pod's containers."""
        for container in list(self._found.get(uid, {})):
            self.end(container, 137)
        self._found.pop(uid, None)
