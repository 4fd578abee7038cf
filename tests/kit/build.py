"""Objects as short as a test's sentence."""

from __future__ import annotations

from typing import Any

GROUP = "kubeopencode.io/v1alpha1"
ECHO = ["sh", "-c", "true"]


def task(name: str, **spec: Any) -> dict[str, Any]:
    """A Task; without any reference it runs with the template `plain`."""
    if not {"agentRef", "templateRef", "taskTemplateRef"} & spec.keys():
        spec["templateRef"] = {"name": "plain"}
    return _object("Task", name, {"description": "do it"} | spec)


def task_for(agent: str, name: str, **spec: Any) -> dict[str, Any]:
    """A Task for an Agent."""
    return task(name, agentRef={"name": agent}, **spec)


def agent(name: str, **spec: Any) -> dict[str, Any]:
    """An Agent; `command` makes its Tasks run in Pods of their own."""
    return _object("Agent", name, spec)


def batch_agent(name: str, **spec: Any) -> dict[str, Any]:
    """An Agent that keeps no server."""
    return agent(name, command=ECHO, **spec)


def template(name: str = "plain", **spec: Any) -> dict[str, Any]:
    """An AgentTemplate."""
    return _object("AgentTemplate", name, spec)


def config_map(name: str, **data: str) -> dict[str, Any]:
    """A ConfigMap."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}, "data": data}


def _object(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": name, "namespace": spec.pop("namespace", "default")}
    for field in ("labels", "annotations"):
        if field in spec:
            metadata[field] = spec.pop(field)
    return {"apiVersion": GROUP, "kind": kind, "metadata": metadata, "spec": spec}
