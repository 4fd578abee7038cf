"""What should happen next to the containers of a Pod, decided as the kubelet does. Pure: the clock is an argument.

Init containers run one after another; a sidecar (an init container with restartPolicy Always) only has to have started
before the next; main containers run together; when they are done, sidecars are stopped in reverse order.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from kubeopencode.api import core
from kubeopencode.node.runner import Exited, Running, State

FIRST_BACKOFF = 10.0
LONGEST_BACKOFF = 300.0
CALM_SECONDS = 600.0
"""A container that ran so long before it ended has its past crashes forgiven."""


class Kind(enum.Enum):
    """The part a container plays in its Pod."""

    INIT = "init"
    SIDECAR = "sidecar"
    MAIN = "main"


@dataclass
class Track:
    """What is known of one container. `attempt` counts restarts; -1 before the first start."""

    container: core.Container
    kind: Kind
    attempt: int = -1
    state: State | None = None
    previous: Exited | None = None
    crashes: int = 0
    started: bool = False
    ready: bool = False
    stopping: bool = False
    waiting: core.Waiting | None = None
    """Why it could not be started, when that was tried."""
    refusals: int = 0
    retry_at: datetime | None = None

    @property
    def name(self) -> str:
        """The container's name."""
        return self.container.name

    @property
    def running(self) -> bool:
        """Whether it runs now."""
        return isinstance(self.state, Running)

    @property
    def exited(self) -> Exited | None:
        """How it ended, if it has and was not started again."""
        return self.state if isinstance(self.state, Exited) else None


@dataclass
class Plan:
    """What to do now. `later` is in seconds; `over` means that nothing runs and nothing will."""

    start: list[Track] = field(default_factory=list[Track])
    stop: list[Track] = field(default_factory=list[Track])
    later: float | None = None
    initialized: bool = False
    over: bool = False

    def wake(self, seconds: float) -> None:
        """Look again after so many seconds at the latest."""
        self.later = seconds if self.later is None else min(self.later, seconds)


def tracks(spec: core.PodSpec) -> list[Track]:
    """One track for each container, init containers first, in their order."""
    inits = [Track(found, Kind.SIDECAR if found.is_sidecar else Kind.INIT) for found in spec.initContainers]
    return inits + [Track(found, Kind.MAIN) for found in spec.containers]


def plan(policy: str, found: Sequence[Track], now: datetime, *, ending: bool) -> Plan:
    """The next step. `ending`: the Pod is being deleted, or past its deadline."""
    mains = [track for track in found if track.kind is Kind.MAIN]
    begun = any(track.attempt >= 0 for track in mains)
    result = Plan(initialized=begun)
    if ending or init_failed(policy, found) or (begun and all(_final(track, policy) for track in mains)):
        _shut_down(found, result)
        return result
    if not begun and not _initialise(policy, found, now, result):
        return result
    result.initialized = True
    for track in found:
        if track.kind is Kind.SIDECAR:
            _keep(track, "Always", now, result)
    for track in mains:
        _keep(track, policy, now, result)
    return result


def init_failed(policy: str, found: Sequence[Track]) -> bool:
    """Whether an init container has failed for good."""
    failed = [track for track in found if track.kind is Kind.INIT and track.exited and track.exited.code]
    return policy == "Never" and bool(failed)


def backoff(track: Track) -> float:
    """Seconds a container must have been down before its next start: 0, 10, 20, 40 … 300."""
    if track.crashes == 0:
        return 0.0
    return min(FIRST_BACKOFF * 2 ** min(track.crashes - 1, 10), LONGEST_BACKOFF)


def ended(track: Track, how: Exited) -> None:
    """Note that a container has ended."""
    track.state = how
    track.started = track.ready = track.stopping = False
    if (how.finished_at - how.started_at).total_seconds() > CALM_SECONDS:
        track.crashes = 0


def starting(track: Track) -> None:
    """Note that a container is being started (again)."""
    if track.exited is not None:
        track.previous = track.exited
        track.crashes += 1
    track.attempt += 1
    track.state = track.waiting = track.retry_at = None
    track.refusals = 0


def refused(track: Track, why: core.Waiting, now: datetime) -> None:
    """Note that a container could not be started, and when to try again: 2, 4, 8 … 300 s."""
    track.refusals += 1
    track.waiting = why
    track.retry_at = now + timedelta(seconds=min(2.0 ** min(track.refusals, 9), LONGEST_BACKOFF))


def _initialise(policy: str, found: Sequence[Track], now: datetime, result: Plan) -> bool:
    """Start the first init container that is not done; True when there is none."""
    for track in found:
        if track.kind is Kind.MAIN:
            continue
        _keep(
            track, "Always" if track.kind is Kind.SIDECAR else "OnFailure" if policy != "Never" else policy, now, result
        )
        if track.kind is Kind.SIDECAR and not (track.running and track.started):
            return False
        if track.kind is Kind.INIT and not (track.exited and track.exited.code == 0):
            return False
    return True


def _keep(track: Track, policy: str, now: datetime, result: Plan) -> None:
    """Start a container that should run and does not, unless it has to wait."""
    if track.running or track.stopping or _final(track, policy):
        return
    due = track.retry_at
    if track.exited is not None and due is None:
        due = track.exited.finished_at + timedelta(seconds=backoff(track))
    if due is None or due <= now:
        result.start.append(track)
    else:
        result.wake((due - now).total_seconds())


def _final(track: Track, policy: str) -> bool:
    """Whether a container has ended and stays so."""
    how = track.exited
    if how is None or policy == "Always":
        return False
    return policy == "Never" or how.code == 0


def _shut_down(found: Sequence[Track], result: Plan) -> None:
    """Stop everything; a sidecar stays until what it serves is gone, the last one goes first."""
    others = [track for track in found if track.running and track.kind is not Kind.SIDECAR]
    sidecars = [track for track in found if track.running and track.kind is Kind.SIDECAR]
    chosen = others or sidecars[-1:]
    result.stop = [track for track in chosen if not track.stopping]
    result.over = not chosen
