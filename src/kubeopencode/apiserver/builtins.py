"""The table of built-in kinds: names, scope, subresources and what they can be selected by. Data only."""

from __future__ import annotations

from collections.abc import Sequence

from kubeopencode.apiserver import builtin_types
from kubeopencode.apiserver.registry import Kind, Scale

EVENTS = "events.k8s.io/events"
"""Where both versions of Event live, in the words of events.k8s.io/v1."""
CRDS = "apiextensions.k8s.io/customresourcedefinitions"
NAMESPACES = "/namespaces"
PODS = "/pods"

_REPLICAS = Scale(".spec.replicas", ".status.replicas", ".spec.selector")

# group/version Kind plural shortnames flags: c cluster-scoped, s status, g generation, x scale, a category all
_TABLE = """
v1 Namespace namespaces ns cs
v1 Node nodes no cs
v1 PersistentVolume persistentvolumes pv cs
v1 Pod pods po sa
v1 Service services svc sa
v1 ReplicationController replicationcontrollers rc sgxa
v1 ConfigMap configmaps cm -
v1 Secret secrets - -
v1 Endpoints endpoints ep -
v1 PersistentVolumeClaim persistentvolumeclaims pvc s
v1 ServiceAccount serviceaccounts sa -
v1 LimitRange limitranges limits -
v1 ResourceQuota resourcequotas quota s
v1 PodTemplate podtemplates - -
apps/v1 Deployment deployments deploy sgxa
apps/v1 ReplicaSet replicasets rs sgxa
apps/v1 StatefulSet statefulsets sts sgxa
apps/v1 DaemonSet daemonsets ds sga
apps/v1 ControllerRevision controllerrevisions - -
batch/v1 Job jobs - sga
batch/v1 CronJob cronjobs cj sga
coordination.k8s.io/v1 Lease leases - -
discovery.k8s.io/v1 EndpointSlice endpointslices - -
networking.k8s.io/v1 NetworkPolicy networkpolicies netpol g
networking.k8s.io/v1 Ingress ingresses ing sg
networking.k8s.io/v1 IngressClass ingressclasses - c
policy/v1 PodDisruptionBudget poddisruptionbudgets pdb sg
rbac.authorization.k8s.io/v1 Role roles - -
rbac.authorization.k8s.io/v1 RoleBinding rolebindings - -
rbac.authorization.k8s.io/v1 ClusterRole clusterroles - c
rbac.authorization.k8s.io/v1 ClusterRoleBinding clusterrolebindings - c
scheduling.k8s.io/v1 PriorityClass priorityclasses pc c
storage.k8s.io/v1 StorageClass storageclasses sc c
autoscaling/v2 HorizontalPodAutoscaler horizontalpodautoscalers hpa sa
apiextensions.k8s.io/v1 CustomResourceDefinition customresourcedefinitions crd,crds csg
"""

_INVOLVED = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
_FIELDS: dict[str, tuple[str, ...]] = {
    "Pod": (
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "status.phase",
        "status.podIP",
        "status.nominatedNodeName",
    ),
    "Secret": ("type",),
    "Namespace": ("status.phase",),
    "Node": ("spec.unschedulable",),
    "Job": ("status.successful",),
    "ReplicaSet": ("status.replicas",),
    "Service": ("spec.clusterIP", "spec.type"),
}
_SINGULAR = {"Endpoints": "endpoints"}


def kinds() -> tuple[Kind, ...]:
    """Every built-in kind."""
    return (*(_row(line.split()) for line in _TABLE.split("\n") if line), *_events())


def _row(words: Sequence[str]) -> Kind:
    api_version, name, plural, short, flags = words
    group, _, version = api_version.rpartition("/")
    return Kind(
        group=group,
        version=version,
        kind=name,
        plural=plural,
        namespaced="c" not in flags,
        singular=_SINGULAR.get(name, ""),
        short_names=() if short == "-" else tuple(short.split(",")),
        categories=("all",) if "a" in flags else ("api-extensions",) if plural == "customresourcedefinitions" else (),
        status="s" in flags,
        generation="g" in flags,
        scale=_REPLICAS if "x" in flags else None,
        fields=_FIELDS.get(name, ()),
        schema=builtin_types.schema(name),
    )


def _events() -> tuple[Kind, ...]:
    stored = Kind(
        group="events.k8s.io",
        version="v1",
        kind="Event",
        plural="events",
        short_names=("ev",),
        fields=(*(f"regarding.{name}" for name in _INVOLVED), "reason", "type", "reportingController"),
        schema=builtin_types.schema("Event"),
    )
    core = Kind(
        group="",
        version="v1",
        kind="Event",
        plural="events",
        short_names=("ev",),
        fields=(*(f"involvedObject.{name}" for name in _INVOLVED), "reason", "type", "reportingComponent", "source"),
        schema=builtin_types.schema("CoreEvent"),
        shared=EVENTS,
    )
    return stored, core
