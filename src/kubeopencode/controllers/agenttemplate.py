"""AgentTemplates: nothing is made for them; they are looked at and told whether they can be used."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from kubeopencode.agents import opencode
from kubeopencode.api import conditions, kinds
from kubeopencode.api.meta import Condition, Key
from kubeopencode.controllers import library, report
from kubeopencode.kube import client
from kubeopencode.runtime import clock, controller, manager, outcome

GOOD = Condition("Ready", "True", "Valid", "AgentTemplate is valid and ready for use")


@dataclass(frozen=True)
class AgentTemplateController:
    """Says of each template whether it can be used."""

    api: client.Client
    books: library.Library
    time: clock.Clock

    async def reconcile(self, key: Key) -> outcome.Outcome:
        """Look at one template."""
        found = self.books.templates.get(key)
        if found is None:
            return outcome.DONE
        verdict = GOOD
        if found.spec.config is not None:
            try:
                opencode.parse(found.spec.config)
            except ValueError as error:
                verdict = Condition("Ready", "False", "InvalidConfig", f"spec.config: {error}")
        generation = found.metadata.generation
        stamped = msgspec.structs.replace(verdict, observedGeneration=generation)
        told = conditions.put(found.status.conditions, stamped, self.time.now())
        status = msgspec.structs.replace(found.status, observedGeneration=generation, conditions=told)
        await report.report(self.api, kinds.AGENTTEMPLATES, found, status)
        return outcome.DONE


def build(runner: manager.Manager, books: library.Library) -> controller.Controller:
    """The controller, with all that it watches."""
    templates = AgentTemplateController(runner.client, books, runner.clock)
    return controller.Controller(
        "agenttemplate", templates.reconcile, watches=(controller.Watch(library.TEMPLATES),), time=runner.clock
    )
