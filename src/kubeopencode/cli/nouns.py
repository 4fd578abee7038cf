"""What people call things: `task`, `tasks`, `tk`, `pods`. Ours and a few others are known, the rest is discovered."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from kubeopencode.kube import errors, plain


class Noun(msgspec.Struct, frozen=True):
    """A kind as the API spells it."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    short: tuple[str, ...] = ()

    def path(self, namespace: str, name: str = "", subresource: str = "") -> str:
        """The URL path of the collection or of one object."""
        parts = ["/apis", self.group, self.version] if self.group else ["/api", self.version]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        return "/".join([*parts, self.plural, *[part for part in (name, subresource) if part]])


_OURS = ("kubeopencode.io", "v1alpha1")
NOUNS = (
    Noun(*_OURS, "tasks", "Task", short=("tk",)),
    Noun(*_OURS, "tasktemplates", "TaskTemplate", short=("tt",)),
    Noun(*_OURS, "agents", "Agent", short=("ag",)),
    Noun(*_OURS, "agenttemplates", "AgentTemplate", short=("agt",)),
    Noun(*_OURS, "crontasks", "CronTask", short=("ct",)),
    Noun(*_OURS, "registries", "Registry", short=("reg",)),
    Noun(*_OURS, "kubeopencodeconfigs", "KubeOpenCodeConfig", namespaced=False, short=("ktc",)),
    Noun("", "v1", "pods", "Pod", short=("po",)),
    Noun("", "v1", "services", "Service", short=("svc",)),
    Noun("", "v1", "configmaps", "ConfigMap", short=("cm",)),
    Noun("", "v1", "secrets", "Secret"),
    Noun("", "v1", "namespaces", "Namespace", namespaced=False, short=("ns",)),
    Noun("", "v1", "nodes", "Node", namespaced=False, short=("no",)),
    Noun("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", short=("pvc",)),
    Noun("", "v1", "events", "Event", short=("ev",)),
    Noun("apps", "v1", "deployments", "Deployment", short=("deploy",)),
    Noun("batch", "v1", "jobs", "Job"),
)
"""Written out, not derived: deriving would import every type before the first line is printed. A test compares them."""


def find(server: plain.Door, word: str) -> Noun:
    """The kind that `word` means.

    Raises:
        click.ClickException: the server has nothing of that name.
    """
    wanted = word.lower()
    for noun in NOUNS:
        if wanted in (noun.plural, noun.kind.lower(), f"{noun.plural}.{noun.group}", *noun.short):
            return noun
    for noun in _discovered(server):
        if wanted in (noun.plural, noun.kind.lower(), f"{noun.plural}.{noun.group}", *noun.short):
            return noun
    raise click.ClickException(f'the server has no kind "{word}"; `kubectl api-resources` lists what it has')


def of_kind(server: plain.Door, api_version: str, kind: str) -> Noun:
    """The kind that a manifest names.

    Raises:
        click.ClickException: the server does not serve it.
    """
    group, _, version = api_version.rpartition("/")
    for noun in NOUNS:
        if (noun.group, noun.version, noun.kind) == (group, version, kind):
            return noun
    for noun in _group(server, group, version):
        if noun.kind == kind:
            return noun
    raise click.ClickException(
        f"the server does not serve {kind} of {api_version}; is its CustomResourceDefinition installed?"
    )


def _discovered(server: plain.Door) -> list[Noun]:
    groups: list[Any] = server.request("GET", "/apis")["groups"]
    found = _group(server, "", "v1")
    for group in groups:
        found += _group(server, group["name"], group["preferredVersion"]["version"])
    return found


def _group(server: plain.Door, group: str, version: str) -> list[Noun]:
    try:
        listed = server.request("GET", f"/apis/{group}/{version}" if group else f"/api/{version}")
    except errors.NotFound:
        return []
    return [
        Noun(group, version, each["name"], each["kind"], each["namespaced"], tuple(each.get("shortNames", ())))
        for each in listed["resources"]
        if "/" not in each["name"]
    ]
