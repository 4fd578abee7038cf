"""Who may start on an Agent with limits. The Agent decides for all its Tasks at once, so it never lets in too many.

Order: creation time, then uid. A slot is held by an entry in `status.admitted` until its Task has ended; a start counts
against the quota while its entry in `status.taskStartHistory` is inside the window.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase

from kubeopencode import names
from kubeopencode.api.agent import Agent, AgentShape, TaskStart
from kubeopencode.api.task import FINISHED, Task


@dataclass(frozen=True)
class Objection:
    """Why a Task has to wait."""

    reason: str
    message: str


@dataclass(frozen=True)
class Admission:
    """Who holds a slot from now on."""

    admitted: tuple[TaskStart, ...]
    history: tuple[TaskStart, ...]
    newcomers: tuple[Task, ...]
    look_again: float | None = None
    """Seconds until the quota's window lets the next one in; None when only a finished Task can."""


def limited(shape: AgentShape) -> bool:
    """The Agent has a limit, so its Tasks need a slot before they run."""
    return bool(shape.maxConcurrentTasks) or shape.quota is not None


def allows(shape: AgentShape, namespace: str) -> bool:
    """Tasks of that namespace may use the Agent. No pattern at all allows every namespace."""
    # A glob negates with [^x] in the documents; fnmatch writes [!x].
    patterns = [pattern.replace("[^", "[!") for pattern in shape.allowedNamespaces]
    return not patterns or any(fnmatchcase(namespace, pattern) for pattern in patterns)


def may_enter(shape: AgentShape, agent: Agent, task: Task) -> bool:
    """The Task is one that shall run: allowed, and not stopped while it waited."""
    meta = task.metadata
    if meta.annotations.get(names.ANNOTATION_STOP) == "true":
        return False
    return meta.namespace == agent.metadata.namespace or allows(shape, meta.namespace)


def decide(shape: AgentShape, agent: Agent, tasks: Iterable[Task], missing: Set[str], now: datetime) -> Admission:
    """Who holds a slot: those who held one and have not ended, then those who wait, in order, while there is room.

    `tasks` are the Agent's Tasks that may run; `missing` holds the uids of slot holders that are known to be gone.
    """
    by_uid = {task.metadata.uid: task for task in tasks}
    kept = tuple(start for start in agent.status.admitted if _holds(start, by_uid, missing))
    kept += _at_work(by_uid, {start.taskUID for start in kept}, now)
    history = _within(shape, agent.status.taskStartHistory, now)
    holders = {start.taskUID for start in kept}
    fresh = (task for uid, task in by_uid.items() if uid not in holders and _waits(task))
    waiting = sorted((task for task in fresh if may_enter(shape, agent, task)), key=_place)
    room = _room(shape, kept, history)
    newcomers = tuple(waiting[:room])
    starts = tuple(_start(task, now) for task in newcomers)
    after = (*history, *starts) if shape.quota else ()
    left = _quota_opens(shape, after, now) if len(waiting) > len(newcomers) else None
    return Admission((*kept, *starts), after, newcomers, left)


def objection(shape: AgentShape, agent: Agent, now: datetime) -> Objection | None:
    """Why a Task without a slot waits, in the words of the documents; None while there is room for it."""
    name = agent.metadata.name
    quota = shape.quota
    if quota and len(_within(shape, agent.status.taskStartHistory, now)) >= quota.maxTaskStarts:
        limits = f"max: {quota.maxTaskStarts} per {quota.windowSeconds}s"
        return Objection("QuotaExceeded", f'Waiting for agent "{name}" quota ({limits})')
    if shape.maxConcurrentTasks and len(agent.status.admitted) >= shape.maxConcurrentTasks:
        return Objection("AgentAtCapacity", f'Waiting for agent "{name}" capacity (max: {shape.maxConcurrentTasks})')
    return None


def _at_work(by_uid: dict[str, Task], holders: Set[str], now: datetime) -> tuple[TaskStart, ...]:
    """Tasks that run without a slot, because they began before there was a limit. They take one."""
    running = [task for uid, task in by_uid.items() if task.status.phase == "Running" and uid not in holders]
    return tuple(_start(task, task.status.startTime or now) for task in sorted(running, key=_place))


def _start(task: Task, now: datetime) -> TaskStart:
    # Rounded up, because a window must never be shorter than it says.
    whole = now.replace(microsecond=0) + timedelta(seconds=1 if now.microsecond else 0)
    return TaskStart(task.metadata.name, task.metadata.namespace, whole, task.metadata.uid)


def _holds(start: TaskStart, by_uid: dict[str, Task], missing: Set[str]) -> bool:
    task = by_uid.get(start.taskUID)
    if task is None:
        return start.taskUID not in missing
    return task.status.phase not in FINISHED


def _waits(task: Task) -> bool:
    return (
        task.status.phase not in FINISHED and task.status.phase != "Running" and task.metadata.deletionTimestamp is None
    )


def _place(task: Task) -> tuple[float, str]:
    meta = task.metadata
    return (meta.creationTimestamp.timestamp() if meta.creationTimestamp else float("inf"), meta.uid)


def _within(shape: AgentShape, history: Iterable[TaskStart], now: datetime) -> tuple[TaskStart, ...]:
    if shape.quota is None:
        return ()
    oldest = now - timedelta(seconds=shape.quota.windowSeconds)
    return tuple(start for start in history if start.startTime > oldest)


def _room(shape: AgentShape, kept: tuple[TaskStart, ...], history: tuple[TaskStart, ...]) -> int:
    rooms: list[int] = []
    if shape.maxConcurrentTasks:
        rooms.append(shape.maxConcurrentTasks - len(kept))
    if shape.quota:
        rooms.append(shape.quota.maxTaskStarts - len(history))
    return max(0, min(rooms)) if rooms else 0


def _quota_opens(shape: AgentShape, history: tuple[TaskStart, ...], now: datetime) -> float | None:
    if shape.quota is None or len(history) < shape.quota.maxTaskStarts:
        return None
    opens = min(start.startTime for start in history) + timedelta(seconds=shape.quota.windowSeconds)
    return max(0.5, (opens - now).total_seconds())
