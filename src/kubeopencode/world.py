"""All that one decision may look at: fetched, merged and frozen. Nothing here reads a clock or a network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from kubeopencode import names
from kubeopencode.api import agent, config, core, outputs, podspec, task, tasktemplate
from kubeopencode.api.meta import Key

DEFAULT_WORKSPACE = "/workspace"
DEFAULT_PORT = 4096
DEFAULT_DOMAIN = "cluster.local"


@dataclass(frozen=True)
class Cluster:
    """What holds for every Task: settings of the installation, overlaid by the KubeOpenCodeConfig."""

    domain: str = DEFAULT_DOMAIN
    system_image: config.SystemImage = field(default_factory=config.SystemImage)
    proxy: podspec.ProxySpec | None = None
    cleanup: config.Cleanup = field(default_factory=config.Cleanup)
    telemetry: config.OpenTelemetry | None = None
    native_sidecars: bool = True
    """The cluster ends sidecar init containers by itself (Kubernetes 1.29 and newer)."""

    def overlaid(self, spec: config.KubeOpenCodeConfigSpec | None) -> Cluster:
        """These settings with what the cluster's own configuration says on top."""
        if spec is None:
            return self
        observability = spec.observability or config.Observability()
        return Cluster(
            domain=spec.clusterDomain or self.domain,
            system_image=_system_image(spec.systemImage, self.system_image),
            proxy=spec.proxy or self.proxy,
            cleanup=spec.cleanup or self.cleanup,
            telemetry=observability.openTelemetry or self.telemetry,
            native_sidecars=self.native_sidecars,
        )


def _system_image(wanted: config.SystemImage | None, ours: config.SystemImage) -> config.SystemImage:
    if wanted is None:
        return ours
    return config.SystemImage(wanted.image or ours.image, wanted.imagePullPolicy)


@dataclass(frozen=True)
class Profile:
    """Who does the work, once an Agent and its template have been merged."""

    key: Key
    uid: str
    shape: agent.AgentShape
    agent: agent.Agent | None
    """The live Agent behind it; None when an AgentTemplate stands alone."""

    @property
    def workspace(self) -> str:
        """The folder the work is done in, without a slash at its end."""
        return (self.shape.workspaceDir or DEFAULT_WORKSPACE).rstrip("/") or "/"

    @property
    def port(self) -> int:
        """The port of the live server."""
        return (self.agent.spec.port if self.agent else None) or DEFAULT_PORT

    def url(self, cluster: Cluster) -> str:
        """The address of the live server inside the cluster."""
        host = f"{names.service(self.key.name)}.{self.key.namespace}.svc.{cluster.domain}"
        return f"http://{host}:{self.port}"

    @property
    def live(self) -> bool:
        """A server is kept running: always, unless `command` is set and nothing else asks for a server."""
        if self.agent is None:
            return False
        spec = self.agent.spec
        asked = (
            spec.port,
            spec.persistence,
            spec.standby,
            spec.share,
            spec.suspend or None,
            self.shape.extraPorts or None,
        )
        return not self.shape.command or any(wish is not None for wish in asked)


def profile_of_agent(live: agent.Agent, template: agent.AgentTemplate | None) -> Profile:
    """An Agent with what it leaves open taken from its template."""
    shape = merged(live.spec, template.spec) if template else live.spec
    return Profile(live.metadata.key, live.metadata.uid, shape, live)


def profile_of_template(template: agent.AgentTemplate) -> Profile:
    """An AgentTemplate as the blueprint of a Task's own Pod."""
    return Profile(template.metadata.key, template.metadata.uid, template.spec, None)


def merged(own: agent.AgentShape, base: agent.AgentShape) -> agent.AgentShape:
    """`own` where it says something, else `base`. Lists replace lists; they are never joined."""
    empty = agent.AgentShape()
    chosen: dict[str, Any] = {}
    for name in agent.AgentShape.__struct_fields__:
        value = getattr(own, name)
        chosen[name] = value if value != getattr(empty, name) else getattr(base, name)
    return agent.AgentShape(**chosen)


def spec_with_template(spec: task.TaskSpec, template: tasktemplate.TaskTemplate | None) -> task.TaskSpec:
    """A Task's spec with what it leaves out taken from its TaskTemplate.

    The Task's `agentRef` and `description` win, contexts are joined with the template's first, outputs are merged by
    name. Source: KubeOpenCode README, "Merge Strategy".
    """
    if template is None:
        return spec
    base = template.spec
    return msgspec.structs.replace(
        spec,
        description=spec.description if spec.description is not None else base.description,
        agentRef=spec.agentRef or (base.agentRef if spec.templateRef is None else None),
        contexts=(*base.contexts, *spec.contexts),
        outputs=merged_outputs(base.outputs, spec.outputs),
    )


def merged_outputs(*levels: outputs.OutputSpec | None) -> outputs.OutputSpec | None:
    """Results by name, a later level wins; None where no level names any."""
    by_name = {parameter.name: parameter for level in levels if level for parameter in level.parameters}
    return outputs.OutputSpec(tuple(by_name.values())) if by_name else None


@dataclass(frozen=True)
class Observed:
    """One Task and all that a decision about it may look at."""

    task: task.Task
    spec: task.TaskSpec
    """The Task's spec after its TaskTemplate."""
    cluster: Cluster
    profile: Profile | None = None
    missing: str = ""
    """Why there is no profile, in words for the user."""
    missing_reason: str = "AgentError"
    """The same in one word, for the condition."""
    pod: core.Pod | None = None
    waiting: int = 0
    """Tasks that wait for the same Agent, this one among them."""
    config_maps: Mapping[Key, core.ConfigMap | None] = field(default_factory=dict[Key, "core.ConfigMap | None"])
    """ConfigMaps that contexts name; None for one that does not exist."""

    @property
    def foreign(self) -> bool:
        """The Agent lives in another namespace, and so does the Pod."""
        return self.profile is not None and self.profile.key.namespace != self.task.metadata.namespace

    @property
    def outputs(self) -> outputs.OutputSpec | None:
        """Results to read: those of the Agent, then those of the Task."""
        return merged_outputs(self.profile.shape.outputs if self.profile else None, self.spec.outputs)

    @property
    def attached(self) -> bool:
        """The Task goes to the Agent's live server; otherwise it gets a Pod that works by itself.

        A Task needs a Pod of its own when a context cannot travel over the server's API or results are files.
        """
        profile = self.profile
        if profile is None or profile.agent is None or not profile.live or profile.shape.command or self.foreign:
            return False
        return self.outputs is None and not any(_needs_files(item) for item in self.spec.contexts)


def _needs_files(item: Any) -> bool:
    return item.type == "Git" or (item.type == "ConfigMap" and bool(item.mountPath) and not item.configMap.key)
