"""The built-in controller of ReplicaSets: keeps a number of Pods of one template."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from kubeopencode.api import conditions, core, meta, workloads
from kubeopencode.kube import client, errors
from kubeopencode.node import podstatus, raw
from kubeopencode.runtime import clock, outcome, store


@dataclass(frozen=True)
class ReplicaSets:
    """Reconciles ReplicaSets. The store of Pods is indexed by `owner` (uid of the controller owner)."""

    connection: client.Client
    sets: store.Store[workloads.ReplicaSet]
    pods: store.Store[core.Pod]
    time: clock.Clock = clock.SYSTEM

    async def reconcile(self, key: meta.Key) -> outcome.Outcome:
        """Create what is missing, delete what is too much, report."""
        found = self.sets.get(key)
        if found is None or found.metadata.deletionTimestamp is not None:
            return outcome.Done()
        pods = [pod for pod in self.pods.by_index("owner", found.metadata.uid) if _active(pod)]
        missing = found.spec.replicas - len(pods)
        if missing > 0:
            await self._create(found, missing)
        elif missing < 0:
            await self._delete(pods, -missing)
        return await self._report(found, pods)

    async def _create(self, found: workloads.ReplicaSet, count: int) -> None:
        whole = await raw.read(self.connection, workloads.REPLICASETS, found.metadata.key)
        if whole is None or whole["metadata"]["uid"] != found.metadata.uid:
            return
        reference = raw.owner(workloads.REPLICASETS, found.metadata)
        body = raw.pod(whole["spec"]["template"], found.metadata.namespace, f"{found.metadata.name}-", reference)
        for _ in range(count):
            await self.connection.create(core.PODS, body, found.metadata.namespace)

    async def _delete(self, pods: Sequence[core.Pod], count: int) -> None:
        """Those go first that serve least: not ready before ready, young before old."""
        oldest = datetime.min.replace(tzinfo=self.time.now().tzinfo)
        ranked = sorted(pods, key=lambda pod: pod.metadata.creationTimestamp or oldest, reverse=True)
        for pod in sorted(ranked, key=podstatus.ready)[:count]:
            with contextlib.suppress(errors.NotFound, errors.Conflict):
                options = client.DeleteOptions(uid=pod.metadata.uid)
                await self.connection.delete(core.PODS, pod.metadata.name, pod.metadata.namespace, options=options)

    async def _report(self, found: workloads.ReplicaSet, pods: Sequence[core.Pod]) -> outcome.Outcome:
        ready = [pod for pod in pods if podstatus.ready(pod)]
        waits = [_until_available(pod, found.spec.minReadySeconds, self.time.now()) for pod in ready]
        status = workloads.ReplicaSetStatus(
            observedGeneration=found.metadata.generation,
            replicas=len(pods),
            fullyLabeledReplicas=len(pods),
            readyReplicas=len(ready),
            availableReplicas=sum(wait <= 0 for wait in waits),
        )
        if status != found.status:
            body = {"status": {name: getattr(status, name) for name in status.__struct_fields__}}
            key = found.metadata.key
            with contextlib.suppress(errors.NotFound):
                await self.connection.patch(workloads.REPLICASETS, key.name, body, key.namespace, options=client.STATUS)
        later = [wait for wait in waits if wait > 0]
        return outcome.Later(min(later)) if later else outcome.Done()


def _active(pod: core.Pod) -> bool:
    return pod.metadata.deletionTimestamp is None and not podstatus.finished(pod)


def _until_available(pod: core.Pod, seconds: int, now: datetime) -> float:
    """Seconds until a ready Pod counts as available."""
    condition = conditions.find(pod.status.conditions, "Ready")
    if not seconds or condition is None or condition.lastTransitionTime is None:
        return 0.0
    return (condition.lastTransitionTime + timedelta(seconds=seconds) - now).total_seconds()
