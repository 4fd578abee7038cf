"""How a container's health is asked for and what happens at the turns of its life, as the core API group spells it."""

from __future__ import annotations

import msgspec

from kubeopencode.api.meta import Json

IntOrString = int | str
"""A port number, or the name of a container port."""


class HttpHeader(msgspec.Struct, frozen=True):
    """One header of a probe's request."""

    name: str
    value: str = ""


class HttpGet(msgspec.Struct, frozen=True, omit_defaults=True):
    """A GET that must answer with 200 to 399."""

    port: IntOrString
    path: str = "/"
    host: str = ""
    scheme: str = "HTTP"
    httpHeaders: tuple[HttpHeader, ...] = ()


class TcpSocket(msgspec.Struct, frozen=True, omit_defaults=True):
    """A port that must accept a connection."""

    port: IntOrString
    host: str = ""


class ExecAction(msgspec.Struct, frozen=True, omit_defaults=True):
    """A command that must exit with 0 inside the container."""

    command: tuple[str, ...] = ()


class Sleep(msgspec.Struct, frozen=True):
    """A pause, in seconds."""

    seconds: int


class Probe(msgspec.Struct, frozen=True, omit_defaults=True):
    """How the kubelet asks a container for its health; the defaults are Kubernetes'."""

    httpGet: HttpGet | None = None
    tcpSocket: TcpSocket | None = None
    exec: ExecAction | None = None
    grpc: Json | None = None
    initialDelaySeconds: int = 0
    timeoutSeconds: int = 1
    periodSeconds: int = 10
    successThreshold: int = 1
    failureThreshold: int = 3
    terminationGracePeriodSeconds: int | None = None


class LifecycleHandler(msgspec.Struct, frozen=True, omit_defaults=True):
    """What happens at a turn of a container's life."""

    exec: ExecAction | None = None
    httpGet: HttpGet | None = None
    tcpSocket: TcpSocket | None = None
    sleep: Sleep | None = None


class Lifecycle(msgspec.Struct, frozen=True, omit_defaults=True):
    """Hooks after a container's start and before its stop."""

    postStart: LifecycleHandler | None = None
    preStop: LifecycleHandler | None = None
