"""Finished Tasks: deleted when their time is up, and the oldest of a namespace when there are too many.

Keyed by namespace, so that a thousand Tasks that end together are looked at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from kubeopencode.api import config, kinds, task
from kubeopencode.api.meta import Key
from kubeopencode.controllers import library
from kubeopencode.kube import client, errors
from kubeopencode.runtime import clock, controller, manager, outcome

FINISHED = "finished by namespace"


@dataclass(frozen=True)
class RetentionController:
    """Deletes what the configuration says has been kept long enough."""

    api: client.Client
    books: library.Library
    time: clock.Clock

    async def reconcile(self, key: Key) -> outcome.Outcome:
        """Look at the finished Tasks of one namespace; the key's name is the namespace."""
        rules = self.books.cluster.cleanup
        if rules.ttlSecondsAfterFinished is None and rules.maxRetainedTasks is None:
            return outcome.DONE
        now = self.time.now()
        finished = sorted(self.books.tasks.by_index(FINISHED, key.name), key=_age)
        expired = [each for each in finished if (left := _left(rules, each, now)) is not None and left <= 0]
        kept = [each for each in finished if each not in expired]
        if rules.maxRetainedTasks is not None and len(kept) > rules.maxRetainedTasks:
            surplus = len(kept) - rules.maxRetainedTasks
            expired, kept = expired + kept[:surplus], kept[surplus:]
        for each in expired:
            await self._delete(each)
        waits = [left for each in kept if (left := _left(rules, each, now)) is not None]
        return outcome.Later(max(0.5, min(waits))) if waits else outcome.DONE

    async def _delete(self, found: task.Task) -> None:
        meta = found.metadata
        if meta.deletionTimestamp is not None:
            return
        try:
            await self.api.delete(kinds.TASKS, meta.name, meta.namespace, options=client.DeleteOptions(uid=meta.uid))
        except (errors.NotFound, errors.Conflict):
            return


def build(runner: manager.Manager, books: library.Library) -> controller.Controller:
    """The controller, with all that it watches."""
    books.tasks.add_index(FINISHED, _finished)
    retention = RetentionController(runner.client, books, runner.clock)

    def every_namespace(_: config.KubeOpenCodeConfig) -> Iterable[Key]:
        return {Key("", each.metadata.namespace) for each in books.tasks.list()}

    def namespace_of(found: task.Task) -> Iterable[Key]:
        return [Key("", namespace) for namespace in _finished(found)]

    return controller.Controller(
        "retention",
        retention.reconcile,
        watches=(controller.Watch(library.TASKS, namespace_of), controller.Watch(library.CONFIGS, every_namespace)),
        tuning=controller.Tuning(workers=1),
        time=runner.clock,
    )


def _finished(found: task.Task) -> Iterable[str]:
    """Index: Tasks that have ended, by namespace."""
    return (found.metadata.namespace,) if found.status.phase in task.FINISHED else ()


def _age(found: task.Task) -> tuple[float, str]:
    ended = found.status.completionTime or found.metadata.creationTimestamp
    return (ended.timestamp() if ended else 0.0, found.metadata.name)


def _left(rules: config.Cleanup, found: task.Task, now: datetime) -> float | None:
    """Seconds until a Task's time is up; None when it has no end."""
    if rules.ttlSecondsAfterFinished is None or found.status.completionTime is None:
        return None
    return (found.status.completionTime + timedelta(seconds=rules.ttlSecondsAfterFinished) - now).total_seconds()
