"""The embedded API server: storage, kinds, routes and listeners put together. Only this module opens sockets."""

from __future__ import annotations

import asyncio
import errno
import ssl
from dataclasses import replace
from pathlib import Path

from aiohttp import StreamReader, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import RawRequestMessage

from kubeopencode.api.meta import Json
from kubeopencode.apiserver import builtins, crds
from kubeopencode.apiserver.admission import Options
from kubeopencode.apiserver.calls import MAX_BODY
from kubeopencode.apiserver.deletion import Deleter
from kubeopencode.apiserver.discovery import Documents
from kubeopencode.apiserver.gc import Collector
from kubeopencode.apiserver.metrics import Metrics
from kubeopencode.apiserver.reads import Reader
from kubeopencode.apiserver.registry import Kind, Registry
from kubeopencode.apiserver.routes import Parts, Router
from kubeopencode.apiserver.settings import Settings
from kubeopencode.apiserver.storage import Storage
from kubeopencode.apiserver.watchhub import WatchHub
from kubeopencode.apiserver.writes import Target, Writer

BOOTSTRAP: tuple[Json, ...] = (
    {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}},
    {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kube-system"}},
)
"""What every server has."""
_SHUTDOWN_SECONDS = 1.0


class AddressInUseError(Exception):
    """Another program listens there."""


class ApiServer:
    """One API server over one storage. `start`, then listen; `stop` ends all connections and closes the storage."""

    def __init__(self, storage: Storage, *, settings: Settings) -> None:
        kinds = tuple(
            replace(kind, check=crds.admit) if kind.collection == builtins.CRDS else kind for kind in builtins.kinds()
        )
        self._storage = storage
        for kind in kinds:
            if kind.fields and not kind.shared:
                storage.index(kind.collection, kind.fields)
        self._registry = Registry(kinds)
        self._hub = WatchHub(storage)
        crds.Definitions(storage, self._registry, self._hub)
        deleter = Deleter(storage)
        self._writer = Writer(storage)
        self._collector = Collector(storage, self._registry, deleter)
        parts = Parts(
            registry=self._registry,
            reader=Reader(storage, self._hub),
            writer=self._writer,
            deleter=deleter,
            documents=Documents(self._registry, settings.version),
            metrics=Metrics(storage, self._hub.count),
            settings=settings,
        )
        self._web = web.Server(
            Router(parts).handle,
            handler_cancellation=True,
            access_log=None,
            request_factory=_request,
        )
        self._runner = web.ServerRunner(self._web, shutdown_timeout=_SHUTDOWN_SECONDS)

    async def start(self) -> None:
        """Make what every server has and start the garbage collector."""
        self.bootstrap(BOOTSTRAP)
        await self._runner.setup()
        self._collector.start()

    def bootstrap(self, objects: tuple[Json, ...]) -> None:
        """Create built-in objects that are missing; those that exist are left alone. Raises Failure."""
        for obj in objects:
            group, _, version = str(obj["apiVersion"]).rpartition("/")
            kind = next(k for k in self._registry.of(group, version) if k.kind == obj["kind"])
            meta = obj["metadata"]
            target = Target(kind, meta.get("namespace", ""), meta["name"])
            if self._storage.get(target.place) is None:
                self._writer.create(target, {**obj, "metadata": dict(meta)}, Options(manager="kubeopencode"))

    async def stop(self) -> None:
        """End every watch and connection and close the storage."""
        await self._collector.stop()
        self._hub.close()
        await self._runner.cleanup()
        self._storage.close()

    async def listen_unix(self, path: Path) -> None:
        """Listen on a socket that only this user may open. Raises AddressInUseError when a server answers there."""
        if await _answers(path):
            raise AddressInUseError(f"{path}: another server listens on this socket; stop it or choose another path")
        _make_room(path)
        site = web.UnixSite(self._runner, str(path))
        await site.start()
        await asyncio.to_thread(path.chmod, 0o600)

    async def listen_tcp(self, host: str, port: int, ssl_context: ssl.SSLContext | None) -> int:
        """Listen on TCP and return the port, which the system chooses for 0. Raises AddressInUseError."""
        before = len(self._runner.addresses)
        site = web.TCPSite(self._runner, host, port, ssl_context=ssl_context)
        try:
            await site.start()
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            raise AddressInUseError(
                f"{host}:{port}: another program listens on this port; stop it or choose another port"
            ) from error
        return int(self._runner.addresses[before][1])

    def kinds(self) -> list[Kind]:
        """All kinds that are served now."""
        return list(self._registry.all())


def _request(
    message: RawRequestMessage,
    payload: StreamReader,
    protocol: web.RequestHandler,
    writer: AbstractStreamWriter,
    task: asyncio.Task[None],
) -> web.BaseRequest:
    loop = asyncio.get_running_loop()
    return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=MAX_BODY)


def _make_room(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)


async def _answers(path: Path) -> bool:
    try:
        _, writer = await asyncio.open_unix_connection(str(path))
    except OSError:
        return False
    writer.close()
    return True
