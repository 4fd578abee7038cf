"""Conditions of a status, kept as Kubernetes wants them: one of a type, with an honest transition time. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import msgspec

from kubeopencode.api import meta

LONGEST = 1024
"""Characters of a message; what is longer belongs in a log."""


def put(known: Iterable[meta.Condition], told: meta.Condition, now: datetime) -> tuple[meta.Condition, ...]:
    """`known` with `told` in it. Its `lastTransitionTime` changes only when its status does."""
    before = tuple(known)
    old = find(before, told.type)
    if len(told.message) > LONGEST:
        told = msgspec.structs.replace(told, message=told.message[: LONGEST - 1] + "…")
    if old is not None and old.status == told.status:
        told = msgspec.structs.replace(told, lastTransitionTime=old.lastTransitionTime or now.replace(microsecond=0))
    elif told.lastTransitionTime is None:
        told = msgspec.structs.replace(told, lastTransitionTime=now.replace(microsecond=0))
    if old is None:
        return (*before, told)
    return tuple(told if condition.type == told.type else condition for condition in before)


def merge(known: Iterable[meta.Condition], told: Iterable[meta.Condition], now: datetime) -> tuple[meta.Condition, ...]:
    """`known` with all of `told` in it."""
    result = tuple(known)
    for condition in told:
        result = put(result, condition, now)
    return result


def drop(known: Iterable[meta.Condition], *types: str) -> tuple[meta.Condition, ...]:
    """`known` without the conditions of these types."""
    return tuple(condition for condition in known if condition.type not in types)


def find(known: Iterable[meta.Condition], type_: str) -> meta.Condition | None:
    """The condition of that type, or None."""
    return next((condition for condition in known if condition.type == type_), None)


def is_true(known: Iterable[meta.Condition], type_: str) -> bool:
    """Whether there is a condition of that type and it is true."""
    found = find(known, type_)
    return found is not None and found.status == "True"
