"""KubeOpenCodeConfig: settings for the whole cluster."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from kubeopencode.api import meta, podspec
from kubeopencode.api.schema import Column, Rule, list_map


class SystemImage(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The image of the containers that prepare and accompany the work."""

    image: str = ""
    """Image reference; the release's own unless given."""
    imagePullPolicy: Literal["Always", "Never", "IfNotPresent"] = "IfNotPresent"
    """When the image is pulled."""


class Cleanup(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """When finished Tasks are deleted."""

    ttlSecondsAfterFinished: Annotated[int, Meta(ge=0)] | None = None
    """Delete a Task this long after its end; 0 at once; never unless given."""
    maxRetainedTasks: Annotated[int, Meta(ge=0)] | None = None
    """Finished Tasks to keep in each namespace, the newest; all unless given."""


class SecretKey(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One key of a Secret."""

    name: str
    """Name of the Secret."""
    key: str
    """The key."""


class Header(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One header of the exporter."""

    name: str
    """Name of the header."""
    value: str = ""
    """Its value; credentials belong in `secretKeyRef`."""
    secretKeyRef: SecretKey | None = None
    """Its value, from a Secret."""


class OpenTelemetry(msgspec.Struct, frozen=True, omit_defaults=True):
    """Traces and metrics of the agents."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!(has(self.enabled) && self.enabled) || (has(self.endpoint) && size(self.endpoint) > 0)",
            "endpoint is required when OpenTelemetry is enabled",
        ),
    )

    enabled: bool = False
    """Send telemetry."""
    endpoint: str = ""
    """OTLP endpoint."""
    headers: Annotated[tuple[Header, ...], list_map("name")] = ()
    """Headers to send."""
    enableLLMTraces: bool = False
    """Trace the calls to the model."""
    recordContent: bool = False
    """Record what is said, too."""
    resourceAttributes: dict[str, str] = {}
    """Attributes of every trace."""


class Observability(msgspec.Struct, frozen=True, omit_defaults=True):
    """What can be seen from outside."""

    openTelemetry: OpenTelemetry | None = None
    """Traces and metrics of the agents."""


class KubeOpenCodeConfigSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """Settings for the whole cluster."""

    clusterDomain: str = ""
    """DNS domain of the cluster; cluster.local unless given."""
    systemImage: SystemImage | None = None
    """The image of the containers that prepare and accompany the work."""
    cleanup: Cleanup | None = None
    """When finished Tasks are deleted."""
    proxy: podspec.ProxySpec | None = None
    """The proxy of Agents that name none."""
    observability: Observability | None = None
    """What can be seen from outside."""


class KubeOpenCodeConfig(msgspec.Struct, frozen=True, omit_defaults=True):
    """Settings for the whole cluster. The object is named `cluster`; the older name `default` is honoured too."""

    SHORT_NAMES: ClassVar[tuple[str, ...]] = ("ktc",)
    COLUMNS: ClassVar[tuple[Column, ...]] = (Column("Age", ".metadata.creationTimestamp", "date"),)
    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule("self.metadata.name in ['cluster', 'default']", "KubeOpenCodeConfig must be named 'cluster'"),
    )

    metadata: meta.ObjectMeta
    spec: KubeOpenCodeConfigSpec = KubeOpenCodeConfigSpec()
    """Settings for the whole cluster."""
