"""The columns of the built-in kinds, as kubectl users know them. Pure."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from kubeopencode.api.meta import Json
from kubeopencode.apiserver import objects

Cell = Callable[[Json, datetime], Any]
Row = tuple[str, str, int, Callable[[Json], Any]]
"""Name, type, priority, and how the cell is read."""


def _at(*path: str) -> Callable[[Json], Any]:
    return lambda obj: objects.at(obj, path)


def _text(*path: str, none: str = "<none>") -> Callable[[Json], str]:
    return lambda obj: objects.text_at(obj, path) or none


def _size(name: str) -> Callable[[Json], int]:
    return lambda obj: len(objects.section(obj, name))


def _pod_ready(obj: Json) -> str:
    states = objects.items(objects.section(obj, "status"), "containerStatuses")
    ready = sum(1 for state in states if state.get("ready"))
    return f"{ready}/{len(objects.items(objects.section(obj, 'spec'), 'containers'))}"


def _reason(state: Json) -> str:
    for name in ("waiting", "terminated"):
        found = objects.section(objects.section(state, "state"), name)
        if found.get("reason"):
            return str(found["reason"])
        if found.get("signal"):
            return f"Signal:{found['signal']}"
        if name == "terminated" and found:
            return f"ExitCode:{found.get('exitCode', 0)}"
    return ""


def _init_reason(obj: Json) -> str:
    """What the first init container that is not through says."""
    spec, state = objects.section(obj, "spec"), objects.section(obj, "status")
    sidecars = {c.get("name") for c in objects.items(spec, "initContainers") if c.get("restartPolicy") == "Always"}
    states = objects.items(state, "initContainerStatuses")
    for index, found in enumerate(states):
        ended = objects.section(objects.section(found, "state"), "terminated")
        if (ended and ended.get("exitCode") == 0) or (found.get("name") in sidecars and found.get("started")):
            continue
        reason = _reason(found)
        if reason and reason != "PodInitializing":
            return f"Init:{reason}"
        return f"Init:{index}/{len(states)}"
    return ""


def _pod_status(obj: Json) -> str:
    state = objects.section(obj, "status")
    shown = str(state.get("reason") or state.get("phase") or "Unknown")
    waiting = _init_reason(obj)
    if waiting:
        shown = waiting
    else:
        reasons = [_reason(found) for found in objects.items(state, "containerStatuses")]
        running = any(
            objects.section(found, "state").get("running") for found in objects.items(state, "containerStatuses")
        )
        named = [reason for reason in reasons if reason]
        if named:
            shown = "Running" if named[0] == "Completed" and running else named[0]
    if objects.metadata(obj).get("deletionTimestamp"):
        return "Terminating"
    return shown


def _restarts(obj: Json) -> str:
    states = objects.items(objects.section(obj, "status"), "containerStatuses")
    return str(sum(int(state.get("restartCount") or 0) for state in states))


def _workload_ready(obj: Json) -> str:
    ready = objects.at(obj, ("status", "readyReplicas")) or 0
    return f"{ready}/{objects.at(obj, ('spec', 'replicas')) or 0}"


def _count(name: str) -> Callable[[Json], int]:
    return lambda obj: objects.at(obj, ("status", name)) or 0


def _job_status(obj: Json) -> str:
    true = {
        c.get("type") for c in objects.items(objects.section(obj, "status"), "conditions") if c.get("status") == "True"
    }
    return next((name for name in ("Complete", "Failed", "Suspended") if name in true), "Running")


def _completions(obj: Json) -> str:
    return f"{objects.at(obj, ('status', 'succeeded')) or 0}/{objects.at(obj, ('spec', 'completions')) or 1}"


def _ports(obj: Json) -> str:
    ports = objects.items(objects.section(obj, "spec"), "ports")
    return ",".join(f"{port.get('port')}/{port.get('protocol', 'TCP')}" for port in ports) or "<none>"


def _selector(obj: Json) -> str:
    selector = objects.section(objects.section(obj, "spec"), "selector")
    labels = objects.section(selector, "matchLabels") or (selector if "matchExpressions" not in selector else {})
    return ",".join(f"{name}={value}" for name, value in sorted(labels.items())) or "<none>"


def _containers(field: str) -> Callable[[Json], str]:
    def cell(obj: Json) -> str:
        spec = objects.section(objects.section(objects.section(obj, "spec"), "template"), "spec")
        return ",".join(str(container.get(field)) for container in objects.items(spec, "containers"))

    return cell


def _involved(obj: Json) -> str:
    about = objects.section(obj, "involvedObject") or objects.section(obj, "regarding")
    return f"{str(about.get('kind', '')).lower()}/{about.get('name', '')}"


def _node_status(obj: Json) -> str:
    conditions = objects.items(objects.section(obj, "status"), "conditions")
    ready = next((c.get("status") for c in conditions if c.get("type") == "Ready"), "Unknown")
    words = "Ready" if ready == "True" else "NotReady"
    return f"{words},SchedulingDisabled" if objects.at(obj, ("spec", "unschedulable")) else words


def _modes(obj: Json) -> str:
    short = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}
    modes = objects.items(objects.section(obj, "spec"), "accessModes")
    return ",".join(short.get(str(mode), str(mode)) for mode in modes)


_WIDE: tuple[Row, ...] = (
    ("Containers", "string", 1, _containers("name")),
    ("Images", "string", 1, _containers("image")),
    ("Selector", "string", 1, _selector),
)
AGE = "Age"
"""Where the age goes among the columns."""
TABLE: dict[str, tuple[Row | str, ...]] = {
    "Pod": (
        ("Ready", "string", 0, _pod_ready),
        ("Status", "string", 0, _pod_status),
        ("Restarts", "string", 0, _restarts),
        AGE,
        ("IP", "string", 1, _text("status", "podIP")),
        ("Node", "string", 1, _text("spec", "nodeName")),
    ),
    "Deployment": (
        ("Ready", "string", 0, _workload_ready),
        ("Up-to-date", "integer", 0, _count("updatedReplicas")),
        ("Available", "integer", 0, _count("availableReplicas")),
        AGE,
        *_WIDE,
    ),
    "ReplicaSet": (
        ("Desired", "integer", 0, _at("spec", "replicas")),
        ("Current", "integer", 0, _count("replicas")),
        ("Ready", "integer", 0, _count("readyReplicas")),
        AGE,
        *_WIDE,
    ),
    "StatefulSet": (("Ready", "string", 0, _workload_ready), AGE),
    "Job": (
        ("Status", "string", 0, _job_status),
        ("Completions", "string", 0, _completions),
        AGE,
        *_WIDE,
    ),
    "Service": (
        ("Type", "string", 0, _text("spec", "type")),
        ("Cluster-IP", "string", 0, _text("spec", "clusterIP")),
        ("External-IP", "string", 0, _text("spec", "externalName")),
        ("Port(s)", "string", 0, _ports),
        AGE,
        ("Selector", "string", 1, _selector),
    ),
    "ConfigMap": (("Data", "integer", 0, _size("data")), AGE),
    "Secret": (("Type", "string", 0, _text("type")), ("Data", "integer", 0, _size("data")), AGE),
    "Namespace": (("Status", "string", 0, _text("status", "phase")), AGE),
    "Node": (
        ("Status", "string", 0, _node_status),
        ("Version", "string", 0, _text("status", "nodeInfo", "kubeletVersion")),
        AGE,
    ),
    "PersistentVolumeClaim": (
        ("Status", "string", 0, _text("status", "phase")),
        ("Volume", "string", 0, _text("spec", "volumeName", none="")),
        ("Capacity", "string", 0, _text("status", "capacity", "storage", none="")),
        ("Access Modes", "string", 0, _modes),
        ("StorageClass", "string", 0, _text("spec", "storageClassName", none="")),
        AGE,
    ),
    "Lease": (("Holder", "string", 0, _text("spec", "holderIdentity", none="")), AGE),
    "CustomResourceDefinition": (("Created At", "date", 0, _text("metadata", "creationTimestamp")),),
}


def event_cells(obj: Json) -> tuple[Any, Any, Any, Any]:
    """Last seen (a timestamp), type, reason and message of an Event in either version."""
    series = objects.section(obj, "series")
    seen = series.get("lastObservedTime") or obj.get("lastTimestamp") or obj.get("deprecatedLastTimestamp")
    seen = seen or obj.get("eventTime") or obj.get("firstTimestamp") or objects.metadata(obj).get("creationTimestamp")
    return seen, obj.get("type", ""), obj.get("reason", ""), str(obj.get("message") or obj.get("note") or "").strip()


involved = _involved
"""What an Event is about, as kind/name."""
