"""The kubelet's heart: makes each Pod of this node real, step by step.

One reconcile looks at what runs, decides by `life`, acts through the runner and writes the status once. What takes time
(stopping, probing, waiting for an end) runs beside it and queues the Pod again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec

from kubeopencode.api import core, meta, probes
from kubeopencode.kube import client, errors
from kubeopencode.node import (
    addresses,
    catalogue,
    environment,
    hosts,
    launching,
    life,
    logs,
    podstatus,
    probing,
    volumes,
)
from kubeopencode.node.runner import ContainerId, Exited, Runner, RunnerError, Running
from kubeopencode.runtime import clock, events, outcome, store

DEADLINE = ("DeadlineExceeded", "Pod was active on the node longer than the specified deadline")
REFRESH_SECONDS = 60.0
"""How often mounted ConfigMaps and Secrets follow their objects, as a kubelet's sync period."""
SHUTDOWN = ("Terminated", "Pod was terminated in response to imminent node shutdown.")
CLOSE_SECONDS = 2.0
"""How long containers may take to end when the whole plane goes down."""
MESSAGE_FROM_LOG = 2048
"""How much of a failed container's log becomes its termination message where that was asked for."""


@dataclass(frozen=True)
class Parts:
    """What the kubelet works with."""

    connection: client.Client
    runner: Runner
    launcher: launching.Launcher
    prober: probing.Prober
    recorder: events.EventRecorder
    pods: store.Store[core.Pod]
    root: Path
    domain: str = "cluster.local"
    time: clock.Clock = clock.SYSTEM


@dataclass
class Resident:
    """A Pod that lives here, as far as it must be remembered between two looks."""

    key: meta.Key
    uid: str
    home: launching.Home
    tracks: list[life.Track]
    guest: hosts.Guest
    tasks: dict[tuple[str, str], asyncio.Task[None]] = field(
        default_factory=dict[tuple[str, str], "asyncio.Task[None]"]
    )

    def id(self, track: life.Track) -> ContainerId:
        """The id of a container's current start."""
        return ContainerId(self.uid, track.name, track.attempt)


class Kubelet:
    """Reconciles Pods. `wake` queues a Pod; `names` gives the Service names for hosts files."""

    def __init__(self, parts: Parts, wake: Callable[[meta.Key], None], names: Callable[[], list[hosts.Name]]) -> None:
        self._parts = parts
        self._wake = wake
        self._names = names
        self._residents: dict[str, Resident] = {}
        self._by_key: dict[meta.Key, str] = {}
        self._addresses = addresses.Range(addresses.PODS)

    def recall(self) -> None:
        """Remember the addresses that an earlier life gave. Call before the first reconcile."""
        for record in self._parts.root.glob("*/address"):
            self._addresses.claim(record.parent.name, record.read_text())

    async def sweep(self) -> None:
        """End and remove what an earlier life has left of Pods that no longer exist. Call once synced."""
        alive = {pod.metadata.uid for pod in self._parts.pods.list()}
        for directory in list(self._parts.root.glob("*")):
            if directory.name not in alive and directory.name not in self._residents:
                self._parts.runner.forget(directory.name)
                self._addresses.release(directory.name)
                await asyncio.to_thread(volumes.remove, directory)

    async def close(self, *, keep_running: bool) -> None:
        """Let go of every Pod, ending its processes unless they are to be adopted by a later node."""
        left: list[ContainerId] = []
        cut: list[Resident] = []
        for resident in list(self._residents.values()):
            await self._release(resident)
            left += [resident.id(track) for track in resident.tracks if track.running]
            if any(track.running and track.kind is not life.Kind.SIDECAR for track in resident.tracks):
                cut.append(resident)
        if not keep_running:
            await self._end_all(left)
            await asyncio.gather(*(self._tell_shutdown(resident) for resident in cut), return_exceptions=True)

    async def _tell_shutdown(self, resident: Resident) -> None:
        """A Pod that is never restarted has ended with its node, and says so; others go on with the next node."""
        pod = self._parts.pods.get(resident.key)
        if pod is None or pod.metadata.uid != resident.uid or pod.spec.restartPolicy != "Never":
            return
        for track in resident.tracks:
            state = self._parts.runner.state(resident.id(track)) if track.running else None
            if isinstance(state, Exited):
                life.ended(track, self._with_message(resident, track, state))
        plan = life.plan(pod.spec.restartPolicy, resident.tracks, self._parts.time.now(), ending=True)
        await self._report(pod, podstatus.status(pod, resident.tracks, self._facts(resident, plan, SHUTDOWN)))

    async def _end_all(self, left: list[ContainerId]) -> None:
        """Ask all containers to end, and make those end that have not after a moment."""
        runner = self._parts.runner
        for container in left:
            runner.terminate(container)
        waiting = {asyncio.create_task(runner.wait(container)): container for container in left}
        late = (await asyncio.wait(waiting, timeout=CLOSE_SECONDS))[1] if waiting else set[asyncio.Task[Exited]]()
        for task in late:
            runner.kill(waiting[task])
        await asyncio.gather(*waiting, return_exceptions=True)

    def find(self, key: meta.Key) -> Resident | None:
        """The Pod that lives here under a name."""
        return self._residents.get(self._by_key.get(key, ""))

    def write_hosts(self) -> None:
        """Bring the hosts files of all Pods up to date."""
        names = self._names()
        for resident in self._residents.values():
            hosts.write(resident.home.hosts, hosts.content(resident.guest, names, self._parts.domain))

    async def reconcile(self, key: meta.Key) -> outcome.Outcome:
        """One step for one Pod."""
        pod = self._parts.pods.get(key)
        resident = self.find(key)
        if resident is not None and (pod is None or pod.metadata.uid != resident.uid):
            await self._evict(resident)
        if pod is None or not await self._bound(pod):
            return outcome.Done()
        if podstatus.finished(pod) and pod.metadata.deletionTimestamp is None:
            return outcome.Done()
        return await self._step(pod, self._resident(pod))

    async def _step(self, pod: core.Pod, resident: Resident) -> outcome.Outcome:
        now = self._parts.time.now()
        late = _seconds_left(pod, now)
        failure = DEADLINE if late is not None and late <= 0 else ("", "")
        ending = bool(failure[0]) or pod.metadata.deletionTimestamp is not None
        plan = await self._advance(pod, resident, ending=ending)
        told = podstatus.status(pod, resident.tracks, self._facts(resident, plan, failure))
        await self._report(pod, told)
        if plan.over:
            await self._release(resident)
            for track in resident.tracks:
                track.container = podstatus.outline(track.container)
        if plan.over and pod.metadata.deletionTimestamp is not None:
            await self._delete(pod)
            return outcome.Done()
        if late is not None and not ending:
            plan.wake(late)
        if plan.initialized and not plan.over and volumes.refreshable(pod.spec):
            plan.wake(await self._refresh(pod, resident.home))
        return outcome.Done() if plan.later is None else outcome.Later(plan.later)

    async def _refresh(self, pod: core.Pod, home: launching.Home) -> float:
        """Bring changed configuration to a running Pod once a minute; seconds until the next time."""
        now = self._parts.time.monotonic()
        if home.refreshed_at == 0.0:
            home.refreshed_at = now
        elif now - home.refreshed_at >= REFRESH_SECONDS:
            home.refreshed_at = now
            await self._parts.launcher.refresh(pod, home)
        return home.refreshed_at + REFRESH_SECONDS - now

    async def _advance(self, pod: core.Pod, resident: Resident, *, ending: bool) -> life.Plan:
        """Look, decide and act until there is nothing to start at once."""
        while True:
            self._look(pod, resident)
            plan = life.plan(pod.spec.restartPolicy, resident.tracks, self._parts.time.now(), ending=ending)
            for track in plan.stop:
                self._stop(pod, resident, track, _grace(pod))
            if ending and _grace(pod) == 0:
                self._kill(resident)
            if not plan.start:
                return plan
            for track in plan.start:
                await self._start(pod, resident, track)

    def _look(self, pod: core.Pod, resident: Resident) -> None:
        """Take notice of what ended since the last look."""
        for track in resident.tracks:
            if track.attempt < 0 or track.exited is not None:
                continue
            state = self._parts.runner.state(resident.id(track))
            if isinstance(state, Exited):
                life.ended(track, self._with_message(resident, track, state))
                self._cancel(resident, track, "probe")
            elif isinstance(state, Running):
                track.state = state
                self._attend(pod, resident, track)

    async def _start(self, pod: core.Pod, resident: Resident, track: life.Track) -> None:
        now = self._parts.time.now()
        attempt = track.attempt + 1
        try:
            hosts.write(resident.home.hosts, hosts.content(resident.guest, self._names(), self._parts.domain))
            launch = await self._parts.launcher.launch(pod, track.container, attempt, resident.home)
            await self._parts.runner.start(launch)
        except catalogue.UnknownImage as error:
            reason = "ImagePullBackOff" if track.refusals else "ErrImagePull"
            self._refuse(pod, track, core.Waiting(reason, str(error)))
        except environment.ConfigError as error:
            self._refuse(pod, track, core.Waiting("CreateContainerConfigError", str(error)))
        except volumes.VolumeError as error:
            self._refuse(pod, track, core.Waiting("ContainerCreating", str(error)), event="FailedMount")
        except RunnerError as error:
            self._refuse(pod, track, core.Waiting("CreateContainerError", str(error)))
        else:
            life.starting(track)
            track.state = Running(now)
            self._say(pod, events.NORMAL, "Started", f"Started container {track.name}")

    def _refuse(self, pod: core.Pod, track: life.Track, why: core.Waiting, event: str = "Failed") -> None:
        life.refused(track, why, self._parts.time.now())
        self._say(pod, events.WARNING, event, why.message)

    def _attend(self, pod: core.Pod, resident: Resident, track: life.Track) -> None:
        """Wait for a running container's end and probe it meanwhile."""
        container = resident.id(track)

        async def wait() -> None:
            with contextlib.suppress(RunnerError):
                await self._parts.runner.wait(container)
            resident.tasks.pop((track.name, "wait"), None)
            self._wake(resident.key)

        self._beside(resident, track, "wait", wait)
        if track.kind is life.Kind.INIT or (track.name, "probe") in resident.tasks:
            return
        probed = track.container
        if not (probed.startupProbe or probed.readinessProbe or probed.livenessProbe):
            track.started, track.ready = True, not track.stopping
            return
        track.started = track.started or probed.startupProbe is None
        track.ready = track.ready or (track.started and not track.stopping and probed.readinessProbe is None)
        target = probing.Target(container, probed, resident.home.ip)
        listener = self._listener(pod, resident, track)
        self._beside(
            resident, track, "probe", lambda: self._parts.prober.watch(target, listener, started=track.started)
        )

    def _listener(self, pod: core.Pod, resident: Resident, track: life.Track) -> probing.Listener:
        def started() -> None:
            track.started = True
            self._wake(resident.key)

        def ready(healthy: bool) -> None:
            if track.ready != healthy:
                track.ready = healthy
                self._wake(resident.key)

        def unhealthy(why: str, probe: probes.Probe) -> None:
            self._say(pod, events.WARNING, "Unhealthy", why)
            grace = probe.terminationGracePeriodSeconds
            self._stop(pod, resident, track, _grace(pod) if grace is None else grace)

        return probing.Listener(started, ready, unhealthy)

    def _stop(self, pod: core.Pod, resident: Resident, track: life.Track, grace: float) -> None:
        """Begin to stop a container: its hook, SIGTERM, and SIGKILL when the grace is over."""
        track.stopping = True
        track.ready = False
        container = resident.id(track)
        self._say(pod, events.NORMAL, "Killing", f"Stopping container {track.name}")

        async def end() -> None:
            try:
                async with clock.timeout(self._parts.time, grace):
                    await self._hook(resident, track)
                    self._parts.runner.terminate(container)
                    await self._parts.runner.wait(container)
            except TimeoutError:
                self._parts.runner.kill(container)
            finally:
                resident.tasks.pop((track.name, "stop"), None)

        self._beside(resident, track, "stop", end)

    async def _hook(self, resident: Resident, track: life.Track) -> None:
        """The container's preStop hook; its failure does not keep the container alive."""
        lifecycle = track.container.lifecycle
        if lifecycle and lifecycle.preStop:
            target = probing.Target(resident.id(track), track.container, resident.home.ip)
            with contextlib.suppress(probing.Failed):
                await self._parts.prober.act(target, lifecycle.preStop)

    def _kill(self, resident: Resident) -> None:
        for track in resident.tracks:
            if track.running:
                self._parts.runner.kill(resident.id(track))

    def _beside(
        self, resident: Resident, track: life.Track, what: str, work: Callable[[], Coroutine[Any, Any, None]]
    ) -> None:
        """Run something beside the reconciles, once for each container."""
        if (track.name, what) not in resident.tasks:
            resident.tasks[track.name, what] = asyncio.create_task(work(), name=f"{resident.key} {track.name} {what}")

    def _cancel(self, resident: Resident, track: life.Track, what: str) -> None:
        task = resident.tasks.pop((track.name, what), None)
        if task is not None:
            task.cancel()

    def _with_message(self, resident: Resident, track: life.Track, how: Exited) -> Exited:
        """How a container ended, with its last words."""
        container = resident.id(track)
        words = self._parts.runner.message(container).decode(errors="replace")
        if not words and how.code and track.container.terminationMessagePolicy == "FallbackToLogsOnError":
            found = logs.entries(self._parts.runner.log(container))
            said = b"".join(logs.shown(found, logs.Selection(tail=80)))
            words = said[-MESSAGE_FROM_LOG:].decode(errors="replace")
        return replace(how, message=words or how.message)

    def _facts(self, resident: Resident, plan: life.Plan, failure: tuple[str, str]) -> podstatus.Facts:
        return podstatus.Facts(resident.home.ip, self._parts.time.now(), plan, failure)

    async def _report(self, pod: core.Pod, told: core.PodStatus) -> None:
        if told == pod.status:
            return
        body = {"metadata": {"uid": pod.metadata.uid}, "status": _whole(told)}
        with contextlib.suppress(errors.NotFound):
            await self._parts.connection.patch(
                core.PODS, pod.metadata.name, body, pod.metadata.namespace, options=client.STATUS
            )

    async def _bound(self, pod: core.Pod) -> bool:
        """Whether a Pod is ours; one that nobody has bound yet is bound to us."""
        node = self._parts.launcher.node
        if pod.spec.nodeName:
            return pod.spec.nodeName == node
        if pod.metadata.deletionTimestamp is not None:
            await self._delete(pod)
            return False
        body = {"metadata": {"uid": pod.metadata.uid}, "spec": {"nodeName": node}}
        await self._parts.connection.patch(core.PODS, pod.metadata.name, body, pod.metadata.namespace)
        return False

    async def _delete(self, pod: core.Pod) -> None:
        options = client.DeleteOptions(uid=pod.metadata.uid, grace_seconds=0)
        with contextlib.suppress(errors.NotFound, errors.Conflict):
            await self._parts.connection.delete(core.PODS, pod.metadata.name, pod.metadata.namespace, options=options)

    def _resident(self, pod: core.Pod) -> Resident:
        """The Pod as we know it; at first sight with what an earlier life has left."""
        uid = pod.metadata.uid
        if uid in self._residents:
            return self._residents[uid]
        directory = self._parts.root / uid
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        ip = self._addresses.take(uid)
        (directory / "address").write_text(ip)
        guest = hosts.Guest(pod.metadata.namespace, launching.hostname(pod), ip, pod.spec.hostAliases)
        resident = Resident(pod.metadata.key, uid, launching.Home(directory, ip), life.tracks(pod.spec), guest)
        self._recall(pod, resident)
        self._residents[uid] = resident
        self._by_key[pod.metadata.key] = uid
        return resident

    def _recall(self, pod: core.Pod, resident: Resident) -> None:
        """What the runner and the last status know of containers that were started before."""
        statuses = {found.name: found for found in (*pod.status.containerStatuses, *pod.status.initContainerStatuses)}
        known: dict[str, int] = {}
        for container in self._parts.runner.known(resident.uid):
            known[container.name] = max(known.get(container.name, -1), container.attempt)
        for track in resident.tracks:
            track.attempt = known.get(track.name, -1)
            if track.attempt > 0:
                before = self._parts.runner.state(ContainerId(resident.uid, track.name, track.attempt - 1))
                track.previous = before if isinstance(before, Exited) else None
            status = statuses.get(track.name)
            if status is not None and track.attempt == status.restartCount:
                track.started, track.ready = bool(status.started), status.ready

    async def _release(self, resident: Resident) -> None:
        """End everything that runs beside a Pod's reconciles; its containers are not touched."""
        tasks = list(resident.tasks.values())
        resident.tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _evict(self, resident: Resident) -> None:
        """A Pod is gone from the API: end and remove all that is left of it."""
        await self._release(resident)
        self._parts.runner.forget(resident.uid)
        await asyncio.to_thread(volumes.remove, resident.home.directory)
        self._addresses.release(resident.uid)
        self._residents.pop(resident.uid, None)
        if self._by_key.get(resident.key) == resident.uid:
            del self._by_key[resident.key]

    def _say(self, pod: core.Pod, type_: str, reason: str, note: str) -> None:
        self._parts.recorder.record(events.Subject.of(core.PODS, pod), type_, reason, note, action=reason)


def _grace(pod: core.Pod) -> float:
    """Seconds a container has to end: what the deletion asks for, or the Pod's own wish."""
    asked = pod.metadata.deletionGracePeriodSeconds
    if pod.metadata.deletionTimestamp is not None and asked is not None:
        return float(asked)
    return float(pod.spec.terminationGracePeriodSeconds)


def _seconds_left(pod: core.Pod, now: Any) -> float | None:
    limit = pod.spec.activeDeadlineSeconds
    if limit is None or pod.status.startTime is None:
        return None
    return (pod.status.startTime + timedelta(seconds=limit) - now).total_seconds()


def _whole(told: core.PodStatus) -> meta.Json:
    """A status as a merge patch that also clears what is no longer so."""
    cleared = {"reason": None, "message": None, "initContainerStatuses": None}
    return {**cleared, **msgspec.to_builtins(told)}
