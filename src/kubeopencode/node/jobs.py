"""The built-in controller of Jobs: runs Pods of one template until enough have succeeded or too many have failed."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from kubeopencode.api import conditions, core, meta, workloads
from kubeopencode.kube import client, errors
from kubeopencode.node import podstatus, raw
from kubeopencode.runtime import clock, outcome, store


@dataclass(frozen=True)
class Jobs:
    """Reconciles Jobs. The store of Pods is indexed by `owner`."""

    connection: client.Client
    jobs: store.Store[workloads.Job]
    pods: store.Store[core.Pod]
    time: clock.Clock = clock.SYSTEM

    async def reconcile(self, key: meta.Key) -> outcome.Outcome:
        """One step of a Job, and its report."""
        job = self.jobs.get(key)
        if job is None or job.metadata.deletionTimestamp is not None:
            return outcome.Done()
        if _over(job):
            return await self._expire(job)
        pods = list(self.pods.by_index("owner", job.metadata.uid))
        active = [pod for pod in pods if not podstatus.finished(pod) and pod.metadata.deletionTimestamp is None]
        succeeded = sum(pod.status.phase == "Succeeded" for pod in pods)
        failed = sum(pod.status.phase == "Failed" for pod in pods)
        verdict = self._verdict(job, succeeded, failed)
        if verdict is not None:
            await self._end(active)
            return await self._report(job, (0, succeeded, failed), (), verdict)
        count = await self._fill(job, active, succeeded, failed)
        return await self._report(job, (count, succeeded, failed), active, None)

    def _verdict(self, job: workloads.Job, succeeded: int, failed: int) -> meta.Condition | None:
        if succeeded >= (job.spec.completions or 1):
            return meta.Condition("Complete", "True", "CompletionsReached", "Reached expected number of succeeded pods")
        if failed > job.spec.backoffLimit:
            return meta.Condition(
                "Failed", "True", "BackoffLimitExceeded", "Job has reached the specified backoff limit"
            )
        left = _deadline(job, self.time.now())
        if left is not None and left <= 0:
            return meta.Condition("Failed", "True", "DeadlineExceeded", "Job was active longer than specified deadline")
        return None

    async def _fill(self, job: workloads.Job, active: Sequence[core.Pod], succeeded: int, failed: int) -> int:
        """Start Pods up to the parallelism asked for; the number that is active then."""
        if job.spec.suspend:
            await self._end(active)
            return 0
        wanted = min(job.spec.parallelism, (job.spec.completions or 1) - succeeded)
        missing = wanted - len(active)
        whole = await raw.read(self.connection, workloads.JOBS, job.metadata.key) if missing > 0 else None
        if whole is None or whole["metadata"]["uid"] != job.metadata.uid:
            return len(active)
        template = raw.section(raw.section(whole, "spec"), "template")
        told = raw.section(template, "metadata")
        labels = {**raw.section(told, "labels"), "batch.kubernetes.io/job-name": job.metadata.name}
        labels |= {"job-name": job.metadata.name, "batch.kubernetes.io/controller-uid": job.metadata.uid}
        template = {**template, "metadata": {**told, "labels": labels}}
        reference = raw.owner(workloads.JOBS, job.metadata)
        body = raw.pod(template, job.metadata.namespace, f"{job.metadata.name}-", reference)
        for _ in range(missing):
            await self.connection.create(core.PODS, body, job.metadata.namespace)
        return len(active) + missing

    async def _end(self, active: Sequence[core.Pod]) -> None:
        for pod in active:
            with contextlib.suppress(errors.NotFound, errors.Conflict):
                options = client.DeleteOptions(uid=pod.metadata.uid)
                await self.connection.delete(core.PODS, pod.metadata.name, pod.metadata.namespace, options=options)

    async def _expire(self, job: workloads.Job) -> outcome.Outcome:
        """Delete a Job that has been over for as long as it asked to be kept."""
        if job.spec.ttlSecondsAfterFinished is None:
            return outcome.Done()
        ended = next((each.lastTransitionTime for each in job.status.conditions if _ends(each)), None)
        kept = timedelta(seconds=job.spec.ttlSecondsAfterFinished)
        left = (ended + kept - self.time.now()).total_seconds() if ended else 0.0
        if left > 0:
            return outcome.Later(left)
        with contextlib.suppress(errors.NotFound, errors.Conflict):
            options = client.DeleteOptions(uid=job.metadata.uid, propagation="Background")
            await self.connection.delete(workloads.JOBS, job.metadata.name, job.metadata.namespace, options=options)
        return outcome.Done()

    async def _report(
        self,
        job: workloads.Job,
        counts: tuple[int, int, int],
        active: Sequence[core.Pod],
        verdict: meta.Condition | None,
    ) -> outcome.Outcome:
        now = self.time.now()
        done = now.replace(microsecond=0) if verdict is not None and verdict.type == "Complete" else None
        status = workloads.JobStatus(
            active=counts[0],
            ready=sum(podstatus.ready(pod) for pod in active),
            succeeded=counts[1],
            failed=counts[2],
            startTime=job.status.startTime or (None if job.spec.suspend else now.replace(microsecond=0)),
            completionTime=job.status.completionTime or done,
            conditions=conditions.merge(job.status.conditions, [verdict] if verdict else [], now),
        )
        if status != job.status:
            body = {name: msgspec.to_builtins(getattr(status, name)) for name in status.__struct_fields__}
            key = job.metadata.key
            with contextlib.suppress(errors.NotFound):
                await self.connection.patch(
                    workloads.JOBS, key.name, {"status": body}, key.namespace, options=client.STATUS
                )
        left = _deadline(job, now)
        return outcome.Later(max(left, 0.1)) if left is not None and verdict is None else outcome.Done()


def _ends(condition: meta.Condition) -> bool:
    return condition.type in ("Complete", "Failed") and condition.status == "True"


def _over(job: workloads.Job) -> bool:
    return any(_ends(condition) for condition in job.status.conditions)


def _deadline(job: workloads.Job, now: datetime) -> float | None:
    """Seconds until the Job's deadline; None without one."""
    if job.spec.activeDeadlineSeconds is None or job.status.startTime is None:
        return None
    return (job.status.startTime + timedelta(seconds=job.spec.activeDeadlineSeconds) - now).total_seconds()
