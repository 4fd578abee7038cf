"""Task: what to do, once."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from kubeopencode.api import duration, meta
from kubeopencode.api.context import ContextItem
from kubeopencode.api.outputs import Outputs, OutputSpec
from kubeopencode.api.schema import Column, Rule, list_map

Phase = Literal["", "Pending", "Queued", "Running", "Completed", "Failed"]

FINISHED: frozenset[str] = frozenset({"Completed", "Failed"})
"""Phases that never change again."""


class AgentReference(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The Agent that does the work."""

    name: Annotated[str, Meta(min_length=1)]
    """Name of the Agent."""
    namespace: str = ""
    """Namespace of the Agent; the Task's own unless given. The Pod then runs there."""


class TemplateReference(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """An AgentTemplate of the same namespace."""

    name: Annotated[str, Meta(min_length=1)]
    """Name of the AgentTemplate."""


class TaskTemplateReference(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A TaskTemplate."""

    name: Annotated[str, Meta(min_length=1)]
    """Name of the TaskTemplate."""
    namespace: str = ""
    """Its namespace; the Task's own unless given."""


class TaskSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """What to do and with whom."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!(has(self.agentRef) && has(self.templateRef))",
            "only one of agentRef or templateRef can be specified",
        ),
    )

    description: str | None = None
    """The instruction. It becomes `task.md` in the workspace."""
    contexts: tuple[ContextItem, ...] = ()
    """Content for this Task, after that of the Agent or template."""
    agentRef: AgentReference | None = None
    """Run with this Agent. Without any reference the Agent `default` is taken."""
    templateRef: TemplateReference | None = None
    """Run in a Pod of its own, configured by this AgentTemplate."""
    taskTemplateRef: TaskTemplateReference | None = None
    """Take what this Task leaves out from a TaskTemplate."""
    timeout: Annotated[str, Meta(pattern=duration.PATTERN)] | None = None
    """End the Task this long after its start, for example `30m`."""
    outputs: OutputSpec | None = None
    """Results to read when the Task ends."""


class TokenUsage(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Tokens a session used."""

    input: int = 0
    """Tokens sent to the model."""
    output: int = 0
    """Tokens the model wrote."""
    reasoning: int = 0
    """Tokens the model thought."""
    cache: int = 0
    """Tokens read from or written to the provider's cache."""


class SessionSummary(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a session came to."""

    messageCount: int = 0
    """Messages in the session."""
    tokenUsage: TokenUsage | None = None
    """Tokens used."""
    cost: str = ""
    """Cost in US dollars, as the agent reports it, with six decimals."""
    filesChanged: int = 0
    """Files changed in the workspace."""
    additions: int = 0
    """Lines added."""
    deletions: int = 0
    """Lines removed."""


class Session(msgspec.Struct, frozen=True, omit_defaults=True):
    """The agent's own record of the work."""

    id: str = ""
    """Identifier on the agent's server."""
    title: str = ""
    """Title on the agent's server."""
    summary: SessionSummary | None = None
    """Usage, once the work has ended."""


class TaskStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of the Task."""

    observedGeneration: int = 0
    """Generation of the spec that this status speaks of."""
    phase: Phase = ""
    """Queued, Running, Completed or Failed; empty until the Task was first looked at."""
    agentRef: AgentReference | None = None
    """The Agent in use."""
    templateRef: TemplateReference | None = None
    """The AgentTemplate in use."""
    podName: str = ""
    """Name of the Pod that does the work."""
    podNamespace: str = ""
    """Namespace of that Pod."""
    session: Session | None = None
    """The agent's session."""
    startTime: datetime | None = None
    """When the Task was allowed to run."""
    completionTime: datetime | None = None
    """When the Task ended."""
    result: str = ""
    """The agent's last words, shortened where necessary."""
    outputs: Outputs | None = None
    """Results read from the workspace."""
    conditions: Annotated[tuple[meta.Condition, ...], list_map("type")] = ()
    """Ready, Queued and Stopped, each with a reason."""


class Task(msgspec.Struct, frozen=True, omit_defaults=True):
    """A piece of work for an AI coding agent."""

    SHORT_NAMES: ClassVar[tuple[str, ...]] = ("tk",)
    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("Phase", ".status.phase"),
        Column("Agent", ".status.agentRef.name"),
        Column("Template", ".status.templateRef.name", priority=1),
        Column("Pod", ".status.podName"),
        Column("Age", ".metadata.creationTimestamp", "date"),
    )

    metadata: meta.ObjectMeta
    spec: TaskSpec = TaskSpec()
    """What to do and with whom."""
    status: TaskStatus = TaskStatus()
    """What became of the Task."""
