"""One leader among many replicas, by a `coordination.k8s.io` Lease.

The lock is written with the resourceVersion that was read, so two cannot both succeed. Other clocks are not trusted: a
lease is free when *we* have seen no renewal for its whole duration. A holder that cannot renew stops its work before
the lease runs out, not after.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import uuid
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from kubeopencode.api import core, meta
from kubeopencode.kube import client, errors
from kubeopencode.runtime import clock

log = logging.getLogger(__name__)


class Lost(Exception):  # noqa: N818 - the word of the trade
    """The lease could not be renewed in time; the work was cancelled."""


def identity() -> str:
    """A name for this process that no other has."""
    return f"{os.environ.get('HOSTNAME') or socket.gethostname()}_{uuid.uuid4().hex[:8]}"


@dataclass
class Election:
    """A candidacy for the lease `key`.

    `duration` is how long a lease holds without renewal, `deadline` how long we go on without one, `interval` the time
    between renewals and looks; all in seconds.
    """

    client: client.Client
    key: meta.Key
    identity: str = field(default_factory=identity)
    clock: clock.Clock = clock.SYSTEM
    duration: float = 15.0
    deadline: float = 10.0
    interval: float = 2.0
    _seen: tuple[str, float] = field(default=("", 0.0), init=False)
    _version: str = field(default="", init=False)
    _renewed: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        if not self.interval < self.deadline < self.duration:
            raise ValueError("an election needs interval < deadline < duration")

    async def acquire(self) -> None:
        """Wait until we lead."""
        while True:
            try:
                if await self._try():
                    return
            except errors.KubeError as error:
                log.warning("the lease %s cannot be had now: %s", self.key, error)
            await clock.sleep(self.clock, self.interval)

    async def hold(self, work: Coroutine[Any, Any, None]) -> None:
        """Do `work` while the lease is ours, then give it back. Raises `Lost` when it could not be kept."""
        working = asyncio.ensure_future(work)
        renewing = asyncio.create_task(self._renew())
        try:
            await asyncio.wait([working, renewing], return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                working.result()
                return
            renewing.result()
        finally:
            for task in (renewing, working):
                task.cancel()
            await asyncio.gather(renewing, working, return_exceptions=True)
            await self._release()

    async def _try(self) -> bool:
        try:
            found = await self.client.get(core.LEASES, self.key.name, self.key.namespace)
        except errors.NotFound:
            return await self._create()
        if not self._is_free(found):
            return False
        transitions = (found.spec.leaseTransitions or 0) + (found.spec.holderIdentity != self.identity)
        now = self._stamp()
        spec = {**self._spec(now), "acquireTime": now, "leaseTransitions": transitions}
        return await self._write(spec, found.metadata.resourceVersion)

    async def _create(self) -> bool:
        now = self._stamp()
        started = self.clock.monotonic()
        body = {
            "metadata": {"name": self.key.name, "namespace": self.key.namespace},
            "spec": {**self._spec(now), "acquireTime": now, "leaseTransitions": 0},
        }
        try:
            made = await self.client.create(core.LEASES, body, self.key.namespace)
        except errors.AlreadyExists:
            return False
        self._version, self._renewed = made.metadata.resourceVersion, started
        return True

    def _is_free(self, found: core.Lease) -> bool:
        """Free when nobody holds it, or when nothing moved for its whole duration as our own clock sees it."""
        if not found.spec.holderIdentity or found.spec.holderIdentity == self.identity:
            return True
        now = self.clock.monotonic()
        if self._seen[0] != found.metadata.resourceVersion:
            self._seen = (found.metadata.resourceVersion, now)
            return False
        return now - self._seen[1] >= (found.spec.leaseDurationSeconds or self.duration)

    async def _write(self, spec: meta.Json, version: str) -> bool:
        """Write if nobody else has since `version`. The lease counts from before the write, to be on the safe side."""
        started = self.clock.monotonic()
        body = {"metadata": {"resourceVersion": version}, "spec": spec}
        try:
            made = await self.client.patch(core.LEASES, self.key.name, body, self.key.namespace)
        except errors.Conflict:
            return False
        self._version, self._renewed = made.metadata.resourceVersion, started
        return True

    async def _renew(self) -> None:
        """Renew until it fails for too long, or until another holds the lease. Raises `Lost`."""
        while (left := self._left()) > 0:
            await clock.sleep(self.clock, min(self.interval, left))
            with suppress(TimeoutError):
                try:
                    async with clock.timeout(self.clock, max(self._left(), 0.0)):
                        await self._renew_once()
                except errors.KubeError as error:
                    log.warning("the lease %s was not renewed: %s", self.key, error)
        raise Lost(f"the lease {self.key} was not renewed within {self.deadline:.0f} s")

    def _left(self) -> float:
        """Seconds that we may go on without another renewal."""
        return self._renewed + self.deadline - self.clock.monotonic()

    async def _renew_once(self) -> None:
        if await self._write(self._spec(self._stamp()), self._version):
            return
        # Somebody wrote. A lost answer of our own is no harm; anybody else's name is.
        found = await self.client.get(core.LEASES, self.key.name, self.key.namespace)
        if found.spec.holderIdentity != self.identity:
            raise Lost(f"the lease {self.key} is held by {found.spec.holderIdentity or 'nobody'} now")
        self._version = found.metadata.resourceVersion

    async def _release(self) -> None:
        """Let the next one in at once instead of after `duration`."""
        spec = {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": self._stamp()}
        with suppress(errors.KubeError, TimeoutError):
            async with asyncio.timeout(5):
                await self._write(spec, self._version)

    def _spec(self, now: str) -> meta.Json:
        return {"holderIdentity": self.identity, "leaseDurationSeconds": int(self.duration), "renewTime": now}

    def _stamp(self) -> str:
        return self.clock.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
