"""The built-in controller of Deployments: one ReplicaSet for each template, and an orderly change between them."""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from kubeopencode.api import conditions, meta, workloads
from kubeopencode.api.probes import IntOrString
from kubeopencode.kube import client, errors
from kubeopencode.node import raw
from kubeopencode.runtime import clock, outcome, store

HASH = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"


@dataclass(frozen=True)
class Deployments:
    """Reconciles Deployments. The store of ReplicaSets is indexed by `owner`."""

    connection: client.Client
    deployments: store.Store[workloads.Deployment]
    sets: store.Store[workloads.ReplicaSet]
    time: clock.Clock = clock.SYSTEM

    async def reconcile(self, key: meta.Key) -> outcome.Outcome:
        """One step of a rollout, and its report."""
        found = self.deployments.get(key)
        if found is None or found.metadata.deletionTimestamp is not None:
            return outcome.Done()
        whole = await raw.read(self.connection, workloads.DEPLOYMENTS, key)
        if whole is None or whole["metadata"]["uid"] != found.metadata.uid:
            return outcome.Done()
        owned = list(self.sets.by_index("owner", found.metadata.uid))
        mark = template_hash(whole["spec"]["template"])
        current = next((each for each in owned if each.metadata.labels.get(HASH) == mark), None)
        others = [each for each in owned if each is not current]
        wanted = scale(found.spec, current, others)
        if current is None and not (found.spec.paused and others):
            if wanted.create:
                await self._create(found, whole, mark, wanted.current)
        else:
            await self._scale(current, wanted.current)
        for each in others:
            await self._scale(each, wanted.others[each.metadata.name])
        await self._prune(found, others)
        await self._report(found, current, others)
        return outcome.Done()

    async def _create(self, found: workloads.Deployment, whole: meta.Json, mark: str, replicas: int) -> None:
        spec = raw.section(whole, "spec")
        template, selector = raw.section(spec, "template"), raw.section(spec, "selector")
        told = raw.section(template, "metadata")
        labels = {**raw.section(told, "labels"), HASH: mark}
        matched = {**selector, "matchLabels": {**raw.section(selector, "matchLabels"), HASH: mark}}
        body: meta.Json = {
            "metadata": {
                "name": f"{found.metadata.name[:52]}-{mark}",
                "namespace": found.metadata.namespace,
                "labels": labels,
                "annotations": {REVISION: str(self._revision(found))},
                "ownerReferences": [raw.owner(workloads.DEPLOYMENTS, found.metadata)],
            },
            "spec": {
                "replicas": replicas,
                "selector": matched,
                "minReadySeconds": found.spec.minReadySeconds,
                "template": {**template, "metadata": {**told, "labels": labels}},
            },
        }
        with contextlib.suppress(errors.AlreadyExists):
            await self.connection.create(workloads.REPLICASETS, body, found.metadata.namespace)

    def _revision(self, found: workloads.Deployment) -> int:
        owned = self.sets.by_index("owner", found.metadata.uid)
        return 1 + max((int(each.metadata.annotations.get(REVISION, "0") or 0) for each in owned), default=0)

    async def _scale(self, found: workloads.ReplicaSet | None, replicas: int) -> None:
        if found is not None and found.spec.replicas != replicas:
            key, body = found.metadata.key, {"spec": {"replicas": replicas}}
            await self.connection.patch(workloads.REPLICASETS, key.name, body, key.namespace)

    async def _prune(self, found: workloads.Deployment, others: Sequence[workloads.ReplicaSet]) -> None:
        """Old ReplicaSets beyond the history that is asked for go."""
        empty = [each for each in others if each.spec.replicas == 0 and each.status.replicas == 0]
        empty.sort(key=lambda each: int(each.metadata.annotations.get(REVISION, "0") or 0))
        for each in empty[: max(len(empty) - found.spec.revisionHistoryLimit, 0)]:
            with contextlib.suppress(errors.NotFound, errors.Conflict):
                await self.connection.delete(
                    workloads.REPLICASETS,
                    each.metadata.name,
                    each.metadata.namespace,
                    options=client.DeleteOptions(uid=each.metadata.uid, propagation="Background"),
                )

    async def _report(
        self, found: workloads.Deployment, current: workloads.ReplicaSet | None, others: Sequence[workloads.ReplicaSet]
    ) -> None:
        every = [*others, *([current] if current else [])]
        counts = workloads.DeploymentStatus(
            observedGeneration=found.metadata.generation,
            replicas=sum(each.status.replicas for each in every),
            updatedReplicas=current.status.replicas if current else 0,
            readyReplicas=sum(each.status.readyReplicas for each in every),
            availableReplicas=sum(each.status.availableReplicas for each in every),
        )
        missing = max(found.spec.replicas - counts.availableReplicas, 0)
        told = conditions.merge(found.status.conditions, _conditions(found.spec, counts), self.time.now())
        status = msgspec.structs.replace(counts, unavailableReplicas=missing, conditions=told)
        if status == found.status:
            return
        body = {name: msgspec.to_builtins(getattr(status, name)) for name in status.__struct_fields__}
        key = found.metadata.key
        with contextlib.suppress(errors.NotFound):
            await self.connection.patch(
                workloads.DEPLOYMENTS, key.name, {"status": body}, key.namespace, options=client.STATUS
            )


@dataclass(frozen=True)
class Scale:
    """How many replicas the current ReplicaSet and the old ones should have; whether the current may be created."""

    current: int
    others: dict[str, int]
    create: bool = True


def scale(
    spec: workloads.DeploymentSpec, current: workloads.ReplicaSet | None, others: Sequence[workloads.ReplicaSet]
) -> Scale:
    """The next sizes. Pure. Recreate waits until no old Pod is left; RollingUpdate keeps within surge and absence."""
    if spec.strategy.type == "Recreate":
        gone = all(each.status.replicas == 0 for each in others)
        return Scale(spec.replicas if gone else 0, dict.fromkeys((each.metadata.name for each in others), 0), gone)
    surge, absent = bounds(spec)
    total_others = sum(each.spec.replicas for each in others)
    have = current.spec.replicas if current else 0
    grown = (
        min(spec.replicas, max(spec.replicas + surge - total_others, have)) if have < spec.replicas else spec.replicas
    )
    available = sum(each.status.availableReplicas for each in (*others, *([current] if current else [])))
    spare = max(available - (spec.replicas - absent), 0)
    sizes: dict[str, int] = {}
    for each in others:
        # What does not serve may go at once; what serves only as far as enough others do.
        idle = max(each.spec.replicas - each.status.availableReplicas, 0)
        taken = min(each.spec.replicas - idle, spare)
        spare -= taken
        sizes[each.metadata.name] = each.spec.replicas - idle - taken
    return Scale(grown, sizes)


def bounds(spec: workloads.DeploymentSpec) -> tuple[int, int]:
    """How many Pods may be too many and how many may be missing during a rollout; never both 0."""
    update = spec.strategy.rollingUpdate or workloads.RollingUpdate()
    surge = math.ceil(_share(update.maxSurge, spec.replicas))
    absent = math.floor(_share(update.maxUnavailable, spec.replicas))
    return surge, absent if surge or absent else 1


def template_hash(template: meta.Json) -> str:
    """A name for a template: equal templates, equal names."""
    canonical = msgspec.json.encode(template, order="deterministic")
    return hashlib.sha256(canonical).hexdigest()[:10]


def _share(amount: IntOrString, whole: int) -> float:
    return amount if isinstance(amount, int) else int(amount.rstrip("%")) * whole / 100


def _conditions(spec: workloads.DeploymentSpec, counts: workloads.DeploymentStatus) -> list[meta.Condition]:
    _, absent = bounds(spec)
    enough = counts.availableReplicas >= spec.replicas - (0 if spec.strategy.type == "Recreate" else absent)
    available = meta.Condition(
        "Available",
        "True" if enough else "False",
        "MinimumReplicasAvailable" if enough else "MinimumReplicasUnavailable",
        f"Deployment {'has' if enough else 'does not have'} minimum availability.",
    )
    done = counts.updatedReplicas == counts.replicas == counts.availableReplicas == spec.replicas
    reason = "NewReplicaSetAvailable" if done else "ReplicaSetUpdated"
    return [available, meta.Condition("Progressing", "True", reason)]
