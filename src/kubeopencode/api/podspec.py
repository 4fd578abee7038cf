"""How an Agent's Pods are shaped beyond the defaults. The parts that are Kubernetes' own stay as they are."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from kubeopencode.api.meta import Json
from kubeopencode.api.schema import list_map, preserved

Opaque = Annotated[Json, preserved()]
"""An object of Kubernetes' own API, passed through unchanged."""


class Scheduling(msgspec.Struct, frozen=True, omit_defaults=True):
    """On which nodes Pods may run."""

    nodeSelector: dict[str, str] = {}
    """Labels a node must have."""
    tolerations: tuple[Opaque, ...] = ()
    """Taints the Pods tolerate, as in a Pod."""
    affinity: Opaque | None = None
    """Affinity rules, as in a Pod."""


class SystemContainers(msgspec.Struct, frozen=True, omit_defaults=True):
    """Settings of the containers that prepare the workspace, as partial containers (`env`, `resources`, ...)."""

    openCodeInit: Opaque | None = None
    """For the container that brings the agent's program."""
    contextInit: Opaque | None = None
    """For the container that writes the files."""
    gitInit: Opaque | None = None
    """For the containers that clone repositories."""
    pluginInit: Opaque | None = None
    """For the container that installs plugins."""
    gitSync: Opaque | None = None
    """For the sidecars that follow repositories."""


class PodOptions(msgspec.Struct, frozen=True, omit_defaults=True):
    """Settings for the Pods of an Agent or AgentTemplate."""

    labels: dict[str, str] = {}
    """Labels for the Pods, for NetworkPolicies or monitoring."""
    scheduling: Scheduling | None = None
    """On which nodes Pods may run."""
    runtimeClassName: str = ""
    """RuntimeClass, such as `gvisor` or `kata`."""
    resources: Opaque | None = None
    """Requests and limits of the agent's container; 512Mi and 4Gi of memory unless given."""
    securityContext: Opaque | None = None
    """Replaces the restricted defaults of the agent's container."""
    podSecurityContext: Opaque | None = None
    """Security settings of the whole Pod."""
    lifecycle: Opaque | None = None
    """Lifecycle hooks of the agent's container."""
    extraVolumes: tuple[Opaque, ...] = ()
    """Further volumes, as in a Pod."""
    extraVolumeMounts: tuple[Opaque, ...] = ()
    """Further mounts of the agent's container."""
    extraEnv: tuple[Opaque, ...] = ()
    """Further environment variables, for all containers."""
    systemContainers: SystemContainers | None = None
    """Settings of the containers that prepare the workspace."""


class ProxySpec(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The proxy that traffic out of the cluster takes."""

    httpProxy: str = ""
    """Proxy for http:// addresses."""
    httpsProxy: str = ""
    """Proxy for https:// addresses."""
    noProxy: str = ""
    """Addresses that need no proxy, separated by commas; cluster addresses are added."""


class LocalReference(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """An object of the same namespace."""

    name: str = ""
    """Its name."""


class KeyReference(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One key of a ConfigMap or Secret."""

    name: Annotated[str, Meta(min_length=1)]
    """Name of the object."""
    key: str = ""
    """The key."""


class ExtraPort(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A further port of the live server's Service."""

    name: Annotated[str, Meta(min_length=1, max_length=15)]
    """Name of the port."""
    port: Annotated[int, Meta(ge=1, le=65535)]
    """Its number."""
    protocol: Literal["TCP", "UDP"] = "TCP"
    """TCP or UDP."""


ExtraPorts = Annotated[tuple[ExtraPort, ...], list_map("name")]
