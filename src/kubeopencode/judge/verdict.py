"""What a decision comes to, before anybody acts on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

Status = TypeVar("Status")


@dataclass(frozen=True)
class Notice:
    """An Event worth telling the user."""

    reason: str
    message: str
    warning: bool = False


@dataclass(frozen=True)
class Verdict(Generic[Status]):
    """The status an object shall have, and what has to be done for it."""

    status: Status
    runs: bool = False
    """Its objects shall exist."""
    ends_pod: bool = False
    """Its Pod shall go."""
    look_again: float | None = None
    """Seconds until time alone may change the verdict."""
    notice: Notice | None = None
