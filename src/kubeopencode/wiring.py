"""The only module that knows everyone: it joins the rooms to an operator, and with the embedded plane to a laptop."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass, field

from kubeopencode import world
from kubeopencode.api import crds
from kubeopencode.api.core import CRDS
from kubeopencode.controllers import agent, agenttemplate, library, queue, retention, standby, task
from kubeopencode.kube import client, errors
from kubeopencode.runtime import clock, events, lease, manager

CONTROLLER = "kubeopencode.io/controller"


@dataclass(frozen=True)
class OperatorSettings:
    """How the operator runs."""

    password_key: bytes
    """The key that the passwords of live servers are derived from."""
    cluster: world.Cluster = field(default_factory=world.Cluster)
    election: lease.Election | None = None
    time: clock.Clock = clock.SYSTEM


class Operator:
    """All controllers of ours against one API server. `run` until `stop`."""

    def __init__(self, api: client.Client, settings: OperatorSettings) -> None:
        self.manager = manager.Manager(api, time=settings.time, election=settings.election)
        recorder = events.EventRecorder(self.manager.client, CONTROLLER, socket.gethostname(), settings.time)
        books = library.Library(self.manager, settings.cluster)
        self._recorder = recorder
        for built in (
            task.build(self.manager, books, recorder),
            queue.build(self.manager, books),
            standby.build(self.manager, books, recorder),
            agent.build(self.manager, books, recorder, settings.password_key),
            agenttemplate.build(self.manager, books),
            retention.build(self.manager, books),
        ):
            self.manager.add(built)

    async def run(self) -> None:
        """Work until `stop`. Raises what the manager could not survive."""
        recording = asyncio.create_task(self._recorder.run(), name="events")
        try:
            await self.manager.run()
        finally:
            recording.cancel()

    def stop(self) -> None:
        """End `run` in order."""
        self.manager.stop()


async def install_definitions(api: client.Client) -> None:
    """Create the CustomResourceDefinitions, or bring those that are there up to date."""
    for definition in crds.definitions():
        name = definition["metadata"]["name"]
        try:
            await api.create(CRDS, definition)
        except errors.AlreadyExists:
            await api.patch(CRDS, name, {"spec": definition["spec"]})
