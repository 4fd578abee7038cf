"""What shall become of a Task, seen what is the case and what time it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec

from kubeopencode import names
from kubeopencode.api import conditions, core, duration
from kubeopencode.api.meta import Condition, Key
from kubeopencode.api.outputs import Outputs
from kubeopencode.api.task import (
    FINISHED,
    AgentReference,
    Session,
    SessionSummary,
    TaskStatus,
    TemplateReference,
    TokenUsage,
)
from kubeopencode.judge import admission, podstate
from kubeopencode.judge.verdict import Notice, Verdict
from kubeopencode.world import Observed

PATIENCE = timedelta(seconds=10)
"""How long a Task waits for an Agent that does not exist, because both may have been applied together."""

STOP_MESSAGE = f"Task stopped by user via {names.ANNOTATION_STOP} annotation"
STOP_QUEUED_MESSAGE = "Task was stopped while queued"


@dataclass(frozen=True)
class Wait:
    """The Task may not run yet."""

    reason: str
    message: str
    look_again: float | None = None


@dataclass(frozen=True)
class Fail:
    """The Task can never run as it stands."""

    reason: str
    message: str


Objection = Wait | Fail
Check = Callable[[Observed, datetime], "Objection | None"]


def decide(seen: Observed, now: datetime) -> Verdict[TaskStatus]:
    """The verdict on a Task that is not being deleted."""
    if seen.task.status.phase in FINISHED:
        return Verdict(seen.task.status)
    if seen.pod is not None or seen.task.status.phase == "Running":
        return _under_way(seen, now)
    if _stopped(seen):
        return _stop(seen, now, STOP_QUEUED_MESSAGE)
    for check in CHECKS:
        if objection := check(seen, now):
            return _held(seen, objection, now)
    return Verdict(_started(seen, now), runs=True)


def placed_in(status: TaskStatus, pod: Key) -> TaskStatus:
    """The status of a Task whose Pod has been made."""
    return msgspec.structs.replace(status, podName=pod.name, podNamespace=pod.namespace)


def failed(seen: Observed, reason: str, message: str, now: datetime) -> Verdict[TaskStatus]:
    """The verdict on a Task that can never run."""
    status = _with(_base(seen), Condition("Ready", "False", reason, message), now)
    ended = msgspec.structs.replace(status, phase="Failed", completionTime=_second(now))
    return Verdict(ended, notice=Notice(reason, message, warning=True))


def _agent_exists(seen: Observed, now: datetime) -> Objection | None:
    if seen.profile is not None:
        return None
    age = now - (seen.task.metadata.creationTimestamp or now)
    if age < PATIENCE:
        return Wait(
            "AgentNotFound", f"{seen.missing}; waiting a moment for it", max(0.5, (PATIENCE - age).total_seconds())
        )
    return Fail(seen.missing_reason, seen.missing)


def _namespace_allowed(seen: Observed, now: datetime) -> Objection | None:
    if not seen.foreign or seen.profile is None:
        return None
    allowed, namespace = seen.profile.shape.allowedNamespaces, seen.task.metadata.namespace
    if admission.allows(seen.profile.shape, namespace):
        return None
    listed = ", ".join(allowed)
    return Fail(
        "AgentError",
        f'the Agent "{seen.profile.key}" takes no Tasks from the namespace "{namespace}"; it takes them from: {listed}',
    )


def _not_suspended(seen: Observed, now: datetime) -> Objection | None:
    live = seen.profile.agent if seen.profile else None
    if live is None or not live.spec.suspend:
        return None
    return Wait("AgentSuspended", f'Agent "{live.metadata.name}" is suspended; set spec.suspend to false to resume it')


def _server_ready(seen: Observed, now: datetime) -> Objection | None:
    live = seen.profile.agent if seen.profile else None
    if seen.profile is None or live is None or live.status.ready or not seen.profile.live:
        return None
    # The queue of an Agent with limits opens with its server, also for Tasks that get Pods of their own.
    if not seen.attached and not admission.limited(seen.profile.shape):
        return None
    return Wait("AgentServerNotReady", f'the server of Agent "{live.metadata.name}" is not ready yet')


def _admitted(seen: Observed, now: datetime) -> Objection | None:
    live = seen.profile.agent if seen.profile else None
    if seen.profile is None or live is None or not admission.limited(seen.profile.shape):
        return None
    if any(start.taskUID == seen.task.metadata.uid for start in live.status.admitted):
        return None
    objection = admission.objection(seen.profile.shape, live, now)
    if objection is None:
        # There is room, and the queue is about to decide; writing "Queued" for a moment is not worth it.
        return Wait("", "", look_again=1.0)
    place = f": number {seen.waiting} in the queue" if seen.waiting else ""
    return Wait(objection.reason, objection.message + place)


CHECKS: tuple[Check, ...] = (_agent_exists, _namespace_allowed, _not_suspended, _server_ready, _admitted)
"""In the order of the documents; the first that objects decides."""


def _held(seen: Observed, objection: Objection, now: datetime) -> Verdict[TaskStatus]:
    if isinstance(objection, Fail):
        return failed(seen, objection.reason, objection.message, now)
    if not objection.reason:
        return Verdict(seen.task.status, look_again=objection.look_again)
    before = conditions.find(seen.task.status.conditions, "Queued")
    # The same reason is not told twice: a message that only counts differently is not worth a write.
    message = before.message if before and before.reason == objection.reason else objection.message
    status = _with(_base(seen), Condition("Queued", "True", objection.reason, message), now)
    notice = None if before and before.reason == objection.reason else Notice(objection.reason, objection.message)
    queued = msgspec.structs.replace(status, phase="Queued")
    return Verdict(queued, look_again=objection.look_again, notice=notice)


def _started(seen: Observed, now: datetime) -> TaskStatus:
    status = _base(seen)
    if conditions.find(status.conditions, "Queued"):
        limited = seen.profile is not None and admission.limited(seen.profile.shape)
        reason = "CapacityAvailable" if limited else "NoLimits"
        status = _with(status, Condition("Queued", "False", reason, "the Task may run"), now)
    meta = seen.task.metadata
    title = names.session_title(meta.namespace, meta.name, meta.uid)
    session = Session(id=names.session_id(meta.uid) if seen.attached else "", title=title)
    return msgspec.structs.replace(status, phase="Running", startTime=status.startTime or _second(now), session=session)


def _under_way(seen: Observed, now: datetime) -> Verdict[TaskStatus]:
    pod, status = seen.pod, seen.task.status
    if status.phase != "Running":
        status = _started(seen, now)
    status = msgspec.structs.replace(status, observedGeneration=seen.task.metadata.generation)
    if pod is not None:
        status = placed_in(status, pod.metadata.key)
    over = _time_left(seen, status, now)
    if pod is None or pod.status.phase not in ("Succeeded", "Failed"):
        if over is not None and over <= 0:
            length = duration.spoken(duration.parse(seen.spec.timeout or "0s"))
            return _ended(status, Condition("Stopped", "True", "Timeout", f"Task timed out after {length}"), now)
        if _stopped(seen):
            return _stop(seen, now, STOP_MESSAGE)
    if pod is None:
        return _lost(status, now)
    if pod.status.phase == "Succeeded":
        done = _reported(status, podstate.reports(pod))
        return Verdict(_complete(done, "Completed", now), notice=Notice("Completed", "Task completed"))
    if pod.status.phase == "Failed":
        return _broke(_reported(status, podstate.reports(pod)), podstate.failure(pod), now)
    return _starting(status, pod, over, now)


def _starting(status: TaskStatus, pod: core.Pod, over: float | None, now: datetime) -> Verdict[TaskStatus]:
    """The verdict on a Task whose Pod works, or tries to start; what keeps it from that is told at once."""
    obstacle = podstate.obstacle(pod)
    if obstacle is None:
        cleared = msgspec.structs.replace(status, conditions=conditions.drop(status.conditions, "Ready"))
        return Verdict(cleared, look_again=over)
    left = podstate.patience_left(pod, obstacle, now)
    if left <= 0:
        verdict = _broke(status, obstacle, now)
        return Verdict(verdict.status, ends_pod=True, notice=verdict.notice)
    told = _with(status, Condition("Ready", "False", obstacle.reason, obstacle.message), now)
    return Verdict(told, look_again=left if over is None else min(left, over))


def _time_left(seen: Observed, status: TaskStatus, now: datetime) -> float | None:
    if not seen.spec.timeout or status.startTime is None:
        return None
    return (status.startTime + duration.parse(seen.spec.timeout) - now).total_seconds()


def _stopped(seen: Observed) -> bool:
    return seen.task.metadata.annotations.get(names.ANNOTATION_STOP) == "true"


def _stop(seen: Observed, now: datetime, message: str) -> Verdict[TaskStatus]:
    return _ended(_base(seen), Condition("Stopped", "True", "UserStopped", message), now)


def _ended(status: TaskStatus, condition: Condition, now: datetime) -> Verdict[TaskStatus]:
    ended = _complete(_with(status, condition, now), "Completed", now)
    return Verdict(
        ended,
        ends_pod=True,
        notice=Notice("Timeout" if condition.reason == "Timeout" else "Stopped", condition.message),
    )


def _lost(status: TaskStatus, now: datetime) -> Verdict[TaskStatus]:
    return _broke(
        status, podstate.Failure("PodLost", f'the Pod "{status.podName}" vanished before the work was done'), now
    )


def _broke(status: TaskStatus, why: podstate.Failure, now: datetime) -> Verdict[TaskStatus]:
    status = _with(status, Condition("Ready", "False", why.reason, why.message), now)
    return Verdict(_complete(status, "Failed", now), notice=Notice("Failed", why.message, warning=True))


def _complete(status: TaskStatus, phase: Any, now: datetime) -> TaskStatus:
    return msgspec.structs.replace(status, phase=phase, completionTime=_second(now))


def _reported(status: TaskStatus, report: dict[str, Any]) -> TaskStatus:
    """The status with what the Pod's containers left behind: session, results, last words."""
    try:
        session = msgspec.convert(report.get("session") or {}, _ReportedSession)
        outputs = msgspec.convert(report["outputs"], Outputs) if report.get("outputs") else None
    except msgspec.ValidationError:
        return status
    before = status.session or Session()
    known = Session(session.id or before.id, before.title or session.title, session.summary() or before.summary)
    return msgspec.structs.replace(status, session=known, outputs=outputs, result=str(report.get("result") or ""))


class _ReportedSession(msgspec.Struct, frozen=True):
    """A session as the programs inside the Pod report it."""

    id: str = ""
    title: str = ""
    messageCount: int = 0
    tokens: TokenUsage | None = None
    cost: str = ""
    filesChanged: int = 0
    additions: int = 0
    deletions: int = 0

    def summary(self) -> SessionSummary | None:
        """The same in the words of the Task's status; None where nothing was reported."""
        if not self.messageCount:
            return None
        return SessionSummary(
            self.messageCount, self.tokens, self.cost, self.filesChanged, self.additions, self.deletions
        )


def _base(seen: Observed) -> TaskStatus:
    """The status so far, brought up to the spec that was looked at."""
    status, meta = seen.task.status, seen.task.metadata
    profile = seen.profile
    reference = (
        AgentReference(profile.key.name, profile.key.namespace if seen.foreign else "")
        if profile and profile.agent
        else None
    )
    template = TemplateReference(profile.key.name) if profile and not profile.agent else None
    return msgspec.structs.replace(
        status,
        observedGeneration=meta.generation,
        agentRef=reference or status.agentRef,
        templateRef=template or status.templateRef,
    )


def _with(status: TaskStatus, condition: Condition, now: datetime) -> TaskStatus:
    stamped = msgspec.structs.replace(condition, observedGeneration=status.observedGeneration)
    return msgspec.structs.replace(status, conditions=conditions.put(status.conditions, stamped, now))


def _second(now: datetime) -> datetime:
    return now.replace(microsecond=0)
