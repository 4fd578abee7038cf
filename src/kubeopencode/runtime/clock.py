"""Time as the runtime sees it, so that whatever waits can be made to wait in no time at all.

Nothing in this room calls `time` or `asyncio.sleep` with a duration of its own; it asks a `Clock`.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Protocol


class Timer(Protocol):
    """A call that is still to come."""

    def cancel(self) -> None:
        """Never mind."""
        ...


class Clock(Protocol):
    """A wall clock and a stopwatch."""

    def now(self) -> datetime:
        """The time of day, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds since some moment; never runs backwards."""
        ...

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Timer:
        """Call back after so many seconds, on the running loop."""
        ...


class SystemClock:
    """The clock of the machine and the loop."""

    def now(self) -> datetime:
        """The time of day, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """The loop's time in seconds."""
        return asyncio.get_running_loop().time()

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Timer:
        """Call back after so many seconds."""
        return asyncio.get_running_loop().call_later(seconds, callback)


SYSTEM = SystemClock()


class ManualTimer:
    """A call that `ManualClock.advance` makes, unless it is cancelled."""

    def __init__(self, callback: Callable[[], object]) -> None:
        self.callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        """Never mind."""
        self.callback = None


class ManualClock:
    """A clock that stands until it is told to advance: for replays, simulations and tests."""

    def __init__(self, start: datetime | None = None) -> None:
        self._start = start or datetime(2026, 1, 1, tzinfo=UTC)
        self._elapsed = 0.0
        self._timers: list[tuple[float, int, ManualTimer]] = []
        self._count = itertools.count()

    def now(self) -> datetime:
        """The start plus all that has been advanced."""
        return self._start + timedelta(seconds=self._elapsed)

    def monotonic(self) -> float:
        """Seconds advanced so far."""
        return self._elapsed

    def call_later(self, seconds: float, callback: Callable[[], object]) -> ManualTimer:
        """Call back when time has been advanced so far."""
        timer = ManualTimer(callback)
        heapq.heappush(self._timers, (self._elapsed + max(seconds, 0.0), next(self._count), timer))
        return timer

    @property
    def waiting(self) -> int:
        """How many calls are still to come."""
        return sum(timer.callback is not None for _, _, timer in self._timers)

    async def advance(self, seconds: float) -> None:
        """Let time pass; what falls due is called in order, and what it wakes may run and set new timers."""
        target = self._elapsed + seconds
        await _settle()
        while self._timers and self._timers[0][0] <= target:
            due, _, timer = heapq.heappop(self._timers)
            self._elapsed = max(self._elapsed, due)
            if timer.callback is not None:
                timer.callback()
                await _settle()
        self._elapsed = target
        await _settle()


async def _settle() -> None:
    """Give every task that can run the chance to reach its next wait."""
    for _ in range(20):
        await asyncio.sleep(0)


async def sleep(clock: Clock, seconds: float) -> None:
    """Wait so many seconds of `clock`."""
    if seconds <= 0:
        await asyncio.sleep(0)
        return
    done = asyncio.get_running_loop().create_future()
    timer = clock.call_later(seconds, lambda: done.done() or done.set_result(None))
    try:
        await done
    finally:
        timer.cancel()


class Limit:
    """A time limit on the body of an `async with`; see `timeout`."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._limit = asyncio.timeout(None)
        self._timer: Timer | None = None

    async def __aenter__(self) -> None:
        await self._limit.__aenter__()
        self._timer = self._clock.call_later(self._seconds, self._expire)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        if self._timer is not None:
            self._timer.cancel()
        return await self._limit.__aexit__(kind, error, trace)

    def _expire(self) -> None:
        self._limit.reschedule(asyncio.get_running_loop().time())


def timeout(clock: Clock, seconds: float) -> Limit:
    """Raise `TimeoutError` when the body takes longer than so many seconds of `clock`."""
    return Limit(clock, seconds)
