"""Runs controllers: one reflector for each collection however many look at it, work only after everything was listed,
one leader where that is asked for, and an orderly end.
"""

from __future__ import annotations

import asyncio
import gc
import logging
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from kubeopencode.api import meta
from kubeopencode.kube import client
from kubeopencode.runtime import clock, controller, expectations, lease, metrics, reflector, store

log = logging.getLogger(__name__)

T = TypeVar("T", bound=meta.Object)


@dataclass(frozen=True)
class Tuning:
    """How long a stop may take and when a silent watch counts as dead, both in seconds."""

    drain_seconds: float = 20.0
    idle_seconds: float = 90.0


class Manager:
    """Give it controllers, `run` it, `stop` it.

    `client` is the given client with read-your-writes and metrics around it; controllers should use this one.
    """

    def __init__(
        self,
        connection: client.Client,
        *,
        time: clock.Clock = clock.SYSTEM,
        election: lease.Election | None = None,
        tuning: Tuning = Tuning(),
    ) -> None:
        self.clock = time
        self._expectations = expectations.Expectations(time)
        self.client = connection.through(self._expectations.observe, metrics.count_requests)
        self._election = election
        self._tuning = tuning
        self._reflectors: dict[reflector.Source[Any], reflector.Reflector[Any]] = {}
        self._controllers: list[controller.Controller] = []
        self._stop = asyncio.Event()
        self._working = False
        self._begun = False
        self._started = False

    @property
    def synced(self) -> bool:
        """Whether every collection has been listed."""
        return all(found.store.synced.is_set() for found in self._reflectors.values())

    @property
    def working(self) -> bool:
        """Whether controllers are at work: synced, leading if need be, not stopping."""
        return self._working

    @property
    def reflectors(self) -> tuple[reflector.Reflector[Any], ...]:
        """All reflectors, for those who look after their health."""
        return tuple(self._reflectors.values())

    def store(self, source: reflector.Source[T]) -> store.Store[T]:
        """The cache of a collection, shared by all who ask for an equal one. Ask before `run`."""
        return self._reflector(source).store

    def add(self, added: controller.Controller) -> None:
        """Run this controller too. Add before `run`."""
        self._controllers.append(added)
        for watch in added.watches:
            self._reflector(watch.source).subscribe(added.handler(watch))

    def stop(self) -> None:
        """End `run` in order: no new work, current work finished, lease given back."""
        for added in self._controllers:
            added.queue.close()
        self._stop.set()

    async def wait_synced(self) -> None:
        """Wait until every collection has been listed."""
        for found in self.reflectors:
            await found.store.synced.wait()

    async def run(self) -> None:
        """Work until `stop`, or until leadership is lost. Raises what a controller or reflector could not survive.

        A lost lease ends the process' work before another may begin it: raises `lease.Lost`.
        """
        self._started = True
        collect_rarely()
        watching = [asyncio.create_task(found.run(), name=f"watch {found.source}") for found in self.reflectors]
        try:
            await self._unless_stopped(self._work(), watching)
        finally:
            await _cancel(watching)

    async def _work(self) -> None:
        await self.wait_synced()
        keep_what_is_listed()
        if self._election is None:
            await self._run_controllers()
            return
        await self._election.acquire()
        log.info("leading as %s", self._election.identity)
        metrics.LEADER.set(1)
        try:
            await self._election.hold(self._run_controllers())
        finally:
            metrics.LEADER.set(0)

    async def _run_controllers(self) -> None:
        """Run until a stop is asked for, then let the work at hand come to its end."""
        running = [asyncio.create_task(added.run(self._expectations), name=added.name) for added in self._controllers]
        stopping = asyncio.create_task(self._stop.wait())
        self._working = self._begun = True
        try:
            await asyncio.wait([*running, stopping], return_when=asyncio.FIRST_COMPLETED)
            self._working = False
            self.stop()
            _, late = await asyncio.wait(running, timeout=self._tuning.drain_seconds) if running else ((), ())
            for task in late:
                log.warning("%s did not finish within %.0f s", task.get_name(), self._tuning.drain_seconds)
            for task in running:
                if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                    raise error
        finally:
            self._working = False
            await _cancel([*running, stopping])

    async def _unless_stopped(self, work: Any, watching: list[asyncio.Task[None]]) -> None:
        """Run `work` to its end; a stop before it began, or a reflector that died, ends it early."""
        task = asyncio.ensure_future(work)
        stopping = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait([task, stopping, *watching], return_when=asyncio.FIRST_COMPLETED)
            if stopping.done() and self._begun:
                await task
            for ended in (task, *watching):
                if ended.done() and not ended.cancelled():
                    ended.result()
        finally:
            await _cancel([task, stopping])

    def _reflector(self, source: reflector.Source[T]) -> reflector.Reflector[T]:
        if source not in self._reflectors:
            if self._started:
                raise RuntimeError(f"{source} is asked for while the manager runs; ask before `run`")
            made = reflector.Reflector(self.client, source, self.clock, self._tuning.idle_seconds)
            self._reflectors[source] = made
            self._expectations.follow(source, made.store)
        return cast("reflector.Reflector[T]", self._reflectors[source])


def collect_rarely() -> None:
    """Let the garbage collector look less often: a first list makes objects by the ten thousand and no garbage."""
    gc.set_threshold(50_000, 20, 100)


def keep_what_is_listed() -> None:
    """Take what was listed out of the garbage collector's sight: it would walk all of it again for nothing."""
    gc.collect()
    gc.freeze()


async def _cancel(tasks: list[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
