"""CronTask: a Task on a schedule."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from kubeopencode.api import meta
from kubeopencode.api.schema import Column, list_map
from kubeopencode.api.task import TaskSpec


class TemplateMeta(msgspec.Struct, frozen=True, omit_defaults=True):
    """Metadata for the Tasks made."""

    labels: dict[str, str] = {}
    """Labels for the Tasks."""
    annotations: dict[str, str] = {}
    """Annotations for the Tasks."""


class TaskBlueprint(msgspec.Struct, frozen=True, omit_defaults=True):
    """The Task to make."""

    spec: TaskSpec
    """Spec of the Tasks."""
    metadata: TemplateMeta = TemplateMeta()
    """Metadata for the Tasks made."""


class CronTaskSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """When to make which Task."""

    schedule: Annotated[str, Meta(min_length=1)]
    """Five cron fields: minute, hour, day of month, month, day of week."""
    taskTemplate: TaskBlueprint
    """The Task to make."""
    timeZone: str = ""
    """IANA time zone; UTC unless given."""
    concurrencyPolicy: Literal["Allow", "Forbid", "Replace"] = "Forbid"
    """What to do while the last Task is still at work."""
    suspend: bool = False
    """Make no Tasks for now."""
    startingDeadlineSeconds: Annotated[int, Meta(ge=0)] | None = None
    """How late a Task may still be made."""
    maxRetainedTasks: Annotated[int, Meta(ge=1)] = 10
    """Tasks of this CronTask that may exist; no more are made until some are deleted."""


class ObjectReference(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One object, by name and uid."""

    name: str = ""
    """Its name."""
    namespace: str = ""
    """Its namespace."""
    kind: str = ""
    """Its kind."""
    apiVersion: str = ""
    """Its API version."""
    uid: str = ""
    """Its uid."""


class CronTaskStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the schedule came to."""

    active: int = 0
    """Tasks still at work."""
    activeRefs: tuple[ObjectReference, ...] = ()
    """Which Tasks those are."""
    lastScheduleTime: datetime | None = None
    """When a Task was last due."""
    lastSuccessfulTime: datetime | None = None
    """When a Task last completed."""
    nextScheduleTime: datetime | None = None
    """When the next Task is due."""
    totalExecutions: int = 0
    """Tasks made so far."""
    conditions: Annotated[tuple[meta.Condition, ...], list_map("type")] = ()
    """Ready, with a reason."""


class CronTask(msgspec.Struct, frozen=True, omit_defaults=True):
    """Makes Tasks on a schedule."""

    SHORT_NAMES: ClassVar[tuple[str, ...]] = ("ct",)
    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("Schedule", ".spec.schedule"),
        Column("Suspend", ".spec.suspend", "boolean"),
        Column("Active", ".status.active", "integer", priority=1),
        Column("Last Schedule", ".status.lastScheduleTime", "date"),
        Column("Next Schedule", ".status.nextScheduleTime", priority=1),
        Column("Age", ".metadata.creationTimestamp", "date"),
    )

    metadata: meta.ObjectMeta
    spec: CronTaskSpec
    """When to make which Task."""
    status: CronTaskStatus = CronTaskStatus()
    """What the schedule came to."""
