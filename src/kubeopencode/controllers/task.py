"""Tasks: see what is there, decide, make it so, write one status."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import msgspec

from kubeopencode import names
from kubeopencode.api import agent, core, kinds
from kubeopencode.api import task as api
from kubeopencode.api.meta import Json, Key
from kubeopencode.controllers import library, report
from kubeopencode.judge import task as judge
from kubeopencode.judge.verdict import Verdict
from kubeopencode.kube import client, errors
from kubeopencode.render import parts
from kubeopencode.render import task as render
from kubeopencode.runtime import clock, controller, converge, events, manager, outcome, reflector, store
from kubeopencode.world import Observed


def _essential(pod: core.Pod) -> core.Pod:
    """All that is asked of a cached Pod: its metadata, its status, and which of its containers are sidecars."""
    first = tuple(core.Container(name=each.name, restartPolicy=each.restartPolicy) for each in pod.spec.initContainers)
    return msgspec.structs.replace(pod, spec=core.PodSpec(initContainers=first))


PODS = reflector.Source(core.PODS, labels=names.LABEL_TASK, trim=_essential)


@dataclass(frozen=True)
class TaskController:
    """Runs Tasks. Every pass starts from what is there, so it may be ended between any two steps."""

    api: client.Client
    books: library.Library
    pods: store.Store[core.Pod]
    converger: converge.Converger
    recorder: events.EventRecorder
    time: clock.Clock

    async def reconcile(self, key: Key) -> outcome.Outcome:
        """Make the world right for one Task."""
        found = self.books.tasks.get(key)
        if found is None:
            return outcome.DONE
        if found.metadata.deletionTimestamp is not None:
            return await self._release(found)
        if found.status.phase in api.FINISHED:
            return outcome.DONE
        seen = await self._gather(found)
        verdict = judge.decide(seen, self.time.now())
        try:
            seen = await self._act(seen, verdict)
        except parts.Refused as refusal:
            verdict = judge.failed(seen, refusal.reason, str(refusal), self.time.now())
        except converge.NameConflict as clash:
            if clash.leaving:
                return outcome.Later(1.0)
            verdict = judge.failed(seen, "NameConflict", str(clash), self.time.now())
        return await self._report(seen, verdict)

    async def _gather(self, found: api.Task) -> Observed:
        """All that the decision may look at."""
        cluster = self.books.cluster
        spec = found.spec
        try:
            spec = await self.books.effective(found)
            profile = await self.books.profile(spec, found.metadata.namespace)
        except library.Missing as missing:
            seen = Observed(found, spec, cluster, missing=str(missing), missing_reason=missing.reason)
        else:
            seen = Observed(found, spec, cluster, profile=profile)
        waiting = self._waiting(seen) if seen.profile and seen.profile.agent else 0
        return replace(seen, pod=await self._pod(seen), waiting=waiting)

    def _waiting(self, seen: Observed) -> int:
        assert seen.profile is not None
        tasks = self.books.unfinished(seen.profile.key)
        return sum(each.status.phase != "Running" for each in tasks)

    async def _pod(self, seen: Observed) -> core.Pod | None:
        """The Task's Pod. One that should be there and is not in the cache is asked for before it counts as lost."""
        status = seen.task.status
        key = (
            Key(status.podNamespace or seen.task.metadata.namespace, status.podName)
            if status.podName
            else render.pod_key(seen)
        )
        pod = self.pods.get(key)
        if pod is None and status.phase == "Running":
            try:
                pod = await self.api.get(core.PODS, key.name, key.namespace)
            except errors.NotFound:
                return None
        return pod if pod is not None and self.converger.owns(_owner(seen.task), pod.metadata) else None

    async def _act(self, seen: Observed, verdict: Verdict[api.TaskStatus]) -> Observed:
        if verdict.runs:
            return await self._start(seen)
        if verdict.ends_pod and seen.pod is not None:
            await self._end_pod(seen.pod)
        return seen

    async def _start(self, seen: Observed) -> Observed:
        """Everything a Task needs to run, its Pod last."""
        maps = await self.books.config_maps(render.sources(seen))
        seen = replace(seen, config_maps=maps)
        objects = render.desired(seen)
        seen = await self._mark(seen)
        await self.converger.converge(_owner(seen.task), objects)
        return seen

    async def _mark(self, seen: Observed) -> Observed:
        """The label by which Tasks of an Agent are found, and the finalizer of a Task whose Pod is elsewhere."""
        meta, profile = seen.task.metadata, seen.profile
        assert profile is not None
        label = names.LABEL_AGENT if profile.agent else names.LABEL_AGENT_TEMPLATE
        wanted = names.label(profile.key.name)
        patch: Json = {}
        if meta.labels.get(label) != wanted:
            patch["labels"] = {label: wanted}
        if seen.foreign and names.FINALIZER not in meta.finalizers:
            patch["finalizers"] = [*meta.finalizers, names.FINALIZER]
        if not patch:
            return seen
        patch["resourceVersion"] = meta.resourceVersion
        marked = await self.api.patch(kinds.TASKS, meta.name, {"metadata": patch}, meta.namespace)
        return replace(seen, task=marked)

    async def _end_pod(self, pod: core.Pod) -> None:
        meta = pod.metadata
        if meta.deletionTimestamp is not None:
            return
        try:
            await self.api.delete(core.PODS, meta.name, meta.namespace, options=client.DeleteOptions(uid=meta.uid))
        except errors.NotFound:
            return

    async def _report(self, seen: Observed, verdict: Verdict[api.TaskStatus]) -> outcome.Outcome:
        status = verdict.status
        if verdict.runs:
            key = render.pod_key(seen)
            status = judge.placed_in(status, key)
        await report.report(self.api, kinds.TASKS, seen.task, status)
        if notice := verdict.notice:
            kind = events.WARNING if notice.warning else events.NORMAL
            self.recorder.record(events.Subject.of(kinds.TASKS, seen.task), kind, notice.reason, notice.message)
        return outcome.Later(verdict.look_again) if verdict.look_again is not None else outcome.DONE

    async def _release(self, found: api.Task) -> outcome.Outcome:
        """Clean up after a Task whose objects no owner reference can reach, then let it go."""
        meta = found.metadata
        if names.FINALIZER not in meta.finalizers:
            return outcome.DONE
        for resource in (core.PODS, core.CONFIGMAPS):
            selector = f"{names.LABEL_TASK_UID}={meta.uid}"
            there = await self.api.list(resource, found.status.podNamespace, labels=selector)
            await self.converger.prune(_owner(found), resource, there.items)
        left = [each for each in meta.finalizers if each != names.FINALIZER]
        patch: Json = {"metadata": {"finalizers": left, "resourceVersion": meta.resourceVersion}}
        await self.api.patch(kinds.TASKS, meta.name, patch, meta.namespace)
        return outcome.DONE


def _owner(found: api.Task) -> converge.Owner:
    return converge.Owner.of(kinds.TASKS, found)


def task_of_pod(pod: core.Pod) -> Iterable[Key]:
    """The Task that a Pod works for."""
    namespace, _, name = pod.metadata.annotations.get(names.ANNOTATION_TASK, "").partition("/")
    return (Key(namespace, name),) if name else ()


def build(runner: manager.Manager, books: library.Library, recorder: events.EventRecorder) -> controller.Controller:
    """The controller, with all that it watches."""
    pods = runner.store(PODS)
    made = (converge.Kind(core.CONFIGMAPS, fresh=True), converge.Kind(core.PODS, converge.Policy.ONCE, fresh=True))
    converger = converge.Converger(runner.client, made, uid_label=names.LABEL_TASK_UID)
    tasks = TaskController(runner.client, books, pods, converger, recorder, runner.clock)

    def waiting(found: agent.Agent) -> Iterable[Key]:
        return [t.metadata.key for t in books.unfinished(found.metadata.key) if t.status.phase != "Running"]

    def let_in(found: agent.Agent) -> Iterable[Key]:
        keys = [Key(start.taskNamespace, start.taskName) for start in found.status.admitted]
        return [key for key in keys if (known := books.tasks.get(key)) is None or known.status.phase != "Running"]

    def waiting_for_template(found: agent.AgentTemplate) -> Iterable[Key]:
        return [t.metadata.key for t in books.waiting(found.metadata.key)]

    return controller.Controller(
        "task",
        tasks.reconcile,
        watches=(
            controller.Watch(library.TASKS),
            controller.Watch(PODS, task_of_pod),
            controller.Watch(library.AGENTS, let_in),
            controller.Watch(library.AGENTS, waiting, _opens_or_closes),
            controller.Watch(library.TEMPLATES, waiting_for_template),
        ),
        tuning=controller.Tuning(workers=8),
        time=runner.clock,
    )


def _opens_or_closes(change: store.Change[agent.Agent]) -> bool:
    """Something about the Agent changed that all its waiting Tasks must know."""
    if change.old is None or change.new is None:
        return True
    old, new = change.old, change.new
    return (old.metadata.generation, old.status.ready) != (new.metadata.generation, new.status.ready)
