"""Rendered objects taken apart, and two pieces of Kubernetes: its restricted standard and its `$(NAME)`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from tests.unit.api import builders
from tests.unit.api.builders import profile, seen

from kubeopencode.api.meta import Json
from kubeopencode.render import server, task
from kubeopencode.world import Cluster

VOLUME_KINDS = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
"""Volumes that the restricted Pod Security Standard allows."""


def desired(what: Any, by: Any, **more: Any) -> tuple[Json, Json]:
    """The ConfigMap and the Pod of a Task."""
    config_map, pod = task.desired(seen(what, by, **more))
    return config_map, pod


def standalone(*contexts: Json, maps: Any = None, **spec: Any) -> tuple[Json, Json]:
    """ConfigMap and Pod of a Task with these contexts and a template with that spec."""
    return desired(builders.task(contexts=list(contexts)), builders.template(**spec), config_maps=maps)


def live(by: Any = None, *, cluster: Cluster | None = None, maps: Mapping[Any, Any] | None = None) -> dict[str, Json]:
    """The objects of a live Agent by kind and name."""
    objects = server.desired(profile(by or builders.agent()), cluster or Cluster(), maps or {})
    return {f"{each['kind']}/{each['metadata']['name']}": each for each in objects}


def main(pod: Json) -> Json:
    """The container of the agent."""
    (only,) = pod["spec"]["containers"]
    return only


def init(pod: Json, name: str) -> Json:
    """One init container."""
    (found,) = (each for each in pod["spec"]["initContainers"] if each["name"] == name)
    return found


def inits(pod: Json) -> list[str]:
    """The init containers in order."""
    return [each["name"] for each in pod["spec"]["initContainers"]]


def containers(spec: Json) -> list[Json]:
    """All containers of a Pod spec."""
    return [*spec["initContainers"], *spec["containers"]]


def env(container: Json) -> dict[str, Any]:
    """Variables by name: the text, or where it comes from."""
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in container.get("env", [])}


def mounts(container: Json) -> dict[str, Json]:
    """Mounts by path."""
    return {each["mountPath"]: each for each in container["volumeMounts"]}


def volume(pod: Json, name: str) -> Json:
    """One volume."""
    (found,) = (each for each in pod["spec"]["volumes"] if each["name"] == name)
    return found


def written(pod: Json) -> dict[str, tuple[str, int]]:
    """Files that context-init writes: key and mode by path."""
    mappings = json.loads(env(init(pod, "context-init"))["FILE_MAPPINGS"])
    return {each["targetPath"]: (each["key"], each["fileMode"]) for each in mappings}


def file(config_map: Json, pod: Json, path: str) -> str:
    """The content of a file that context-init writes."""
    return config_map["data"][written(pod)[path][0]]


def as_bytes(objects: Any) -> bytes:
    """Rendered objects as they would travel."""
    return json.dumps(objects).encode()


def expanded(text: str, variables: Mapping[str, str]) -> str:
    """What a container gets for a value, as k8s.io/kubernetes/third_party/forked/golang/expansion says."""
    return re.sub(
        r"\$(\$|\(([^)]*)\))",
        lambda match: "$" if match[1] == "$" else variables.get(match[2], match[0]),
        text,
        flags=re.DOTALL,
    )


def violations(spec: Json) -> list[str]:
    """What the restricted Pod Security Standard has against a Pod spec."""
    pod = spec.get("securityContext", {})
    found = [field for field in ("hostNetwork", "hostPID", "hostIPC") if spec.get(field)]
    for each in spec["volumes"]:
        found += [f"volume {each['name']}: {kind}" for kind in set(each) - {"name"} - VOLUME_KINDS]
    for each in containers(spec):
        own = each.get("securityContext", {})
        where = f"container {each['name']}"
        capabilities = own.get("capabilities", {})
        checks = {
            "privileged": not own.get("privileged"),
            "allowPrivilegeEscalation": own.get("allowPrivilegeEscalation") is False,
            "capabilities.drop": "ALL" in capabilities.get("drop", []),
            "capabilities.add": set(capabilities.get("add", [])) <= {"NET_BIND_SERVICE"},
            "runAsNonRoot": own.get("runAsNonRoot", pod.get("runAsNonRoot")) is True,
            "runAsUser": own.get("runAsUser", pod.get("runAsUser")) != 0,
            "seccompProfile": (own.get("seccompProfile") or pod.get("seccompProfile", {})).get("type")
            in ("RuntimeDefault", "Localhost"),
            "hostPort": not any(port.get("hostPort") for port in each.get("ports", [])),
        }
        found += [f"{where}: {what}" for what, good in checks.items() if not good]
    return found
