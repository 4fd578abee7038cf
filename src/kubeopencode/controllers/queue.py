"""The queue of an Agent with limits: one reconcile of the Agent's key lets Tasks in, in order, a batch at a time.

The reservation is one write of the Agent's status over the version that was looked at. Two controllers at once, or a
stale cache, make that write fail; they never make it let in too many.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from kubeopencode.api import agent, kinds, task
from kubeopencode.api.meta import Key
from kubeopencode.controllers import library, report
from kubeopencode.judge import admission
from kubeopencode.kube import client, errors
from kubeopencode.runtime import clock, controller, manager, outcome


@dataclass(frozen=True)
class QueueController:
    """Lets Tasks in."""

    api: client.Client
    books: library.Library
    time: clock.Clock

    async def reconcile(self, key: Key) -> outcome.Outcome:
        """Decide who holds a slot of one Agent."""
        found = self.books.agents.get(key)
        if found is None or found.metadata.deletionTimestamp is not None:
            return outcome.DONE
        try:
            profile = await self.books.agent_profile(key)
        except library.Missing:
            return outcome.DONE
        if profile is None:
            return outcome.DONE
        if not admission.limited(profile.shape):
            return await self._clear(found)
        closed = found.spec.suspend or (profile.live and not found.status.ready)
        tasks = self.books.unfinished(key)
        if closed:
            holders = {start.taskUID for start in found.status.admitted}
            tasks = [each for each in tasks if each.metadata.uid in holders]
        gone = await self._gone(found, {each.metadata.uid for each in tasks})
        decided = admission.decide(profile.shape, found, tasks, gone, self.time.now())
        wanted = msgspec.structs.replace(found.status, admitted=decided.admitted, taskStartHistory=decided.history)
        await report.report(self.api, kinds.AGENTS, found, wanted)
        return outcome.Later(decided.look_again) if decided.look_again is not None else outcome.DONE

    async def _clear(self, found: agent.Agent) -> outcome.Outcome:
        wanted = msgspec.structs.replace(found.status, admitted=(), taskStartHistory=())
        await report.report(self.api, kinds.AGENTS, found, wanted)
        return outcome.DONE

    async def _gone(self, found: agent.Agent, known: set[str]) -> set[str]:
        """Slot holders that have ended or no longer exist. The cache may lag behind, so the server is asked."""
        gone: set[str] = set()
        for start in found.status.admitted:
            if start.taskUID in known:
                continue
            cached = self.books.tasks.get(Key(start.taskNamespace, start.taskName))
            if cached is None or cached.metadata.uid != start.taskUID:
                cached = await self._ask(start)
            if cached is None or cached.metadata.uid != start.taskUID or cached.status.phase in task.FINISHED:
                gone.add(start.taskUID)
        return gone

    async def _ask(self, start: agent.TaskStart) -> task.Task | None:
        try:
            return await self.api.get(kinds.TASKS, start.taskName, start.taskNamespace)
        except errors.NotFound:
            return None


def build(runner: manager.Manager, books: library.Library) -> controller.Controller:
    """The controller, with all that it watches."""
    queues = QueueController(runner.client, books, runner.clock)
    return controller.Controller(
        "queue",
        queues.reconcile,
        watches=(
            controller.Watch(library.AGENTS),
            controller.Watch(library.TASKS, library.unfinished_by_agent, library.comes_or_goes),
            controller.Watch(library.TEMPLATES, books.keys_of_agents),
        ),
        tuning=controller.Tuning(workers=2, first_retry=0.01),
        time=runner.clock,
    )
