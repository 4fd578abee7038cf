"""Credential plugins (`users[].user.exec`): a program prints who we are, we show it until it expires.

The protocol is client.authentication.k8s.io v1 and v1beta1. The program is started by argument list, without a
terminal; what it prints is never logged.
"""

from __future__ import annotations

import asyncio
import base64
import os
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from kubeopencode.kube import auth, errors, kubeconfig

VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")
"""The protocol versions we speak."""

TIMEOUT_SECONDS = 60.0
"""How long a plugin may take; cloud CLIs are slow, but a hung one must not hang us."""

_EARLY = timedelta(seconds=10)


class _CredentialStatus(msgspec.Struct, frozen=True):
    token: str = ""
    clientCertificateData: str = ""
    clientKeyData: str = ""
    expirationTimestamp: datetime | None = None


class _Credential(msgspec.Struct, frozen=True):
    apiVersion: str = ""
    kind: str = ""
    status: _CredentialStatus | None = None


_DECODER = msgspec.json.Decoder(_Credential)


class Plugin:
    """Tickets from a credential plugin, renewed shortly before they expire and after a 401."""

    def __init__(self, settings: kubeconfig.ExecConfig, cluster: dict[str, Any]) -> None:
        if settings.apiVersion not in VERSIONS:
            raise errors.ConfigError(f'exec.apiVersion "{settings.apiVersion}" is not one of {", ".join(VERSIONS)}')
        if settings.interactiveMode == "Always":
            raise errors.ConfigError(
                f'exec.interactiveMode "Always": {settings.command} wants a terminal; use IfAvailable'
            )
        self._settings = settings
        self._cluster = cluster
        self._ticket: auth.Ticket | None = None
        self._expires: datetime | None = None
        self._lock = asyncio.Lock()

    async def ticket(self) -> auth.Ticket:
        """The plugin's ticket; runs the program when there is none that holds. Raises `errors.ConfigError`."""
        async with self._lock:
            stale = self._expires is not None and datetime.now(UTC) + _EARLY >= self._expires
            if self._ticket is None or stale:
                self._ticket, self._expires = self._read(await self._run())
            return self._ticket

    def refuse(self, ticket: auth.Ticket) -> bool:
        """Run the program again, unless somebody already has."""
        if ticket is self._ticket:
            self._ticket = None
        return True

    async def _run(self) -> bytes:
        try:
            process = await asyncio.create_subprocess_exec(
                self._settings.command,
                *(self._settings.args or ()),
                env=self._environment(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
            )
        except OSError as error:
            hint = f" ({self._settings.installHint.strip()})" if self._settings.installHint else ""
            raise errors.ConfigError(
                f"the credential plugin {self._settings.command} cannot be started: {error.strerror}{hint}"
            ) from error
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                output, _ = await process.communicate()
        except BaseException as error:
            if process.returncode is None:
                process.kill()
                await process.wait()
            if isinstance(error, TimeoutError):
                raise errors.ConfigError(
                    f"the credential plugin {self._settings.command} said nothing for {TIMEOUT_SECONDS:.0f} s"
                ) from error
            raise
        if process.returncode:
            raise errors.ConfigError(
                f"the credential plugin {self._settings.command} failed with exit code {process.returncode}"
            )
        return output

    def _environment(self) -> dict[str, str]:
        spec: dict[str, Any] = {"interactive": False}
        if self._settings.provideClusterInfo:
            spec["cluster"] = self._cluster
        info = {"apiVersion": self._settings.apiVersion, "kind": "ExecCredential", "spec": spec}
        added = {entry.name: entry.value for entry in self._settings.env or ()}
        return {**os.environ, **added, "KUBERNETES_EXEC_INFO": msgspec.json.encode(info).decode()}

    def _read(self, output: bytes) -> tuple[auth.Ticket, datetime | None]:
        command = self._settings.command
        try:
            credential = _DECODER.decode(output)
        except msgspec.MsgspecError:
            raise errors.ConfigError(f"the credential plugin {command} did not print an ExecCredential") from None
        if credential.kind != "ExecCredential" or credential.apiVersion != self._settings.apiVersion:
            raise errors.ConfigError(
                f"the credential plugin {command} printed {credential.apiVersion} {credential.kind};"
                f" {self._settings.apiVersion} ExecCredential is expected"
            )
        status = credential.status or _CredentialStatus()
        if bool(status.clientCertificateData) != bool(status.clientKeyData):
            raise errors.ConfigError(f"the credential plugin {command} gave only half of a client certificate")
        if not status.token and not status.clientCertificateData:
            raise errors.ConfigError(f"the credential plugin {command} gave neither a token nor a certificate")
        certificate = None
        if status.clientCertificateData:
            certificate = auth.Certificate(status.clientCertificateData.encode(), status.clientKeyData.encode())
        return auth.bearer(status.token, certificate), status.expirationTimestamp


def cluster_info(cluster: kubeconfig.Cluster, authority: bytes) -> dict[str, Any]:
    """`spec.cluster` of an ExecCredential: what a plugin may know of the server."""
    found: dict[str, Any] = {"server": cluster.server}
    if cluster.tlsServerName:
        found["tls-server-name"] = cluster.tlsServerName
    if cluster.insecureSkipTlsVerify:
        found["insecure-skip-tls-verify"] = True
    if authority:
        found["certificate-authority-data"] = base64.b64encode(authority).decode()
    if cluster.proxyUrl:
        found["proxy-url"] = cluster.proxyUrl
    for extension in cluster.extensions or ():
        if extension.get("name") == "client.authentication.k8s.io/exec":
            found["config"] = extension.get("extension")
    return found
