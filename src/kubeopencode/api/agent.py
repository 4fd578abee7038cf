"""Agent: who does the work and how. AgentTemplate: the part that many Agents share."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta

from kubeopencode.api import duration, meta, podspec
from kubeopencode.api.context import ContextItem, SecretName
from kubeopencode.api.outputs import OutputSpec
from kubeopencode.api.schema import Column, Rule, list_map

DNS_LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"


class SecretReference(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A Secret of the Agent's namespace, or one key of it."""

    name: Annotated[str, Meta(min_length=1)]
    """Name of the Secret."""
    key: str | None = None
    """One key only; without it the whole Secret is meant."""


class Credential(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A Secret as environment variable or file."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule("!has(self.env) || has(self.secretRef.key)", "env can only be set when secretRef.key is specified"),
    )

    name: Annotated[str, Meta(min_length=1)]
    """A label for people."""
    secretRef: SecretReference
    """Where the value is."""
    env: str | None = None
    """Environment variable that gets the key's value."""
    mountPath: str | None = None
    """File (with a key) or folder (without) that gets the content."""
    fileMode: Annotated[int, Meta(ge=0, le=0o777)] | None = None
    """Permission bits of the file, 0600 unless given."""


class CABundle(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Certificates to trust besides the system's."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "has(self.configMapRef) != has(self.secretRef)",
            "exactly one of configMapRef or secretRef must be specified",
        ),
    )

    configMapRef: podspec.KeyReference | None = None
    """ConfigMap with the certificates; key `ca-bundle.crt` unless given."""
    secretRef: podspec.KeyReference | None = None
    """Secret with the certificates; key `ca.crt` unless given."""


class Quota(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """How many Tasks an Agent may start within a sliding window."""

    maxTaskStarts: Annotated[int, Meta(ge=1)]
    """Task starts allowed inside one window."""
    windowSeconds: Annotated[int, Meta(ge=60, le=86_400)]
    """Length of the window in seconds; it slides, it does not reset on the hour."""


class VolumeOptions(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A volume that outlives the Pod."""

    size: str = ""
    """Size as a Kubernetes quantity; 1Gi for sessions and 10Gi for the workspace unless given."""
    storageClassName: str | None = None
    """Storage class; the cluster's default unless given."""


class Persistence(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What a live Agent keeps when its Pod restarts."""

    sessions: VolumeOptions | None = None
    """Keep the conversations."""
    workspace: VolumeOptions | None = None
    """Keep the files."""


class Standby(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Suspend an idle Agent, resume it when work arrives."""

    idleTimeout: Annotated[str, Meta(pattern=duration.PATTERN)] = "30m"
    """Idle time after which the Agent is suspended, as a duration."""


class Share(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A link that opens the Agent's terminal."""

    enabled: bool = False
    """Make the link."""
    expiresAt: datetime | None = None
    """When the link ends."""
    allowedIPs: tuple[str, ...] = ()
    """Addresses or CIDR ranges that may use it."""


class SkillGit(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A repository of skills."""

    repository: Annotated[str, Meta(min_length=1)]
    """URL of the repository."""
    ref: str = ""
    """Branch, tag or commit; HEAD unless given."""
    path: str = ""
    """Folder with the skills; the root unless given."""
    names: tuple[str, ...] = ()
    """Only these skills."""
    depth: Annotated[int, Meta(ge=0)] | None = None
    """Commits to fetch: 1 (the default) is shallow, 0 is the whole history."""
    recurseSubmodules: bool = False
    """Fetch submodules too."""
    secretRef: SecretName | None = None
    """Secret for the repository."""


class Skill(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Skills from one source."""

    name: Annotated[str, Meta(pattern=DNS_LABEL, max_length=63)]
    """Name of the source; its skills are below `/skills/<name>`."""
    git: SkillGit | None = None
    """The repository."""


class Plugin(msgspec.Struct, frozen=True, omit_defaults=True):
    """An npm package that extends the agent."""

    name: Annotated[str, Meta(min_length=1)]
    """Package name, with a version if wanted."""
    target: Literal["server", "tui"] | None = None
    """Where the plugin runs; on the server unless given."""
    options: Annotated[meta.Json, podspec.preserved()] | None = None
    """Options handed to the plugin."""


class AgentShape(msgspec.Struct, frozen=True, omit_defaults=True):
    """What Agents and AgentTemplates have in common. Where an Agent says nothing, its template decides."""

    agentImage: str = ""
    """Image that brings the OpenCode program."""
    executorImage: str = ""
    """Image the work is done in."""
    attachImage: str = ""
    """Accepted for manifests of earlier versions. Our own driver hands Tasks to the live server; it needs no image."""
    workspaceDir: Annotated[str, Meta(pattern="^/.*")] | None = None
    """Folder the work is done in; `/workspace` unless given."""
    command: tuple[str, ...] = ()
    """Command that runs a Task in place of the default; Tasks then run in Pods of their own."""
    contexts: tuple[ContextItem, ...] = ()
    """Content for every Task."""
    credentials: tuple[Credential, ...] = ()
    """Secrets as environment variables or files."""
    config: Any = None
    """OpenCode's configuration, as an object or as a string that holds JSON."""
    skills: tuple[Skill, ...] = ()
    """Skills from git repositories."""
    plugins: tuple[Plugin, ...] = ()
    """OpenCode plugins from npm."""
    caBundle: CABundle | None = None
    """Certificates to trust besides the system's."""
    proxy: podspec.ProxySpec | None = None
    """The proxy that traffic out of the cluster takes."""
    imagePullSecrets: tuple[podspec.LocalReference, ...] = ()
    """Secrets for private registries."""
    serviceAccountName: str = ""
    """Service account of the Pods; the namespace's default one unless given."""
    automountServiceAccountToken: bool = False
    """Give the agent a token for the Kubernetes API. Without need it gets none."""
    podSpec: podspec.PodOptions | None = None
    """Further settings of the Pods."""
    maxConcurrentTasks: Annotated[int, Meta(ge=0)] | None = None
    """Tasks that may run at once; 0 is no limit."""
    quota: Quota | None = None
    """How many Tasks may start within a sliding window."""
    outputs: OutputSpec | None = None
    """Results that every Task promises."""
    extraPorts: podspec.ExtraPorts = ()
    """Further ports of the live server's Service."""
    allowedNamespaces: tuple[str, ...] = ()
    """Namespaces whose Tasks may use this, as glob patterns; empty means all."""
    trustWorkspaceConfig: bool = False
    """Let configuration inside a repository change how the agent works."""


class AgentSpec(AgentShape, frozen=True, omit_defaults=True, kw_only=True):
    """Who does the work and how."""

    profile: str = ""
    """What this Agent is for, in words."""
    templateRef: podspec.LocalReference | None = None
    """AgentTemplate that decides what this Agent leaves open."""
    port: Annotated[int, Meta(ge=1, le=65535)] | None = None
    """Port of the live server; 4096 unless given."""
    persistence: Persistence | None = None
    """What is kept when the Pod restarts."""
    suspend: bool = False
    """Stop the live server; Tasks wait."""
    standby: Standby | None = None
    """Suspend and resume by itself."""
    share: Share | None = None
    """A link that opens the Agent's terminal."""


class TaskStart(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One Task start, kept for the quota's window."""

    taskName: str
    """Name of the Task."""
    taskNamespace: str
    """Namespace of the Task."""
    startTime: datetime
    """When it was let in."""
    taskUID: str = ""
    """Which Task of that name."""


class GitSyncStatus(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """State of one repository that is followed."""

    name: str
    """Name of the context."""
    commitHash: str = ""
    """Commit in use."""
    lastSynced: datetime | None = None
    """When the remote was last asked."""


class ShareStatus(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """State of the shared link."""

    secretName: str = ""
    """Secret with the token."""
    url: str = ""
    """Address of the link."""
    active: bool = False
    """The link can be used now."""


class AgentStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """How the Agent is."""

    observedGeneration: int = 0
    """Generation of the spec that this status speaks of."""
    conditions: Annotated[tuple[meta.Condition, ...], list_map("type")] = ()
    """ServerReady, ServerHealthy, Suspended and others."""
    taskStartHistory: tuple[TaskStart, ...] = ()
    """Task starts within the quota's window."""
    admitted: tuple[TaskStart, ...] = ()
    """Tasks that hold a slot of `maxConcurrentTasks`."""
    deploymentName: str = ""
    """Deployment of the live server."""
    serviceName: str = ""
    """Service of the live server."""
    url: str = ""
    """Address of the live server inside the cluster."""
    ready: bool | None = None
    """The live server answers; nothing until that is known."""
    suspended: bool = False
    """The live server is stopped on purpose."""
    idleSince: datetime | None = None
    """Since when there has been no work."""
    gitSyncStatuses: Annotated[tuple[GitSyncStatus, ...], list_map("name")] = ()
    """Repositories that are followed."""
    share: ShareStatus | None = None
    """State of the shared link."""


class Agent(msgspec.Struct, frozen=True, omit_defaults=True):
    """An AI coding agent, as a team shares it."""

    SHORT_NAMES: ClassVar[tuple[str, ...]] = ("ag",)
    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("Profile", ".spec.profile", priority=1),
        Column("Image", ".spec.executorImage", priority=1),
        Column("ServiceAccount", ".spec.serviceAccountName"),
        Column("MaxTasks", ".spec.maxConcurrentTasks", "integer", priority=1),
        Column("Ready", ".status.ready", "boolean"),
        Column("Age", ".metadata.creationTimestamp", "date"),
    )

    metadata: meta.ObjectMeta
    spec: AgentSpec = AgentSpec()
    """Who does the work and how."""
    status: AgentStatus = AgentStatus()
    """How the Agent is."""


class AgentTemplateStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the controller thinks of the template."""

    observedGeneration: int = 0
    """Generation of the spec that this status speaks of."""
    conditions: Annotated[tuple[meta.Condition, ...], list_map("type")] = ()
    """Ready, with a reason."""


class AgentTemplate(msgspec.Struct, frozen=True, omit_defaults=True):
    """A base for Agents and a blueprint for Tasks that run in Pods of their own."""

    SHORT_NAMES: ClassVar[tuple[str, ...]] = ("agt",)
    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("ExecutorImage", ".spec.executorImage", priority=1),
        Column("ServiceAccount", ".spec.serviceAccountName"),
        Column("Age", ".metadata.creationTimestamp", "date"),
    )

    metadata: meta.ObjectMeta
    spec: AgentShape = AgentShape()
    """What Agents take from here."""
    status: AgentTemplateStatus = AgentTemplateStatus()
    """What the controller thinks of the template."""
