"""The four ends of a reconcile: done, later, terminal; and retry, which is any exception."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class Done:
    """The world is as it should be; nothing happens until something changes."""


@dataclass(frozen=True)
class Later:
    """Nothing to do now; look again in so many seconds even if nothing changes."""

    seconds: float


@dataclass(frozen=True)
class Terminal:
    """Only the user can mend this; trying again would not help. The message goes to the log."""

    message: str


Outcome: TypeAlias = Done | Later | Terminal
DONE = Done()
