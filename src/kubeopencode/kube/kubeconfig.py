"""Kubeconfig files as data: read, checked and merged the way kubectl merges them.

The first file that sets a name or the current context wins; relative paths belong to the file they stand in. This
module opens no connection and starts no program.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml

from kubeopencode.kube import errors

_Named = TypeVar("_Named")


class ExecEnv(msgspec.Struct, frozen=True):
    """One environment variable for a credential plugin."""

    name: str
    value: str = ""


class ExecConfig(msgspec.Struct, frozen=True):
    """A credential plugin, as client.authentication.k8s.io describes it."""

    command: str
    apiVersion: str = "client.authentication.k8s.io/v1"
    args: tuple[str, ...] | None = None
    env: tuple[ExecEnv, ...] | None = None
    installHint: str = ""
    interactiveMode: str = ""
    provideClusterInfo: bool = False


class AuthProvider(msgspec.Struct, frozen=True):
    """The retired in-tree plugins; only an id or access token that is already there is used."""

    name: str = ""
    config: dict[str, str] | None = None


class User(msgspec.Struct, frozen=True):
    """A `users[].user` entry."""

    token: str = ""
    tokenFile: str = ""
    username: str = ""
    password: str = ""
    clientCertificate: str = msgspec.field(name="client-certificate", default="")
    clientCertificateData: str = msgspec.field(name="client-certificate-data", default="")
    clientKey: str = msgspec.field(name="client-key", default="")
    clientKeyData: str = msgspec.field(name="client-key-data", default="")
    exec: ExecConfig | None = None
    authProvider: AuthProvider | None = msgspec.field(name="auth-provider", default=None)
    impersonate: str = msgspec.field(name="as", default="")
    impersonateUid: str = msgspec.field(name="as-uid", default="")
    impersonateGroups: tuple[str, ...] | None = msgspec.field(name="as-groups", default=None)
    impersonateExtra: dict[str, tuple[str, ...]] | None = msgspec.field(name="as-user-extra", default=None)


class Cluster(msgspec.Struct, frozen=True):
    """A `clusters[].cluster` entry."""

    server: str = ""
    certificateAuthority: str = msgspec.field(name="certificate-authority", default="")
    certificateAuthorityData: str = msgspec.field(name="certificate-authority-data", default="")
    insecureSkipTlsVerify: bool = msgspec.field(name="insecure-skip-tls-verify", default=False)
    tlsServerName: str = msgspec.field(name="tls-server-name", default="")
    proxyUrl: str = msgspec.field(name="proxy-url", default="")
    disableCompression: bool = msgspec.field(name="disable-compression", default=False)
    extensions: tuple[dict[str, Any], ...] | None = None


class Context(msgspec.Struct, frozen=True):
    """A `contexts[].context` entry."""

    cluster: str = ""
    user: str = ""
    namespace: str = ""


class _NamedCluster(msgspec.Struct, frozen=True):
    name: str
    cluster: Cluster | None = None


class _NamedUser(msgspec.Struct, frozen=True):
    name: str
    user: User | None = None


class _NamedContext(msgspec.Struct, frozen=True):
    name: str
    context: Context | None = None


class _File(msgspec.Struct, frozen=True):
    """One kubeconfig file."""

    clusters: tuple[_NamedCluster, ...] | None = None
    users: tuple[_NamedUser, ...] | None = None
    contexts: tuple[_NamedContext, ...] | None = None
    currentContext: str | None = msgspec.field(name="current-context", default=None)


@dataclass(frozen=True)
class Kubeconfig:
    """All files together; paths are absolute."""

    clusters: Mapping[str, Cluster] = field(default_factory=dict[str, Cluster])
    users: Mapping[str, User] = field(default_factory=dict[str, User])
    contexts: Mapping[str, Context] = field(default_factory=dict[str, Context])
    current: str = ""

    def context(self, name: str = "") -> Context:
        """The context `name`, or the current one. Raises `errors.ConfigError` naming what is missing."""
        wanted = name or self.current
        if not wanted:
            raise errors.ConfigError("the kubeconfig has no current-context; name one of its contexts")
        return _find(self.contexts, wanted, "context")

    def cluster(self, name: str) -> Cluster:
        """The cluster `name`. Raises `errors.ConfigError`."""
        return _find(self.clusters, name, "cluster")

    def user(self, name: str) -> User:
        """The user `name`; no name means nobody in particular. Raises `errors.ConfigError`."""
        return _find(self.users, name, "user") if name else User()


def default_paths() -> tuple[Path, ...]:
    """The files of `$KUBECONFIG`, or `~/.kube/config`."""
    listed = os.environ.get("KUBECONFIG", "")
    paths = tuple(Path(part) for part in listed.split(os.pathsep) if part)
    return paths or (Path.home() / ".kube" / "config",)


def read(paths: Iterable[Path]) -> Kubeconfig:
    """Read and merge; files that do not exist are skipped unless none does. Raises `errors.ConfigError`."""
    wanted = tuple(paths)
    files = [(path, _parse(path)) for path in wanted if path.exists()]
    if not files:
        raise errors.ConfigError(f"no kubeconfig found at {', '.join(map(str, wanted))}; set KUBECONFIG to one")
    clusters: dict[str, Cluster] = {}
    users: dict[str, User] = {}
    contexts: dict[str, Context] = {}
    current = ""
    for path, content in files:
        base = path.absolute().parent
        for cluster in content.clusters or ():
            clusters.setdefault(cluster.name, _anchored_cluster(cluster.cluster or Cluster(), base))
        for user in content.users or ():
            users.setdefault(user.name, _anchored_user(user.user or User(), base))
        for context in content.contexts or ():
            contexts.setdefault(context.name, context.context or Context())
        current = current or content.currentContext or ""
    return Kubeconfig(clusters, users, contexts, current)


def inline(data: str, file: str, what: str) -> bytes | None:
    """The bytes of a `*-data` field, else of the file beside it, else None. Raises `errors.ConfigError`."""
    if data:
        try:
            return base64.b64decode(data, validate=True)
        except binascii.Error as error:
            raise errors.ConfigError(f"{what}-data is not base64") from error
    if not file:
        return None
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise errors.ConfigError(f"{what}: {file} cannot be read: {error.strerror}") from error


def _parse(path: Path) -> _File:
    try:
        document: Any = yaml.safe_load(path.read_bytes())
        return msgspec.convert({} if document is None else document, _File)
    except OSError as error:
        raise errors.ConfigError(f"the kubeconfig {path} cannot be read: {error.strerror}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" in line {mark.line + 1}" if mark is not None else ""
        raise errors.ConfigError(f"the kubeconfig {path} is not YAML{place}") from None
    except msgspec.ValidationError as error:
        raise errors.ConfigError(f"the kubeconfig {path} is not one: {error}") from error


def _anchored_cluster(cluster: Cluster, base: Path) -> Cluster:
    return msgspec.structs.replace(cluster, certificateAuthority=_anchor(cluster.certificateAuthority, base))


def _anchored_user(user: User, base: Path) -> User:
    plugin = user.exec
    if plugin is not None and os.sep in plugin.command:
        # A bare name is looked up in PATH; anything with a slash is a path, and paths belong to their file.
        plugin = msgspec.structs.replace(plugin, command=_anchor(plugin.command, base))
    return msgspec.structs.replace(
        user,
        tokenFile=_anchor(user.tokenFile, base),
        clientCertificate=_anchor(user.clientCertificate, base),
        clientKey=_anchor(user.clientKey, base),
        exec=plugin,
    )


def _anchor(path: str, base: Path) -> str:
    return str(base / path) if path else ""


def _find(entries: Mapping[str, _Named], name: str, what: str) -> _Named:
    if name in entries:
        return entries[name]
    known = ", ".join(sorted(entries)) or "none"
    raise errors.ConfigError(f'the kubeconfig has no {what} "{name}"; it has: {known}')
