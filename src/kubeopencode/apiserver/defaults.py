"""Defaults and light checks of the built-in kinds: what controllers and kubectl rely on. Changes objects in place."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import cast

from kubeopencode.api.meta import Json
from kubeopencode.apiserver import objects, status
from kubeopencode.apiserver.registry import Kind
from kubeopencode.apiserver.status import Cause


def apply(kind: Kind, obj: Json) -> None:
    """Fill in what a client left out; runs on every write."""
    if kind.custom:
        return
    if filler := _FILLERS.get(kind.kind):
        filler(obj)


def on_create(kind: Kind, obj: Json) -> None:
    """Set the status an object starts with."""
    if kind.custom:
        return
    if kind.kind == "Pod":
        obj["status"] = {"phase": "Pending", "qosClass": qos(objects.section(obj, "spec"))}
    elif kind.kind == "Namespace":
        obj["status"] = {"phase": "Active"}
        obj["spec"] = {"finalizers": ["kubernetes"]}
        meta = objects.metadata(obj)
        meta.setdefault("labels", {})["kubernetes.io/metadata.name"] = str(meta.get("name", ""))
    elif kind.kind == "PersistentVolumeClaim":
        obj["status"] = {"phase": "Pending"}
    elif kind.kind == "Service":
        obj["status"] = {"loadBalancer": {}}
    elif kind.kind == "Job":
        _job_identity(obj)
        obj["status"] = {}
    elif kind.kind in ("Deployment", "ReplicaSet", "StatefulSet"):
        obj["status"] = {}


def qos(spec: Json) -> str:
    """Guaranteed, Burstable or BestEffort, from the resources of all containers."""
    anything, guaranteed = False, True
    for container in [*objects.items(spec, "containers"), *objects.items(spec, "initContainers")]:
        resources = objects.section(container, "resources")
        limits, requests = objects.section(resources, "limits"), objects.section(resources, "requests")
        anything = anything or bool(limits or requests)
        for name in ("cpu", "memory"):
            if name not in limits or str(requests.get(name, limits[name])) != str(limits[name]):
                guaranteed = False
    if not anything:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def _pod_spec(spec: Json, restart: str = "Always") -> None:
    spec.setdefault("restartPolicy", restart)
    spec.setdefault("terminationGracePeriodSeconds", 30)
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("schedulerName", "default-scheduler")
    spec.setdefault("securityContext", {})
    for container in [*objects.items(spec, "containers"), *objects.items(spec, "initContainers")]:
        _container(container)
    for volume in objects.items(spec, "volumes"):
        for source in ("configMap", "secret", "projected", "downwardAPI"):
            if source in volume:
                objects.section(volume, source).setdefault("defaultMode", 420)


def _container(container: Json) -> None:
    image = str(container.get("image", ""))
    name = image.rpartition("/")[2]
    latest = "@" not in name and (":" not in name or name.endswith(":latest"))
    container.setdefault("imagePullPolicy", "Always" if latest else "IfNotPresent")
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    container.setdefault("resources", {})
    for port in objects.items(container, "ports"):
        port.setdefault("protocol", "TCP")
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if name not in container:
            continue
        probe = objects.section(container, name)
        for field, value in _PROBE:
            probe.setdefault(field, value)
        http = objects.section(probe, "httpGet")
        if http:
            http.setdefault("scheme", "HTTP")
            http.setdefault("path", "/")


_PROBE = (("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3))


def _pod(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    _pod_spec(spec)
    account = spec.get("serviceAccountName") or spec.get("serviceAccount") or "default"
    spec["serviceAccountName"] = spec["serviceAccount"] = account
    spec.setdefault("enableServiceLinks", True)
    spec.setdefault("priority", 0)
    spec.setdefault("preemptionPolicy", "PreemptLowerPriority")


def _template(obj: Json, restart: str = "Always") -> Json:
    template = obj.setdefault("spec", {}).setdefault("template", {})
    objects.metadata(template)
    _pod_spec(template.setdefault("spec", {}), restart)
    return template


def _deployment(obj: Json) -> None:
    _template(obj)
    spec = obj["spec"]
    spec.setdefault("replicas", 1)
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("progressDeadlineSeconds", 600)
    strategy = spec.setdefault("strategy", {})
    if strategy.setdefault("type", "RollingUpdate") == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", "25%")
        rolling.setdefault("maxSurge", "25%")


def _daemon_set(obj: Json) -> None:
    _template(obj)


def _replica_set(obj: Json) -> None:
    _template(obj)
    obj["spec"].setdefault("replicas", 1)


def _job(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    _template(obj)
    if "completions" not in spec and "parallelism" not in spec:
        spec["completions"] = 1
    spec.setdefault("parallelism", 1)
    spec.setdefault("backoffLimit", 6)
    spec.setdefault("completionMode", "NonIndexed")
    spec.setdefault("suspend", False)


def _job_identity(obj: Json) -> None:
    spec, meta = obj["spec"], objects.metadata(obj)
    if spec.get("manualSelector"):
        return
    labels = objects.metadata(spec["template"]).setdefault("labels", {})
    labels.setdefault("batch.kubernetes.io/controller-uid", meta["uid"])
    labels.setdefault("batch.kubernetes.io/job-name", meta.get("name", ""))
    labels.setdefault("controller-uid", meta["uid"])
    labels.setdefault("job-name", meta.get("name", ""))
    spec["selector"] = {"matchLabels": {"batch.kubernetes.io/controller-uid": meta["uid"]}}


def _service(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("type", "ClusterIP")
    spec.setdefault("sessionAffinity", "None")
    spec.setdefault("internalTrafficPolicy", "Cluster")
    spec.setdefault("ipFamilies", ["IPv4"])
    spec.setdefault("ipFamilyPolicy", "SingleStack")
    for port in objects.items(spec, "ports"):
        port.setdefault("protocol", "TCP")
        port.setdefault("targetPort", port.get("port"))


def _secret(obj: Json) -> None:
    texts = obj.pop("stringData", None)
    if isinstance(texts, dict):
        held = obj.setdefault("data", {})
        for name, value in cast(Json, texts).items():
            held[name] = base64.b64encode(str(value).encode()).decode()
    obj.setdefault("type", "Opaque")


def _claim(obj: Json) -> None:
    obj.setdefault("spec", {}).setdefault("volumeMode", "Filesystem")


_FILLERS: dict[str, Callable[[Json], None]] = {
    "Pod": _pod,
    "Deployment": _deployment,
    "ReplicaSet": _replica_set,
    "StatefulSet": _replica_set,
    "DaemonSet": _daemon_set,
    "Job": _job,
    "Service": _service,
    "Secret": _secret,
    "PersistentVolumeClaim": _claim,
}


def check(kind: Kind, obj: Json, old: Json | None) -> list[Cause]:
    """What is wrong with a built-in object beyond its metadata."""
    causes: list[Cause] = []
    if kind.kind == "Pod" and old is None:
        _check_pod_spec(objects.section(obj, "spec"), "spec", causes)
    elif kind.kind in ("Deployment", "ReplicaSet", "StatefulSet", "DaemonSet"):
        _check_workload(obj, old, causes)
    elif kind.kind == "Job" and old is None:
        template = objects.section(objects.section(obj, "spec"), "template")
        _check_pod_spec(objects.section(template, "spec"), "spec.template.spec", causes)
        policy = objects.section(template, "spec").get("restartPolicy")
        if policy not in ("OnFailure", "Never"):
            causes.append(status.unsupported("spec.template.spec.restartPolicy", policy, ("OnFailure", "Never")))
    elif kind.kind == "Service" and not objects.items(objects.section(obj, "spec"), "ports"):
        spec = objects.section(obj, "spec")
        if spec.get("type") != "ExternalName" and spec.get("clusterIP") != "None":
            causes.append(status.required("spec.ports"))
    elif kind.kind in ("Secret", "ConfigMap"):
        _check_keys(kind, obj, old, causes)
    return causes


def _check_keys(kind: Kind, obj: Json, old: Json | None, causes: list[Cause]) -> None:
    for name in objects.section(obj, "data"):
        if not name or len(name) > 253 or not all(char.isalnum() or char in "-_." for char in name):
            detail = (
                "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or "
                "'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
            )
            causes.append(status.invalid_value(f"data[{name}]", name, detail))
    if old is not None and old.get("immutable"):
        for name in ("data", "binaryData", "immutable"):
            if old.get(name) != obj.get(name):
                causes.append(status.forbidden_field(name, "field is immutable when `immutable` is set"))
    if kind.kind == "Secret" and old is not None and old.get("type") != obj.get("type"):
        causes.append(status.invalid_value("type", obj.get("type"), "field is immutable"))


def _check_workload(obj: Json, old: Json | None, causes: list[Cause]) -> None:
    spec = objects.section(obj, "spec")
    selector = objects.section(spec, "selector")
    template = objects.section(spec, "template")
    if not selector:
        causes.append(status.required("spec.selector"))
    labels = objects.section(objects.section(template, "metadata"), "labels")
    wanted = objects.section(selector, "matchLabels")
    if any(labels.get(name) != value for name, value in wanted.items()):
        detail = "`selector` does not match template `labels`"
        causes.append(status.invalid_value("spec.template.metadata.labels", labels, detail))
    if old is not None and objects.section(old, "spec").get("selector") != spec.get("selector"):
        causes.append(status.invalid_value("spec.selector", selector, "field is immutable"))
    _check_pod_spec(objects.section(template, "spec"), "spec.template.spec", causes)


def _check_pod_spec(spec: Json, path: str, causes: list[Cause]) -> None:
    containers = objects.items(spec, "containers")
    if not containers:
        causes.append(status.required(f"{path}.containers"))
    volumes = {volume.get("name") for volume in objects.items(spec, "volumes")}
    seen: set[str] = set()
    for group in ("initContainers", "containers"):
        for index, container in enumerate(objects.items(spec, group)):
            where = f"{path}.{group}[{index}]"
            for name in ("name", "image"):
                if not container.get(name):
                    causes.append(status.required(f"{where}.{name}"))
            if container.get("name") in seen:
                causes.append(status.duplicate(f"{where}.name", container["name"]))
            seen.add(str(container.get("name")))
            for position, mount in enumerate(objects.items(container, "volumeMounts")):
                if mount.get("name") not in volumes:
                    field = f"{where}.volumeMounts[{position}].name"
                    causes.append(Cause("FieldValueNotFound", field, f"Not found: {status.shown(mount.get('name'))}"))
    policy = spec.get("restartPolicy")
    if policy not in ("Always", "OnFailure", "Never"):
        causes.append(status.unsupported(f"{path}.restartPolicy", policy, ("Always", "OnFailure", "Never")))
