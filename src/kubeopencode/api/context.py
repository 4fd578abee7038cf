"""What an agent is told besides the task: texts, ConfigMaps, repositories, pages.

Items of these lists have no defaults in the schema: lists are replaced as a whole, so a default that the server adds
would look like a change of somebody else's to every later apply.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from kubeopencode.api.schema import Rule


class SecretName(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A Secret of the same namespace."""

    name: Annotated[str, Meta(min_length=1)]
    """Name of the Secret."""


class ConfigMapSource(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Content from a ConfigMap of the same namespace."""

    name: Annotated[str, Meta(min_length=1)]
    """Name of the ConfigMap."""
    key: str = ""
    """One key only; without it every key is used, sorted."""
    optional: bool = False
    """A missing ConfigMap or key is then no error."""


class GitSync(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """How a repository is kept up to date on a live Agent."""

    enabled: bool = False
    """Follow the remote repository."""
    interval: str = ""
    """How often the remote is asked, as a duration; `5m` unless given."""
    policy: Literal["HotReload", "Rollout"] | None = None
    """`HotReload` (the default) pulls in place; `Rollout` restarts the server."""


class GitSource(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Content from a git repository."""

    repository: Annotated[str, Meta(min_length=1)]
    """URL of the repository (https://, http://, ssh:// or git@)."""
    ref: str = ""
    """Branch, tag or commit; HEAD unless given."""
    path: str = ""
    """Only this folder of the repository."""
    depth: Annotated[int, Meta(ge=0)] | None = None
    """Commits to fetch: 1 (the default) is shallow, 0 is the whole history."""
    recurseSubmodules: bool = False
    """Fetch submodules too."""
    secretRef: SecretName | None = None
    """Secret with `username` and `password`, or `ssh-privatekey` and `ssh-known-hosts`."""
    sync: GitSync | None = None
    """Follow the remote repository (live Agents only)."""


class UrlSource(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Content fetched over HTTP or HTTPS when the Task starts."""

    source: Annotated[str, Meta(min_length=1)]
    """The address to fetch."""
    headers: dict[str, str] = {}
    """Headers to send. Credentials belong in `secretRef`."""
    secretRef: SecretName | None = None
    """Secret with `token`, or with `username` and `password`; it wins over an Authorization header."""
    insecureSkipTLSVerify: bool = False
    """Accept any certificate. A `caBundle` is the better way."""
    timeout: Annotated[int, Meta(ge=1)] | None = None
    """Seconds to wait for the answer; 30 unless given."""


class RuntimeSource(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What the platform tells an agent about itself; it has no settings."""


class ContextItem(msgspec.Struct, frozen=True, omit_defaults=True):
    """One piece of context. Without `mountPath` its text is aggregated, with it the content becomes files."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule("self.type != 'Text' || has(self.text)", "text is required when type is Text"),
        Rule("self.type != 'ConfigMap' || has(self.configMap)", "configMap is required when type is ConfigMap"),
        Rule("self.type != 'Git' || has(self.git)", "git is required when type is Git"),
        Rule("self.type != 'URL' || has(self.url)", "url is required when type is URL"),
        Rule("self.type != 'Git' || has(self.mountPath)", "mountPath is required when type is Git"),
    )

    type: Literal["Text", "ConfigMap", "Git", "Runtime", "URL"]
    """Where the content comes from."""
    name: str = ""
    """A label for people and for sync status."""
    description: str = ""
    """What the content is about."""
    optional: bool = False
    """A missing source is then no error."""
    mountPath: str = ""
    """File or folder to write; relative paths are below `workspaceDir`."""
    fileMode: Annotated[int, Meta(ge=0, le=0o7777)] | None = None
    """Permission bits of the file, in decimal as JSON has it: 493 is 0755. 0644 unless given."""
    text: str | None = None
    """The content itself, for type Text."""
    configMap: ConfigMapSource | None = None
    """The source, for type ConfigMap."""
    git: GitSource | None = None
    """The source, for type Git."""
    runtime: RuntimeSource | None = None
    """For type Runtime; may be left out."""
    url: UrlSource | None = None
    """The source, for type URL."""
