"""The work queue: which keys are to be looked at, each at most once at a time.

A key that is added while it waits is one key; one that is added while a worker holds it waits until the worker is
done. Failures come back after a doubling wait, per key. New work goes before routine work.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

from kubeopencode.runtime import clock

K = TypeVar("K", bound=Hashable)


class Closed(Exception):  # noqa: N818 - a state, not a mishap
    """The queue was closed and has nothing more to give."""


class Queue(Generic[K]):
    """A queue of keys. One loop only; nothing here waits but `get`."""

    def __init__(self, time: clock.Clock = clock.SYSTEM, *, first: float = 0.05, longest: float = 300.0) -> None:
        self._clock = time
        self._first = first
        self._longest = longest
        self._ready: deque[K] = deque()
        self._routine: deque[K] = deque()
        self._waiting: dict[K, deque[K]] = {}
        self._dirty: set[K] = set()
        self._active: set[K] = set()
        self._timers: dict[K, tuple[float, clock.Timer]] = {}
        self._failures: dict[K, int] = {}
        self._getters: deque[asyncio.Future[None]] = deque()
        self._closed = False

    def __len__(self) -> int:
        """How many keys are ready; those in flight and those delayed do not count."""
        return len(self._waiting)

    @property
    def active(self) -> int:
        """How many keys workers hold."""
        return len(self._active)

    @property
    def delayed(self) -> int:
        """How many keys wait for their time."""
        return len(self._timers)

    def add(self, key: K) -> None:
        """Look at `key` soon."""
        self._push(key, self._ready)

    def add_routine(self, key: K) -> None:
        """Look at `key` when nothing newer is to be done: first lists and resyncs."""
        self._push(key, self._routine)

    def add_after(self, key: K, seconds: float) -> None:
        """Look at `key` in so many seconds, or earlier if it was already to be looked at earlier."""
        if self._closed:
            return
        due = self._clock.monotonic() + seconds
        if (known := self._timers.get(key)) is not None:
            if known[0] <= due:
                return
            known[1].cancel()
        if seconds <= 0:
            self._timers.pop(key, None)
            self.add(key)
            return
        self._timers[key] = (due, self._clock.call_later(seconds, lambda: self._due(key)))

    def retry(self, key: K) -> float:
        """Look at `key` again after its backoff; the wait in seconds."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        wait = min(self._first * 2 ** min(failures, 60), self._longest)
        self.add_after(key, wait)
        return wait

    def forget(self, key: K) -> None:
        """`key` is well: its next failure is its first."""
        self._failures.pop(key, None)

    def failures(self, key: K) -> int:
        """How often `key` has failed in a row."""
        return self._failures.get(key, 0)

    async def get(self) -> K:
        """The next key, to be given back with `done`. Raises `Closed`."""
        while not self._waiting:
            if self._closed:
                raise Closed
            getter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._getters.append(getter)
            try:
                await getter
            except asyncio.CancelledError:
                if getter.done() and not getter.cancelled():
                    self._wake()
                raise
        key = self._pop()
        if (timer := self._timers.pop(key, None)) is not None:
            # Whoever looks at the key now decides anew whether and when to come back.
            timer[1].cancel()
        self._active.add(key)
        return key

    def done(self, key: K) -> None:
        """The worker has finished with `key`; if it was added meanwhile it is ready again."""
        self._active.discard(key)
        if key in self._dirty:
            self._dirty.discard(key)
            self.add(key)

    def close(self) -> None:
        """Take and give no more; keys in flight may be finished."""
        self._closed = True
        self._ready.clear()
        self._routine.clear()
        self._waiting.clear()
        self._dirty.clear()
        for _, timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        while self._getters:
            self._wake()

    def _push(self, key: K, lane: deque[K]) -> None:
        if self._closed:
            return
        if key in self._active:
            self._dirty.add(key)
            return
        lane_now = self._waiting.get(key)
        if lane_now is lane or lane_now is self._ready:
            return
        # A key that moves up leaves its old place behind; `_pop` passes over it.
        self._waiting[key] = lane
        lane.append(key)
        if lane_now is None:
            self._wake()

    def _pop(self) -> K:
        for lane in (self._ready, self._routine):
            while lane:
                key = lane.popleft()
                if self._waiting.get(key) is lane:
                    del self._waiting[key]
                    return key
        raise AssertionError("a waiting key stands in a lane")

    def _due(self, key: K) -> None:
        self._timers.pop(key, None)
        self.add(key)

    def _wake(self) -> None:
        while self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                getter.set_result(None)
                return
