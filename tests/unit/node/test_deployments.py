from __future__ import annotations

from kubeopencode.api import meta
from kubeopencode.api.workloads import (
    Deployment,
    DeploymentSpec,
    DeploymentStrategy,
    ReplicaSet,
    ReplicaSetSpec,
    ReplicaSetStatus,
    RollingUpdate,
)
from kubeopencode.node import deployments


def replicas(name: str, wanted: int, available: int) -> ReplicaSet:
    status = ReplicaSetStatus(replicas=wanted, availableReplicas=available)
    return ReplicaSet(meta.ObjectMeta(name=name), ReplicaSetSpec(wanted), status)


def spec(count: int, kind: str = "RollingUpdate", update: RollingUpdate | None = None) -> DeploymentSpec:
    return DeploymentSpec(replicas=count, strategy=DeploymentStrategy(kind, update))


def test_the_first_replica_set_gets_all_replicas():
    assert deployments.scale(spec(3), None, []).current == 3


def test_a_rolling_update_of_one_replica_starts_the_new_one_before_the_old_one_goes():
    old = replicas("old", 1, 1)
    first = deployments.scale(spec(1), None, [old])
    assert (first.current, first.others) == (1, {"old": 1})
    ready = deployments.scale(spec(1), replicas("new", 1, 1), [old])
    assert (ready.current, ready.others) == (1, {"old": 0})


def test_a_rolling_update_keeps_within_surge_and_absence():
    update = RollingUpdate(maxSurge=1, maxUnavailable=1)
    step = deployments.scale(spec(4, update=update), None, [replicas("old", 4, 4)])
    assert (step.current, step.others) == (1, {"old": 3})


def test_old_replicas_that_do_not_serve_go_at_once():
    step = deployments.scale(spec(1), replicas("new", 1, 0), [replicas("old", 1, 0)])
    assert step.others == {"old": 0}


def test_recreate_waits_until_nothing_old_is_left():
    first = deployments.scale(spec(2, "Recreate"), None, [replicas("old", 2, 2)])
    assert (first.create, first.others) == (False, {"old": 0})
    assert deployments.scale(spec(2, "Recreate"), None, [replicas("old", 0, 0)]).current == 2


def test_scaling_down_needs_no_rollout():
    assert deployments.scale(spec(1), replicas("new", 3, 3), []).current == 1


def test_a_template_has_one_name_whatever_the_order_of_its_keys():
    assert deployments.template_hash({"a": 1, "b": 2}) == deployments.template_hash({"b": 2, "a": 1})
    assert Deployment(meta.ObjectMeta()).spec.replicas == 1
