"""Conditions: setting one keeps the others, and keeps the time of the last change when nothing changed."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from kubeopencode.api.meta import Condition

LONGEST = 1024
"""Characters of a message; what is longer belongs in a log."""


def find(conditions: Iterable[Condition], kind: str) -> Condition | None:
    """The condition of that type, if there is one."""
    return next((condition for condition in conditions if condition.type == kind), None)


def placed(conditions: tuple[Condition, ...], wanted: Condition, now: datetime) -> tuple[Condition, ...]:
    """`conditions` with `wanted` in its place, or at the end."""
    before = find(conditions, wanted.type)
    since = before.lastTransitionTime if before and before.status == wanted.status else now.replace(microsecond=0)
    message = wanted.message if len(wanted.message) <= LONGEST else wanted.message[: LONGEST - 1] + "…"
    after = Condition(wanted.type, wanted.status, wanted.reason, message, since, wanted.observedGeneration)
    if before is None:
        return (*conditions, after)
    return tuple(after if condition.type == wanted.type else condition for condition in conditions)
