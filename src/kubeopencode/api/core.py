"""The built-in kinds we read: Pods and what Pods lean on, as the core API group spells them.

Only what somebody here reads has a type; everything else stays JSON. Nothing in this module decides anything.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from kubeopencode.api.meta import Condition, Json, ObjectMeta, Resource
from kubeopencode.api.probes import IntOrString, Lifecycle, Probe
from kubeopencode.api.volumes import FieldRef, ResourceFieldRef, Volume

Quantity = str | int | float
"""An amount such as `500m`, `2Gi` or `1`."""


class KeyRef(msgspec.Struct, frozen=True, omit_defaults=True):
    """One key of a ConfigMap or a Secret."""

    key: str
    name: str = ""
    optional: bool = False


class EnvVarSource(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a variable's value comes from; exactly one of them."""

    configMapKeyRef: KeyRef | None = None
    secretKeyRef: KeyRef | None = None
    fieldRef: FieldRef | None = None
    resourceFieldRef: ResourceFieldRef | None = None


class EnvVar(msgspec.Struct, frozen=True, omit_defaults=True):
    """One environment variable."""

    name: str
    value: str = ""
    valueFrom: EnvVarSource | None = None


class ObjectRef(msgspec.Struct, frozen=True, omit_defaults=True):
    """A ConfigMap or a Secret in the same namespace."""

    name: str = ""
    optional: bool = False


class EnvFromSource(msgspec.Struct, frozen=True, omit_defaults=True):
    """A whole ConfigMap or Secret as environment variables."""

    prefix: str = ""
    configMapRef: ObjectRef | None = None
    secretRef: ObjectRef | None = None


class VolumeMount(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a volume appears inside a container."""

    name: str
    mountPath: str
    subPath: str = ""
    subPathExpr: str = ""
    readOnly: bool = False


class ContainerPort(msgspec.Struct, frozen=True, omit_defaults=True):
    """A port a container listens on."""

    containerPort: int
    name: str = ""
    hostPort: int = 0
    protocol: str = "TCP"


class ResourceRequirements(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a container asks for and may use at most."""

    limits: dict[str, Quantity] = {}
    requests: dict[str, Quantity] = {}
    claims: tuple[Json, ...] = ()


class SecurityContext(msgspec.Struct, frozen=True, omit_defaults=True):
    """How much a container may do."""

    runAsUser: int | None = None
    runAsGroup: int | None = None
    runAsNonRoot: bool | None = None
    readOnlyRootFilesystem: bool | None = None
    allowPrivilegeEscalation: bool | None = None
    privileged: bool | None = None
    capabilities: Json | None = None
    seccompProfile: Json | None = None
    seLinuxOptions: Json | None = None
    appArmorProfile: Json | None = None


class PodSecurityContext(msgspec.Struct, frozen=True, omit_defaults=True):
    """How much all containers of a Pod may do."""

    runAsUser: int | None = None
    runAsGroup: int | None = None
    runAsNonRoot: bool | None = None
    fsGroup: int | None = None
    fsGroupChangePolicy: str | None = None
    supplementalGroups: tuple[int, ...] = ()
    seccompProfile: Json | None = None
    seLinuxOptions: Json | None = None
    sysctls: tuple[Json, ...] = ()


class Container(msgspec.Struct, frozen=True, omit_defaults=True):
    """One container: a program, its environment, its files and how it is watched."""

    name: str
    image: str = ""
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    workingDir: str = ""
    ports: tuple[ContainerPort, ...] = ()
    env: tuple[EnvVar, ...] = ()
    envFrom: tuple[EnvFromSource, ...] = ()
    resources: ResourceRequirements = ResourceRequirements()
    volumeMounts: tuple[VolumeMount, ...] = ()
    startupProbe: Probe | None = None
    livenessProbe: Probe | None = None
    readinessProbe: Probe | None = None
    lifecycle: Lifecycle | None = None
    securityContext: SecurityContext | None = None
    imagePullPolicy: str = ""
    restartPolicy: str = ""
    terminationMessagePath: str = "/dev/termination-log"
    terminationMessagePolicy: str = "File"
    stdin: bool = False
    stdinOnce: bool = False
    tty: bool = False

    @property
    def is_sidecar(self) -> bool:
        """Whether this init container keeps running beside the main ones (Kubernetes 1.29, native sidecars)."""
        return self.restartPolicy == "Always"


class HostAlias(msgspec.Struct, frozen=True, omit_defaults=True):
    """Names for one address in a Pod's hosts file."""

    ip: str
    hostnames: tuple[str, ...] = ()


class PodSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a Pod is asked to be."""

    containers: tuple[Container, ...] = ()
    initContainers: tuple[Container, ...] = ()
    volumes: tuple[Volume, ...] = ()
    restartPolicy: str = "Always"
    terminationGracePeriodSeconds: int = 30
    activeDeadlineSeconds: int | None = None
    nodeName: str = ""
    nodeSelector: dict[str, str] = {}
    hostname: str = ""
    subdomain: str = ""
    serviceAccountName: str = ""
    automountServiceAccountToken: bool | None = None
    securityContext: PodSecurityContext | None = None
    imagePullSecrets: tuple[Json, ...] = ()
    hostAliases: tuple[HostAlias, ...] = ()
    hostNetwork: bool = False
    hostPID: bool = False
    hostIPC: bool = False
    shareProcessNamespace: bool | None = None
    enableServiceLinks: bool | None = None
    priorityClassName: str = ""
    runtimeClassName: str = ""
    schedulerName: str = ""
    dnsPolicy: str = ""
    dnsConfig: Json | None = None
    affinity: Json | None = None
    tolerations: tuple[Json, ...] = ()
    topologySpreadConstraints: tuple[Json, ...] = ()


class Waiting(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A container that is not running yet, or not running again yet."""

    reason: str = ""
    message: str = ""


class Running(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A container that runs."""

    startedAt: datetime | None = None


class Terminated(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A container that has ended."""

    # The wire always carries exitCode, also when it is 0: it has no default.
    exitCode: int
    reason: str = ""
    message: str = ""
    signal: int = 0
    startedAt: datetime | None = None
    finishedAt: datetime | None = None
    containerID: str = ""


class ContainerState(msgspec.Struct, frozen=True, omit_defaults=True):
    """One of waiting, running, terminated."""

    waiting: Waiting | None = None
    running: Running | None = None
    terminated: Terminated | None = None


class ContainerStatus(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was last seen of one container."""

    name: str
    # These four are required on the wire: real API servers refuse a status without them.
    ready: bool
    restartCount: int
    image: str
    imageID: str
    state: ContainerState = ContainerState()
    lastState: ContainerState = ContainerState()
    containerID: str = ""
    started: bool | None = None


class PodIP(msgspec.Struct, frozen=True, gc=False):
    """One address of a Pod."""

    ip: str


class PodStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was last seen of a Pod."""

    phase: str = ""
    conditions: tuple[Condition, ...] = ()
    reason: str = ""
    message: str = ""
    nominatedNodeName: str = ""
    hostIP: str = ""
    podIP: str = ""
    podIPs: tuple[PodIP, ...] = ()
    startTime: datetime | None = None
    containerStatuses: tuple[ContainerStatus, ...] = ()
    initContainerStatuses: tuple[ContainerStatus, ...] = ()
    qosClass: str = ""


class Pod(msgspec.Struct, frozen=True, omit_defaults=True):
    """A group of containers that live and die together."""

    metadata: ObjectMeta
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()


class ConfigMap(msgspec.Struct, frozen=True, omit_defaults=True):
    """Configuration as text, and as bytes."""

    metadata: ObjectMeta
    data: dict[str, str] = {}
    binaryData: dict[str, bytes] = {}
    immutable: bool = False


class Secret(msgspec.Struct, frozen=True, omit_defaults=True):
    """Bytes nobody else should read; base64 on the wire, decoded here."""

    metadata: ObjectMeta
    data: dict[str, bytes] = {}
    type: str = ""
    immutable: bool = False

    def __repr__(self) -> str:
        return f"Secret({self.metadata.key}, keys={sorted(self.data)})"


class ServiceAccount(msgspec.Struct, frozen=True, omit_defaults=True):
    """An identity for Pods."""

    metadata: ObjectMeta
    secrets: tuple[Json, ...] = ()
    imagePullSecrets: tuple[Json, ...] = ()
    automountServiceAccountToken: bool | None = None


class NamespaceStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """Whether a namespace lives or is being taken down."""

    phase: str = ""


class Namespace(msgspec.Struct, frozen=True, omit_defaults=True):
    """A room for objects."""

    metadata: ObjectMeta
    status: NamespaceStatus = NamespaceStatus()


class ClaimSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """What storage is asked for."""

    accessModes: tuple[str, ...] = ()
    resources: ResourceRequirements = ResourceRequirements()
    storageClassName: str | None = None
    volumeName: str = ""
    volumeMode: str = ""
    selector: Json | None = None


class ClaimStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """What storage was given."""

    phase: str = ""
    accessModes: tuple[str, ...] = ()
    capacity: dict[str, Quantity] = {}
    conditions: tuple[Condition, ...] = ()


class PersistentVolumeClaim(msgspec.Struct, frozen=True, omit_defaults=True):
    """Storage that outlives Pods."""

    metadata: ObjectMeta
    spec: ClaimSpec = ClaimSpec()
    status: ClaimStatus = ClaimStatus()


class ServicePort(msgspec.Struct, frozen=True, omit_defaults=True):
    """A port of a Service and where it leads."""

    port: int
    name: str = ""
    targetPort: IntOrString = 0
    protocol: str = "TCP"
    nodePort: int = 0


class ServiceSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which Pods a Service leads to."""

    ports: tuple[ServicePort, ...] = ()
    selector: dict[str, str] = {}
    clusterIP: str = ""
    clusterIPs: tuple[str, ...] = ()
    type: str = "ClusterIP"
    externalName: str = ""
    publishNotReadyAddresses: bool = False


class Service(msgspec.Struct, frozen=True, omit_defaults=True):
    """A name and an address for a group of Pods."""

    metadata: ObjectMeta
    spec: ServiceSpec = ServiceSpec()


class TargetRef(msgspec.Struct, frozen=True, omit_defaults=True):
    """The object an address or an event is about."""

    kind: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""
    apiVersion: str = ""
    fieldPath: str = ""
    resourceVersion: str = ""


class EndpointAddress(msgspec.Struct, frozen=True, omit_defaults=True):
    """One Pod behind a Service."""

    ip: str
    hostname: str = ""
    nodeName: str = ""
    targetRef: TargetRef | None = None


class EndpointPort(msgspec.Struct, frozen=True, omit_defaults=True):
    """One port behind a Service."""

    port: int
    name: str = ""
    protocol: str = "TCP"


class EndpointSubset(msgspec.Struct, frozen=True, omit_defaults=True):
    """Addresses that share the same ports."""

    addresses: tuple[EndpointAddress, ...] = ()
    notReadyAddresses: tuple[EndpointAddress, ...] = ()
    ports: tuple[EndpointPort, ...] = ()


class Endpoints(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a Service of the same name leads at this moment."""

    metadata: ObjectMeta
    subsets: tuple[EndpointSubset, ...] = ()


class NodeStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a machine offers and how it is."""

    capacity: dict[str, Quantity] = {}
    allocatable: dict[str, Quantity] = {}
    conditions: tuple[Json, ...] = ()
    addresses: tuple[Json, ...] = ()
    nodeInfo: Json = {}


class Node(msgspec.Struct, frozen=True, omit_defaults=True):
    """A machine that carries Pods."""

    metadata: ObjectMeta
    spec: Json = {}
    status: NodeStatus = NodeStatus()


class EventSeries(msgspec.Struct, frozen=True):
    """How often an event has come back."""

    count: int
    lastObservedTime: datetime


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something that happened to an object (`events.k8s.io/v1`)."""

    metadata: ObjectMeta
    eventTime: datetime | None = None
    series: EventSeries | None = None
    reportingController: str = ""
    reportingInstance: str = ""
    action: str = ""
    reason: str = ""
    regarding: TargetRef = TargetRef()
    related: TargetRef | None = None
    note: str = ""
    type: str = ""


class LeaseSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who leads, and until when."""

    holderIdentity: str | None = None
    leaseDurationSeconds: int | None = None
    acquireTime: datetime | None = None
    renewTime: datetime | None = None
    leaseTransitions: int | None = None


class Lease(msgspec.Struct, frozen=True, omit_defaults=True):
    """A lock with a time limit (`coordination.k8s.io/v1`)."""

    metadata: ObjectMeta
    spec: LeaseSpec = LeaseSpec()


class CustomResourceDefinition(msgspec.Struct, frozen=True, omit_defaults=True):
    """A kind that is not built in (`apiextensions.k8s.io/v1`)."""

    metadata: ObjectMeta
    spec: Json = {}
    status: Json = {}


PODS = Resource("", "v1", "Pod", "pods", Pod)
CONFIGMAPS = Resource("", "v1", "ConfigMap", "configmaps", ConfigMap)
SECRETS = Resource("", "v1", "Secret", "secrets", Secret)
PVCS = Resource("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", PersistentVolumeClaim)
NAMESPACES = Resource("", "v1", "Namespace", "namespaces", Namespace, namespaced=False)
SERVICEACCOUNTS = Resource("", "v1", "ServiceAccount", "serviceaccounts", ServiceAccount)
SERVICES = Resource("", "v1", "Service", "services", Service)
ENDPOINTS = Resource("", "v1", "Endpoints", "endpoints", Endpoints)
NODES = Resource("", "v1", "Node", "nodes", Node, namespaced=False)
EVENTS = Resource("events.k8s.io", "v1", "Event", "events", Event)
LEASES = Resource("coordination.k8s.io", "v1", "Lease", "leases", Lease)
CRDS = Resource(
    "apiextensions.k8s.io",
    "v1",
    "CustomResourceDefinition",
    "customresourcedefinitions",
    CustomResourceDefinition,
    namespaced=False,
)
