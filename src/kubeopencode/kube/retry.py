"""When a request is sent again, and how fast requests may go.

A refusal with 429 or 503 was not carried out, so every verb may be repeated; after a broken connection only those
requests are that mean the same twice.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field

from kubeopencode.kube import errors, transport

_REFUSALS = frozenset({429, 503})


class Bucket:
    """A token bucket: `rate` requests a second, up to `burst` at once. Waiting is first come, first served."""

    def __init__(self, rate: float, burst: int) -> None:
        self._rate = rate
        self._burst = burst
        self._ready_at: float | None = None

    async def take(self) -> None:
        """Wait for a turn."""
        now = asyncio.get_running_loop().time()
        earliest = now - self._burst / self._rate
        self._ready_at = max(self._ready_at if self._ready_at is not None else earliest, earliest) + 1 / self._rate
        if self._ready_at > now:
            await asyncio.sleep(self._ready_at - now)


@dataclass(frozen=True)
class Policy:
    """How stubborn a client is: `attempts` in all, waits doubling from `first` to `longest` seconds."""

    attempts: int = 5
    first: float = 0.25
    longest: float = 10.0
    bucket: Bucket | None = field(default=None)

    def around(self, send: transport.Transport) -> transport.Transport:
        """`send` with patience."""

        async def patient(request: transport.Request) -> transport.Answer:
            for attempt in range(1, self.attempts + 1):
                if self.bucket is not None:
                    await self.bucket.take()
                last = attempt == self.attempts
                try:
                    answer = await send(request)
                except errors.ConnectionFailed:
                    if last or not request.idempotent:
                        raise
                    await asyncio.sleep(self._pause(attempt))
                    continue
                if last or answer.status not in _REFUSALS:
                    return answer
                await asyncio.sleep(self._told(answer) or self._pause(attempt))
            raise AssertionError("a policy makes at least one attempt")

        return patient

    def _pause(self, attempt: int) -> float:
        wait = min(self.first * 2 ** (attempt - 1), self.longest)
        return wait * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, hides nothing

    def _told(self, answer: transport.Answer) -> float | None:
        header = answer.headers.get("Retry-After", "")
        return min(float(header), self.longest) if header.isdigit() else None
