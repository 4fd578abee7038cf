"""Objects for tests, written as they come over the wire and decoded as the product decodes them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from kubeopencode.api import agent as agents
from kubeopencode.api import core, tasktemplate, workloads
from kubeopencode.api import task as tasks
from kubeopencode.api.meta import Key
from kubeopencode.world import Cluster, Observed, Profile, profile_of_agent, profile_of_template, spec_with_template

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
NAMESPACE = "team"


def at(seconds: float) -> datetime:
    """That many seconds after NOW."""
    return NOW + timedelta(seconds=seconds)


def metadata(name: str, **more: Any) -> dict[str, Any]:
    """Metadata of an object that exists since an hour, unless said otherwise."""
    known: dict[str, Any] = {"name": name, "namespace": NAMESPACE, "uid": f"{name}-uid", "generation": 1}
    return known | {"creationTimestamp": at(-3600)} | more


def task(name: str = "job", *, meta: Mapping[str, Any] | None = None, status: Any = None, **spec: Any) -> tasks.Task:
    """A Task; keywords are fields of its spec."""
    wire = {"metadata": metadata(name, **(meta or {})), "spec": spec, "status": status or {}}
    return msgspec.convert(wire, tasks.Task)


def agent(
    name: str = "solo", *, meta: Mapping[str, Any] | None = None, status: Any = None, **spec: Any
) -> agents.Agent:
    """An Agent whose server is ready; keywords are fields of its spec."""
    wire = {"metadata": metadata(name, **(meta or {})), "spec": spec, "status": {"ready": True} | (status or {})}
    return msgspec.convert(wire, agents.Agent)


def template(name: str = "base", **spec: Any) -> agents.AgentTemplate:
    """An AgentTemplate; keywords are fields of its spec."""
    return msgspec.convert({"metadata": metadata(name), "spec": spec}, agents.AgentTemplate)


def task_template(name: str = "common", **spec: Any) -> tasktemplate.TaskTemplate:
    """A TaskTemplate; keywords are fields of its spec."""
    return msgspec.convert({"metadata": metadata(name), "spec": spec}, tasktemplate.TaskTemplate)


def profile(source: agents.Agent | agents.AgentTemplate) -> Profile:
    """Who does the work, from the object that says so."""
    return profile_of_agent(source, None) if isinstance(source, agents.Agent) else profile_of_template(source)


def start(name: str, seconds: float) -> dict[str, Any]:
    """An entry of an Agent's books for the Task of that name, let in at that second."""
    return {"taskName": name, "taskNamespace": NAMESPACE, "startTime": at(seconds), "taskUID": f"{name}-uid"}


def config_map(name: str, data: dict[str, str], namespace: str = NAMESPACE) -> core.ConfigMap:
    """A ConfigMap with texts."""
    return msgspec.convert({"metadata": metadata(name, namespace=namespace), "data": data}, core.ConfigMap)


def pod(phase: str, *, containers: Any = (), init: Any = (), age: float = 60, **status: Any) -> core.Pod:
    """A Pod as the kubelet reports it; the init container `output-collector` is its sidecar."""
    state = {"phase": phase, "containerStatuses": list(containers), "initContainerStatuses": list(init)} | status
    meta = metadata("job-pod", creationTimestamp=at(-age))
    spec = {"initContainers": [{"name": "opencode-init"}, {"name": "output-collector", "restartPolicy": "Always"}]}
    return msgspec.convert({"metadata": meta, "spec": spec, "status": state}, core.Pod)


def container(name: str, **state: Any) -> dict[str, Any]:
    """The status of one container; the keyword is its state: `waiting`, `running` or `terminated`."""
    return {"name": name, "ready": False, "restartCount": 0, "image": "", "imageID": "", "state": state}


def ended(name: str, code: int, **more: Any) -> dict[str, Any]:
    """The status of a container that has ended."""
    return container(name, terminated={"exitCode": code} | more)


def waiting(name: str, reason: str, message: str = "") -> dict[str, Any]:
    """The status of a container that does not run yet."""
    return container(name, waiting={"reason": reason, "message": message})


def deployment(ready: int) -> workloads.Deployment:
    """The Deployment of a live Agent with so many ready Pods."""
    wire = {"metadata": metadata("solo-server"), "status": {"readyReplicas": ready}}
    return msgspec.convert(wire, workloads.Deployment)


def seen(
    what: tasks.Task,
    by: agents.Agent | agents.AgentTemplate | None,
    *,
    pod: core.Pod | None = None,
    config_maps: Mapping[str, core.ConfigMap | None] | None = None,
    **more: Any,
) -> Observed:
    """A Task and what there is to see of its world; ConfigMaps by name are those of its own namespace."""
    cluster = more.pop("cluster", Cluster())
    spec = spec_with_template(what.spec, more.pop("task_template", None))
    maps = {Key(what.metadata.namespace, name): found for name, found in (config_maps or {}).items()}
    maps |= more.pop("other_maps", {})
    who = profile(by) if by else None
    return Observed(what, spec, cluster, profile=who, pod=pod, config_maps=maps, **more)
