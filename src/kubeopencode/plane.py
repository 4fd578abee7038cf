"""The local plane: API server, node and controllers in one process, for one person on one machine.

All three speak to each other through the API server's Unix socket, as they would to a real one.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import os
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path

import msgspec

from kubeopencode import wiring
from kubeopencode.apiserver import certificates, gateway, journal, server, settings, storage
from kubeopencode.kube import client, config
from kubeopencode.node import embedded, programs

log = logging.getLogger(__name__)

SOCKET_LENGTH = 100
"""Bytes that the path of a Unix socket may have; the kernel allows 107."""


class StartError(Exception):
    """The plane cannot start. The message says why and what to do."""


@dataclass(frozen=True)
class PlaneSettings:
    """Where a plane keeps its data and how it is reached."""

    data: Path
    host: str = "127.0.0.1"
    port: int = 0
    isolation: str = "bubblewrap"
    share: tuple[Path, ...] = ()
    """Folders of this machine that Pods may mount as hostPath, besides `workspaces` in the data folder."""


class Plane:
    """`start`, then `run` until its event is set. What was acknowledged survives any death."""

    def __init__(self, wanted: PlaneSettings) -> None:
        self._settings = wanted
        self.socket = _socket_path(wanted.data)
        self.kubeconfig = wanted.data / "kubeconfig"
        self.url = ""
        self._running: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Everything up and listening.

        Raises:
            StartError: the data is in use, the port is taken, or Pods cannot be kept apart from this machine.
        """
        wanted = self._settings
        wanted.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        token = _kept(wanted.data / "token")
        self._api = client.Client(config.local_socket(self.socket))
        self._node = embedded.Node(self._api, self._node_settings())
        try:
            kept = storage.Storage.open(wanted.data)
            served = settings.Settings(tokens={token: "local-admin"}, kubelet=self._node.gateway)
            self._server = server.ApiServer(kept, settings=served)
            await self._server.start()
            await self._listen(token)
        except (journal.DirectoryInUseError, journal.DataError, server.AddressInUseError) as error:
            raise StartError(str(error)) from error
        await wiring.install_definitions(self._api)
        await self._node.start()
        key = _kept(wanted.data / "password-key").encode()
        self._operator = wiring.Operator(self._api, wiring.OperatorSettings(key))
        self._running = [
            asyncio.create_task(self._operator.run(), name="operator"),
            asyncio.create_task(self._node.wait(), name="node"),
        ]

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until `stopping` is set, then end everything in order, Pods included."""
        stop = asyncio.create_task(stopping.wait())
        try:
            await asyncio.wait([stop, *self._running], return_when=asyncio.FIRST_COMPLETED)
            for task in self._running:
                if task.done():
                    task.result()
        finally:
            stop.cancel()
            await self.stop()

    async def stop(self, *, keep_running: bool = False) -> None:
        """End the plane; with `keep_running` its containers go on and a later plane adopts them."""
        self._operator.stop()
        await asyncio.gather(*self._running[:1], return_exceptions=True)
        await self._node.stop(keep_running=keep_running)
        await asyncio.gather(*self._running, return_exceptions=True)
        await self._api.close()
        await self._server.stop()

    def _node_settings(self) -> embedded.NodeSettings:
        wanted = self._settings
        images = wanted.data / "images.yaml"
        return embedded.NodeSettings(
            data=wanted.data / "node",
            opencode=programs.opencode(),
            catalogue=images,
            isolation=wanted.isolation,
            share=(wanted.data / "workspaces", *wanted.share),
            refusal=gateway.KubeletError,
        )

    async def _listen(self, token: str) -> None:
        await self._server.listen_unix(self.socket)
        folder = self._settings.data / "pki"
        host = self._settings.host
        port = await self._server.listen_tcp(host, self._settings.port, certificates.context(folder))
        self.url = f"https://{host}:{port}"
        _write_private(self.kubeconfig, _kubeconfig(self.url, certificates.authority(folder), token))


def _socket_path(data: Path) -> Path:
    """The socket in the data folder, or in a private folder for temporary files where that path would be too long."""
    path = data / "plane.sock"
    if len(os.fsencode(path)) <= SOCKET_LENGTH:
        return path
    name = f"kubeopencode-{os.getuid()}-{hashlib.sha256(os.fsencode(data)).hexdigest()[:12]}"
    return Path(tempfile.gettempdir()) / name / "plane.sock"


def _kept(path: Path) -> str:
    """A random text that is made once and kept."""
    if not path.exists():
        _write_private(path, secrets.token_hex(32))
    return path.read_text().strip()


def _write_private(path: Path, text: str) -> None:
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    fresh.replace(path)


def _kubeconfig(url: str, authority: bytes, token: str) -> str:
    """A kubeconfig as JSON, which is YAML too."""
    ca = base64.b64encode(authority).decode()
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "kubeopencode-local",
        "clusters": [{"name": "kubeopencode-local", "cluster": {"server": url, "certificate-authority-data": ca}}],
        "users": [{"name": "local-admin", "user": {"token": token}}],
        "contexts": [
            {"name": "kubeopencode-local", "context": {"cluster": "kubeopencode-local", "user": "local-admin"}}
        ],
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode()
