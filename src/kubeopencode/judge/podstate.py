"""What a Pod's status means for the work inside it: how it failed, why it does not start, what it left behind."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

import msgspec

from kubeopencode.api import conditions, core

NEVER_STARTS = frozenset({"InvalidImageName", "ErrImageNeverPull"})
"""Reasons that waiting cannot mend."""

START_FAILURES = {
    "ImagePullBackOff": timedelta(minutes=2),
    "ErrImagePull": timedelta(minutes=2),
    "CreateContainerConfigError": timedelta(minutes=1),
    "CreateContainerError": timedelta(minutes=1),
    "RunContainerError": timedelta(minutes=1),
    "CrashLoopBackOff": timedelta(minutes=2),
    "ContainerCreating": timedelta(minutes=2),
    "Unschedulable": timedelta(minutes=10),
}
"""Reasons that may mend themselves, and how long we wait for that. ContainerCreating counts only where a message comes
with it, as from our own node: a volume is missing. Without one it may be the pull of a large image."""


@dataclass(frozen=True)
class Failure:
    """Why the work did not succeed, in a word and in a sentence."""

    reason: str
    message: str


def failure(pod: core.Pod) -> Failure:
    """Why a Pod in phase Failed failed: the Pod's own reason, else the first container that ended badly."""
    if pod.status.reason:
        return Failure(pod.status.reason, pod.status.message or f"the Pod ended: {pod.status.reason}")
    if said := _said(reports(pod)):
        return Failure("AgentFailed", said)
    for status in _by_blame(pod):
        ended = status.state.terminated if status.state else None
        if ended is not None and ended.exitCode != 0:
            return _container_failure(status.name, ended)
    return Failure("PodFailed", "the Pod failed without saying why")


def _container_failure(name: str, ended: core.Terminated) -> Failure:
    if ended.reason == "OOMKilled":
        return Failure("OOMKilled", f"container {name}: OOMKilled")
    said = "" if left_behind(ended.message) else ended.message.strip()
    # A message may be the end of a log; its last line says what it came to.
    facts = [ended.reason if ended.reason != "Error" else "", said.rpartition("\n")[2]]
    detail = ": ".join(fact for fact in facts if fact)
    words = f"container {name}: exit code {ended.exitCode}"
    return Failure("ContainerFailed", f"{words} ({detail})" if detail else words)


def _by_blame(pod: core.Pod) -> list[core.ContainerStatus]:
    """The containers, those first that may be the cause: a sidecar is ended because others have ended."""
    sidecars = {container.name for container in pod.spec.initContainers if container.restartPolicy == "Always"}
    first = [status for status in pod.status.initContainerStatuses if status.name not in sidecars]
    last = [status for status in pod.status.initContainerStatuses if status.name in sidecars]
    return [*first, *pod.status.containerStatuses, *last]


def _said(report: dict[str, Any]) -> str:
    """The agent's own account of what went wrong, in its last message."""
    error = report.get("error")
    return str(cast("dict[str, Any]", error).get("message") or "") if isinstance(error, dict) else ""


def patience_left(pod: core.Pod, obstacle: Failure, now: datetime) -> float:
    """Seconds that a Pod may still be kept from its start by this; zero or less when it has been long enough."""
    patience = timedelta() if obstacle.reason in NEVER_STARTS else START_FAILURES[obstacle.reason]
    since = _waits_since(pod) or now
    return (since + patience - now).total_seconds()


def _waits_since(pod: core.Pod) -> datetime | None:
    """The Pod's creation, or the end of its preparation where that is over."""
    prepared = conditions.find(pod.status.conditions, "Initialized")
    if prepared is not None and prepared.status == "True" and prepared.lastTransitionTime is not None:
        return prepared.lastTransitionTime
    return pod.metadata.creationTimestamp


def obstacle(pod: core.Pod) -> Failure | None:
    """What keeps a Pod from its start, if it is one of the things we know."""
    if any(
        status.state and (status.state.running or status.state.terminated) for status in pod.status.containerStatuses
    ):
        return None
    for status in (*pod.status.initContainerStatuses, *pod.status.containerStatuses):
        waits = status.state.waiting if status.state else None
        if waits and waits.reason == "ContainerCreating" and not waits.message:
            continue
        if waits and (waits.reason in START_FAILURES or waits.reason in NEVER_STARTS):
            return Failure(waits.reason, f"container {status.name} cannot start: {waits.message or waits.reason}")
    for condition in pod.status.conditions:
        if condition.type == "PodScheduled" and condition.status == "False" and condition.reason == "Unschedulable":
            return Failure("Unschedulable", condition.message)
    return None


def reports(pod: core.Pod) -> dict[str, Any]:
    """What the Pod's containers left behind in their last messages, joined; later containers win."""
    joined: dict[str, Any] = {}
    for status in (*pod.status.initContainerStatuses, *pod.status.containerStatuses):
        ended = status.state.terminated if status.state else None
        if ended is not None:
            joined |= left_behind(ended.message)
    return joined


def left_behind(message: str) -> dict[str, Any]:
    """A last message as the object it holds; empty when it is no such message of ours."""
    if not message.lstrip().startswith("{"):
        return {}
    try:
        return msgspec.json.decode(message, type=dict[str, Any])
    except msgspec.DecodeError:
        return {}
