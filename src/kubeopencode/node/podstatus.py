"""A Pod's status in the kubelet's words, from what is known of its containers. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from kubeopencode.api import conditions, core, meta
from kubeopencode.node import life
from kubeopencode.node.runner import Exited, Running


@dataclass(frozen=True)
class Facts:
    """What a status tells beyond the containers. `failure`: (reason, message) of a Pod that was ended from outside."""

    ip: str
    now: datetime
    plan: life.Plan
    failure: tuple[str, str] = ("", "")
    preparing: str = ""


def status(pod: core.Pod, found: Sequence[life.Track], facts: Facts) -> core.PodStatus:
    """The whole status."""
    phase = _phase(pod, found, facts)
    told = _conditions(found, facts, phase)
    reason, message = facts.failure
    return core.PodStatus(
        phase=phase,
        conditions=conditions.merge(pod.status.conditions, told, facts.now),
        reason=reason if phase == "Failed" else "",
        message=message if phase == "Failed" else "",
        hostIP="127.0.0.1",
        podIP=facts.ip,
        podIPs=(core.PodIP(facts.ip),),
        startTime=pod.status.startTime or facts.now.replace(microsecond=0),
        containerStatuses=tuple(_container(pod, track, facts) for track in found if track.kind is life.Kind.MAIN),
        initContainerStatuses=tuple(
            _container(pod, track, facts) for track in found if track.kind is not life.Kind.MAIN
        ),
        qosClass=pod.status.qosClass,
    )


def ready(pod: core.Pod) -> bool:
    """Whether a Pod takes traffic."""
    return conditions.is_true(pod.status.conditions, "Ready")


def finished(pod: core.Pod) -> bool:
    """Whether a Pod has come to its end."""
    return pod.status.phase in ("Succeeded", "Failed")


def remembered(pod: core.Pod) -> core.Pod:
    """A Pod as it is kept in memory: whole while it lives, and of a finished one only what is still asked.

    A machine may keep ten thousand finished Pods; what their containers were to do is asked no more.
    """
    if not finished(pod):
        return pod
    spec = msgspec.structs.replace(
        pod.spec,
        containers=tuple(map(outline, pod.spec.containers)),
        initContainers=tuple(map(outline, pod.spec.initContainers)),
        volumes=(),
    )
    return msgspec.structs.replace(pod, spec=spec)


def outline(container: core.Container) -> core.Container:
    """What a status still says of a container that will not run again."""
    return core.Container(name=container.name, image=container.image, restartPolicy=container.restartPolicy)


def _phase(pod: core.Pod, found: Sequence[life.Track], facts: Facts) -> str:
    mains = [track for track in found if track.kind is life.Kind.MAIN]
    policy = pod.spec.restartPolicy
    if facts.plan.over:
        failed = facts.failure[0] or life.init_failed(policy, found)
        clean = all(track.exited is not None and track.exited.code == 0 for track in mains)
        return "Succeeded" if clean and not failed else "Failed"
    if not facts.plan.initialized or any(track.state is None and track.previous is None for track in mains):
        return "Pending"
    return "Running"


def _conditions(found: Sequence[life.Track], facts: Facts, phase: str) -> list[meta.Condition]:
    names = {
        "Initialized": (
            _not_initialised(found, facts),
            "ContainersNotInitialized",
            "containers with incomplete status",
        ),
        "ContainersReady": (_unready(found), "ContainersNotReady", "containers with unready status"),
    }
    told: list[meta.Condition] = [meta.Condition("PodScheduled", "True")]
    for type_, (missing, reason, words) in names.items():
        told.append(_condition(type_, missing, (reason, words), phase))
    containers = told[-1]
    told.append(meta.Condition("Ready", containers.status, containers.reason, containers.message))
    return told


def _condition(type_: str, missing: list[str], words: tuple[str, str], phase: str) -> meta.Condition:
    if type_ == "ContainersReady" and phase in ("Succeeded", "Failed"):
        return meta.Condition(type_, "False", "PodCompleted" if phase == "Succeeded" else "PodFailed")
    if not missing:
        return meta.Condition(type_, "True")
    return meta.Condition(type_, "False", words[0], f"{words[1]}: [{' '.join(missing)}]")


def _not_initialised(found: Sequence[life.Track], facts: Facts) -> list[str]:
    if facts.plan.initialized:
        return []
    done = [
        track.started if track.kind is life.Kind.SIDECAR else track.exited is not None and track.exited.code == 0
        for track in found
    ]
    return [
        track.name for track, over in zip(found, done, strict=True) if track.kind is not life.Kind.MAIN and not over
    ]


def _unready(found: Sequence[life.Track]) -> list[str]:
    return [track.name for track in found if track.kind is not life.Kind.INIT and not (track.running and track.ready)]


def _container(pod: core.Pod, track: life.Track, facts: Facts) -> core.ContainerStatus:
    main = track.kind is not life.Kind.INIT
    over = track.exited
    return core.ContainerStatus(
        name=track.name,
        ready=track.running and track.ready if main else over is not None and over.code == 0,
        restartCount=max(track.attempt, 0),
        image=track.container.image,
        imageID=track.container.image if track.attempt >= 0 else "",
        containerID=_container_id(pod, track, track.attempt),
        started=track.running and track.started,
        state=_state(pod, track, facts),
        lastState=core.ContainerState(terminated=_terminated(pod, track, track.previous or _crash(pod, track, facts))),
    )


def _crash(pod: core.Pod, track: life.Track, facts: Facts) -> Exited | None:
    """The end that a container waits to be restarted after: told as its last state while it waits."""
    return track.exited if _waits(pod, track, facts) else None


def _waits(pod: core.Pod, track: life.Track, facts: Facts) -> bool:
    policy = "Always" if track.kind is life.Kind.SIDECAR else pod.spec.restartPolicy
    if track.exited is None or facts.plan.over or facts.failure[0] or policy == "Never":
        return False
    always = policy == "Always" and track.kind is not life.Kind.INIT
    return (always or track.exited.code != 0) and not facts.plan.stop and pod.metadata.deletionTimestamp is None


def _state(pod: core.Pod, track: life.Track, facts: Facts) -> core.ContainerState:
    if isinstance(track.state, Running):
        return core.ContainerState(running=core.Running(track.state.started_at.replace(microsecond=0)))
    if track.waiting is not None:
        return core.ContainerState(waiting=track.waiting)
    if track.exited is not None and _waits(pod, track, facts):
        where = f"{pod.metadata.name}_{pod.metadata.namespace}({pod.metadata.uid})"
        pause = f"back-off {life.backoff(track):.0f}s restarting failed container={track.name} pod={where}"
        return core.ContainerState(waiting=core.Waiting("CrashLoopBackOff", pause))
    if track.exited is not None:
        return core.ContainerState(terminated=_terminated(pod, track, track.exited))
    initialising = track.kind is life.Kind.MAIN and not facts.plan.initialized and not facts.preparing
    reason = "PodInitializing" if initialising and pod.spec.initContainers else "ContainerCreating"
    return core.ContainerState(waiting=core.Waiting(reason, facts.preparing))


def _terminated(pod: core.Pod, track: life.Track, how: Exited | None) -> core.Terminated | None:
    if how is None:
        return None
    attempt = track.attempt if how is track.exited else track.attempt - 1
    return core.Terminated(
        exitCode=how.code,
        reason=how.reason,
        message=how.message,
        signal=how.signal,
        startedAt=how.started_at.replace(microsecond=0),
        finishedAt=how.finished_at.replace(microsecond=0),
        containerID=_container_id(pod, track, attempt),
    )


def _container_id(pod: core.Pod, track: life.Track, attempt: int) -> str:
    return f"kubeopencode://{pod.metadata.uid}/{track.name}/{attempt}" if attempt >= 0 else ""
