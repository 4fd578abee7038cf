"""How long to wait before trying again: doubling, capped, spread."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass
class Backoff:
    """A doubling wait between `first` and `longest` seconds; each is spread over its upper half."""

    first: float = 0.25
    longest: float = 30.0
    failures: int = 0

    def next(self) -> float:
        """The wait after one more failure, in seconds."""
        wait = min(self.first * 2 ** min(self.failures, 60), self.longest)
        self.failures += 1
        return wait * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, hides nothing

    def reset(self) -> None:
        """All is well again."""
        self.failures = 0
