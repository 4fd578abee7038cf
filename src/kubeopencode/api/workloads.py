"""What keeps Pods alive or runs them to an end: Deployments, ReplicaSets (`apps/v1`) and Jobs (`batch/v1`)."""

from __future__ import annotations

from datetime import datetime

import msgspec

from kubeopencode.api.core import PodSpec
from kubeopencode.api.meta import Condition, Json, ObjectMeta, Resource
from kubeopencode.api.probes import IntOrString


class Selector(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which labels an object must carry."""

    matchLabels: dict[str, str] = {}
    matchExpressions: tuple[Json, ...] = ()


class PodTemplate(msgspec.Struct, frozen=True, omit_defaults=True):
    """The Pods to make."""

    metadata: ObjectMeta = ObjectMeta()
    spec: PodSpec = PodSpec()


class RollingUpdate(msgspec.Struct, frozen=True, omit_defaults=True):
    """How many Pods may be missing or too many during a rollout; a number or a percentage."""

    maxSurge: IntOrString = "25%"
    maxUnavailable: IntOrString = "25%"


class DeploymentStrategy(msgspec.Struct, frozen=True, omit_defaults=True):
    """How new Pods replace old ones."""

    type: str = "RollingUpdate"
    rollingUpdate: RollingUpdate | None = None


class DeploymentSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a Deployment is asked to keep."""

    replicas: int = 1
    selector: Selector = Selector()
    template: PodTemplate = PodTemplate()
    strategy: DeploymentStrategy = DeploymentStrategy()
    minReadySeconds: int = 0
    revisionHistoryLimit: int = 10
    progressDeadlineSeconds: int = 600
    paused: bool = False


class DeploymentStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far a rollout is."""

    observedGeneration: int = 0
    replicas: int = 0
    updatedReplicas: int = 0
    readyReplicas: int = 0
    availableReplicas: int = 0
    unavailableReplicas: int = 0
    conditions: tuple[Condition, ...] = ()


class Deployment(msgspec.Struct, frozen=True, omit_defaults=True):
    """Pods that are replaced when they die and rolled over when their template changes."""

    metadata: ObjectMeta
    spec: DeploymentSpec = DeploymentSpec()
    status: DeploymentStatus = DeploymentStatus()


class ReplicaSetSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """How many Pods of one template there should be."""

    replicas: int = 1
    selector: Selector = Selector()
    template: PodTemplate = PodTemplate()
    minReadySeconds: int = 0


class ReplicaSetStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """How many Pods of one template there are."""

    observedGeneration: int = 0
    replicas: int = 0
    fullyLabeledReplicas: int = 0
    readyReplicas: int = 0
    availableReplicas: int = 0


class ReplicaSet(msgspec.Struct, frozen=True, omit_defaults=True):
    """A number of Pods of one template."""

    metadata: ObjectMeta
    spec: ReplicaSetSpec = ReplicaSetSpec()
    status: ReplicaSetStatus = ReplicaSetStatus()


class JobSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a Job runs to its end."""

    template: PodTemplate = PodTemplate()
    parallelism: int = 1
    completions: int | None = None
    backoffLimit: int = 6
    activeDeadlineSeconds: int | None = None
    ttlSecondsAfterFinished: int | None = None
    suspend: bool = False
    selector: Selector | None = None


class JobStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far a Job is."""

    active: int = 0
    ready: int = 0
    succeeded: int = 0
    failed: int = 0
    startTime: datetime | None = None
    completionTime: datetime | None = None
    conditions: tuple[Condition, ...] = ()


class Job(msgspec.Struct, frozen=True, omit_defaults=True):
    """Pods that run to completion."""

    metadata: ObjectMeta
    spec: JobSpec = JobSpec()
    status: JobStatus = JobStatus()


DEPLOYMENTS = Resource("apps", "v1", "Deployment", "deployments", Deployment)
REPLICASETS = Resource("apps", "v1", "ReplicaSet", "replicasets", ReplicaSet)
JOBS = Resource("batch", "v1", "Job", "jobs", Job)
