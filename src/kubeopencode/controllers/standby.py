"""Standby: Agents that sleep when there is no work and wake when some arrives. `spec.suspend` is the one switch."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from kubeopencode.api import kinds
from kubeopencode.api.meta import Key
from kubeopencode.controllers import library, report
from kubeopencode.judge import standby as judge
from kubeopencode.kube import client
from kubeopencode.runtime import clock, controller, events, manager, outcome


@dataclass(frozen=True)
class StandbyController:
    """Puts Agents to sleep and wakes them."""

    api: client.Client
    books: library.Library
    recorder: events.EventRecorder
    time: clock.Clock

    async def reconcile(self, key: Key) -> outcome.Outcome:
        """Look whether one Agent shall sleep."""
        found = self.books.agents.get(key)
        if found is None or found.metadata.deletionTimestamp is not None:
            return outcome.DONE
        if found.spec.standby is None:
            cleared = msgspec.structs.replace(found.status, idleSince=None)
            await report.report(self.api, kinds.AGENTS, found, cleared)
            return outcome.DONE
        rest = judge.decide(found, bool(self.books.unfinished(key)), self.time.now())
        told = await report.report(self.api, kinds.AGENTS, found, rest.status)
        if rest.suspend != found.spec.suspend:
            version = told.metadata.resourceVersion
            patch = {"metadata": {"resourceVersion": version}, "spec": {"suspend": rest.suspend}}
            await self.api.patch(kinds.AGENTS, key.name, patch, key.namespace)
            reason, note = ("StandbySuspended", "idle") if rest.suspend else ("Resumed", "work arrived")
            self.recorder.record(events.Subject.of(kinds.AGENTS, found), events.NORMAL, reason, note)
        return outcome.Later(rest.look_again) if rest.look_again is not None else outcome.DONE


def build(runner: manager.Manager, books: library.Library, recorder: events.EventRecorder) -> controller.Controller:
    """The controller, with all that it watches."""
    agents = StandbyController(runner.client, books, recorder, runner.clock)
    return controller.Controller(
        "standby",
        agents.reconcile,
        watches=(
            controller.Watch(library.AGENTS),
            controller.Watch(library.TASKS, library.unfinished_by_agent, library.comes_or_goes),
        ),
        tuning=controller.Tuning(workers=2),
        time=runner.clock,
    )
