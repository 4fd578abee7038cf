"""TaskTemplate: the part of a Task that many Tasks share."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from kubeopencode.api import meta
from kubeopencode.api.context import ContextItem
from kubeopencode.api.outputs import OutputSpec
from kubeopencode.api.schema import Column
from kubeopencode.api.task import AgentReference


class TaskTemplateSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """Defaults for the Tasks that name this template."""

    description: str | None = None
    """Instruction for Tasks that bring none."""
    agentRef: AgentReference | None = None
    """Agent for Tasks that name none."""
    contexts: tuple[ContextItem, ...] = ()
    """Content that comes before the Task's own."""
    outputs: OutputSpec | None = None
    """Results; a Task replaces them by name."""


class TaskTemplate(msgspec.Struct, frozen=True, omit_defaults=True):
    """A reusable beginning for Tasks."""

    SHORT_NAMES: ClassVar[tuple[str, ...]] = ("tt",)
    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("Agent", ".spec.agentRef.name"),
        Column("Age", ".metadata.creationTimestamp", "date"),
    )

    metadata: meta.ObjectMeta
    spec: TaskTemplateSpec = TaskTemplateSpec()
    """Defaults for the Tasks that name this template."""
