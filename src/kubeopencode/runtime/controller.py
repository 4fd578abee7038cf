"""One control loop: changes become keys, keys go through a queue, workers reconcile them one by one.

A controller knows no kind. It is given what to watch, how a watched object names the keys it concerns, and what to do
with a key. A key is never reconciled twice at the same time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from kubeopencode.api import meta
from kubeopencode.kube import errors
from kubeopencode.runtime import clock, expectations, metrics, outcome, queue, reflector, store

log = logging.getLogger(__name__)

T = TypeVar("T", bound=meta.Object)

Reconcile: TypeAlias = Callable[[meta.Key], Awaitable[outcome.Outcome]]
"""Make the world right for one key. Any exception means: try again later."""


def own_key(found: meta.Object) -> Iterable[meta.Key]:
    """The object's own key: for the kind a controller is about."""
    return (found.metadata.key,)


def owner_key(group: str, kind: str) -> Callable[[meta.Object], Iterable[meta.Key]]:
    """The key of the controller owner of that group and kind, in the object's namespace."""

    def find(found: meta.Object) -> Iterable[meta.Key]:
        owner = found.metadata.controller
        if owner is None or owner.kind != kind or owner.apiVersion.rpartition("/")[0] != group:
            return ()
        return (meta.Key(found.metadata.namespace, owner.name),)

    return find


def always(_: store.Change[Any]) -> bool:
    """Every change matters."""
    return True


@dataclass(frozen=True)
class Watch(Generic[T]):
    """A collection to look at, whose objects concern the keys of `keys`; changes that `when` denies are passed over."""

    source: reflector.Source[T]
    keys: Callable[[T], Iterable[meta.Key]] = own_key
    when: Callable[[store.Change[T]], bool] = always


@dataclass(frozen=True)
class Tuning:
    """How a controller works: workers at once, seconds one reconcile may take, first and longest wait after failures.

    `settle_seconds` bounds the wait for the cache to show our own last write of a key.
    """

    workers: int = 4
    timeout_seconds: float = 60.0
    first_retry: float = 0.05
    longest_retry: float = 300.0
    settle_seconds: float = 5.0


class Controller:
    """Reconciles the keys that its watches name. A `Manager` connects and runs it."""

    def __init__(
        self,
        name: str,
        reconcile: Reconcile,
        *,
        watches: Sequence[Watch[Any]] = (),
        tuning: Tuning = Tuning(),
        time: clock.Clock = clock.SYSTEM,
    ) -> None:
        self.name = name
        self.watches = tuple(watches)
        self.queue: queue.Queue[meta.Key] = queue.Queue(time, first=tuning.first_retry, longest=tuning.longest_retry)
        self._reconcile = reconcile
        self._tuning = tuning
        self._clock = time
        self._expectations = expectations.Expectations(time)
        self._metrics = metrics.of_controller(name)
        self._metrics.follow(self.queue.__len__)

    def enqueue(self, key: meta.Key) -> None:
        """Look at `key` soon: for whoever learns of a change by other ways than a watch."""
        self.queue.add(key)

    def handler(self, watch: Watch[T]) -> reflector.Handler[T]:
        """What the watch's reflector is to call; both the old and the new object name keys."""

        def handle(change: store.Change[T]) -> None:
            if not watch.when(change):
                return
            # What was there before the start is routine; what happens now comes first.
            add = self.queue.add_routine if change.old is None else self.queue.add
            for found in (change.old, change.new):
                if found is not None:
                    for key in watch.keys(found):
                        add(key)

        return handle

    async def run(self, guard: expectations.Expectations | None = None) -> None:
        """Work until the queue is closed. `guard` knows the writes whose effects must be seen first."""
        self._expectations = guard or self._expectations
        async with asyncio.TaskGroup() as group:
            for number in range(self._tuning.workers):
                group.create_task(self._work(), name=f"{self.name}-{number}")

    async def _work(self) -> None:
        while True:
            try:
                key = await self.queue.get()
            except queue.Closed:
                return
            try:
                await self._expectations.settle(self.name, key, self._tuning.settle_seconds)
                started = self._clock.monotonic()
                result = await self._attempt(key)
                self._metrics.ended(result, self._clock.monotonic() - started)
            finally:
                self.queue.done(key)

    async def _attempt(self, key: meta.Key) -> str:
        """One reconcile and what follows from it; the result in one word."""
        try:
            with self._expectations.recording(self.name, key):
                async with clock.timeout(self._clock, self._tuning.timeout_seconds):
                    result = await self._reconcile(key)
        except Exception as error:
            return self._failed(key, error)
        except asyncio.CancelledError:
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise
            # Something inside was cancelled, not this worker: it must not silently end for that.
            return self._failed(key, RuntimeError("something the reconcile waited for was cancelled"))
        self.queue.forget(key)
        match result:
            case outcome.Later(seconds):
                self.queue.add_after(key, seconds)
                return "later"
            case outcome.Terminal(message):
                log.info("%s %s: %s", self.name, key, message)
                return "terminal"
            case _:
                return "done"

    def _failed(self, key: meta.Key, error: Exception) -> str:
        """Come back later. Everyday refusals get a line in the log, surprises get a traceback."""
        wait = self.queue.retry(key)
        failures = self.queue.failures(key)
        if isinstance(error, errors.Conflict):
            log.debug("%s %s: %s; again in %.1f s", self.name, key, error, wait)
        elif isinstance(error, errors.KubeError):
            log.warning("%s %s: %s; again in %.1f s (failure %d)", self.name, key, error, wait, failures)
        elif isinstance(error, TimeoutError):
            limit = self._tuning.timeout_seconds
            log.error("%s %s: not done within %.0f s; again in %.1f s", self.name, key, limit, wait)
        else:
            log.error("%s %s: failed; again in %.1f s (failure %d)", self.name, key, wait, failures, exc_info=error)
        return "error"
