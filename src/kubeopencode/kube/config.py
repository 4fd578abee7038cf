"""Where the API server is and how to be let in: from a kubeconfig, from inside a Pod, or a local Unix socket."""

from __future__ import annotations

import os
import ssl
import tempfile
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit

from kubeopencode.kube import auth, errors, kubeconfig, plugin

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where the kubelet mounts a Pod's token, namespace and CA."""


@dataclass(frozen=True)
class Tls:
    """How the server proves itself. An empty `ca` and `ca_file` mean the system's authorities."""

    ca: bytes = b""
    ca_file: Path | None = None
    server_name: str = ""
    insecure: bool = False


@dataclass(frozen=True)
class Impersonation:
    """Whom to act as; empty means ourselves."""

    user: str = ""
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])

    def headers(self) -> list[tuple[str, str]]:
        """The `Impersonate-*` headers, groups and extras one header a value."""
        if not self.user:
            return []
        found = [("Impersonate-User", self.user)]
        found += [("Impersonate-Uid", self.uid)] if self.uid else []
        found += [("Impersonate-Group", group) for group in self.groups]
        for name, values in self.extra.items():
            # Header names are case-insensitive ASCII; the server unescapes percent-encoded keys.
            found += [(f"Impersonate-Extra-{quote(name, safe='')}", value) for value in values]
        return found


@dataclass(frozen=True)
class Config:
    """Everything a `Client` needs to reach one API server."""

    server: str
    credentials: auth.Credentials = field(default_factory=auth.Fixed)
    tls: Tls = Tls()
    namespace: str = "default"
    impersonate: Impersonation = Impersonation()
    proxy: str = ""
    socket: Path | None = None
    compress: bool = True


def load(paths: Path | Iterable[Path] = (), context: str = "") -> Config:
    """The configuration a kubeconfig describes.

    Without paths, those of `$KUBECONFIG` or `~/.kube/config`; without a context, the current one. Raises
    `errors.ConfigError`.
    """
    chosen = (paths,) if isinstance(paths, Path) else tuple(paths)
    merged = kubeconfig.read(chosen or kubeconfig.default_paths())
    entry = merged.context(context)
    cluster, user = merged.cluster(entry.cluster), merged.user(entry.user)
    if urlsplit(cluster.server).scheme not in ("http", "https"):
        raise errors.ConfigError(f'the server "{cluster.server}" of cluster "{entry.cluster}" is not an http(s) URL')
    if cluster.insecureSkipTlsVerify and (cluster.certificateAuthority or cluster.certificateAuthorityData):
        raise errors.ConfigError(
            f'cluster "{entry.cluster}" sets a certificate authority and insecure-skip-tls-verify; only one may be set'
        )
    tls = Tls(
        ca=kubeconfig.inline(cluster.certificateAuthorityData, cluster.certificateAuthority, "certificate-authority")
        or b"",
        server_name=cluster.tlsServerName,
        insecure=cluster.insecureSkipTlsVerify,
    )
    return Config(
        server=cluster.server.rstrip("/"),
        credentials=_credentials(user, cluster, tls),
        tls=tls,
        namespace=entry.namespace or "default",
        impersonate=_impersonation(user),
        proxy=cluster.proxyUrl or _environment_proxy(cluster.server),
        compress=not cluster.disableCompression,
    )


def in_cluster(root: Path = SERVICE_ACCOUNT) -> Config:
    """The configuration of a Pod with a service account; token and CA are read again as they are renewed.

    Raises `errors.ConfigError` outside a cluster.
    """
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST", ""), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host or not (root / "token").exists():
        raise errors.ConfigError("not inside a cluster: KUBERNETES_SERVICE_HOST or the service-account token is absent")
    namespace = root / "namespace"
    return Config(
        server=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}",
        credentials=auth.TokenFile(root / "token"),
        tls=Tls(ca_file=root / "ca.crt"),
        namespace=namespace.read_text().strip() if namespace.exists() else "default",
    )


def local_socket(path: Path, token: str = "") -> Config:
    """Plain HTTP over a Unix socket: the embedded plane."""
    return Config(server="http://localhost", credentials=auth.Fixed(auth.bearer(token)), socket=path)


def ssl_context(tls: Tls, certificate: auth.Certificate | None) -> ssl.SSLContext:
    """The TLS settings for one set of authorities and one client certificate. Raises `errors.ConfigError`."""
    try:
        # A private authority replaces the system's: only it may vouch for this server.
        authorities = tls.ca or (tls.ca_file.read_bytes() if tls.ca_file else b"")
        context = ssl.create_default_context(cadata=authorities.decode("ascii", "replace") or None)
        if tls.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if certificate is not None:
            _load_certificate(context, certificate)
    except (OSError, ssl.SSLError) as error:
        raise errors.ConfigError(f"the TLS material of the configuration cannot be used: {error}") from error
    return context


def _load_certificate(context: ssl.SSLContext, certificate: auth.Certificate) -> None:
    """The `ssl` module reads certificates from files only: a private one that lives for the call."""
    with tempfile.NamedTemporaryFile(prefix="kubeopencode-") as file:
        file.write(certificate.certificate.rstrip() + b"\n" + certificate.key)
        file.flush()
        context.load_cert_chain(file.name)


def _environment_proxy(server: str) -> str:
    """The proxy of HTTP(S)_PROXY for this server, unless NO_PROXY spares it."""
    url = urlsplit(server)
    if not url.hostname or urllib.request.proxy_bypass(url.hostname):
        return ""
    return urllib.request.getproxies().get(url.scheme, "")


def _credentials(user: kubeconfig.User, cluster: kubeconfig.Cluster, tls: Tls) -> auth.Credentials:
    """kubectl's order: a token wins over a token file only when no file is named; a plugin only when neither is."""
    certificate = _certificate(user)
    if user.tokenFile:
        return auth.TokenFile(Path(user.tokenFile), certificate)
    if user.token:
        return auth.Fixed(auth.bearer(user.token, certificate))
    if user.username:
        return auth.Fixed(auth.basic(user.username, user.password, certificate))
    if user.exec is not None:
        return plugin.Plugin(user.exec, plugin.cluster_info(cluster, tls.ca))
    if user.authProvider is not None:
        settings = user.authProvider.config or {}
        token = settings.get("id-token") or settings.get("access-token")
        if not token:
            raise errors.ConfigError(
                f'auth-provider "{user.authProvider.name}" has no token; use an exec credential plugin instead'
            )
        return auth.Fixed(auth.bearer(token, certificate))
    return auth.Fixed(auth.Ticket(certificate=certificate))


def _certificate(user: kubeconfig.User) -> auth.Certificate | None:
    certificate = kubeconfig.inline(user.clientCertificateData, user.clientCertificate, "client-certificate")
    key = kubeconfig.inline(user.clientKeyData, user.clientKey, "client-key")
    if (certificate is None) != (key is None):
        raise errors.ConfigError("a client certificate needs both client-certificate and client-key")
    return auth.Certificate(certificate, key) if certificate is not None and key is not None else None


def _impersonation(user: kubeconfig.User) -> Impersonation:
    if not user.impersonate and (user.impersonateGroups or user.impersonateUid or user.impersonateExtra):
        raise errors.ConfigError("as-groups, as-uid and as-user-extra need a user to act as: set `as`")
    groups, extra = user.impersonateGroups or (), user.impersonateExtra or {}
    return Impersonation(user.impersonate, user.impersonateUid, groups, extra)
