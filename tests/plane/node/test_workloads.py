from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kubeopencode.api import core, workloads
from kubeopencode.kube import errors


def deployment(name: str, image: str = "host", **spec: Any) -> dict[str, Any]:
    containers = [{"name": "server", "image": image, "command": ["serve"]}]
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": containers}}
    selector = {"matchLabels": {"app": name}}
    return {"metadata": {"name": name}, "spec": {"selector": selector, "template": template, **spec}}


def rolled_out(found: workloads.Deployment) -> bool:
    status = found.status
    return (
        status.observedGeneration == found.metadata.generation
        and status.updatedReplicas == status.availableReplicas == status.replicas == found.spec.replicas
    )


async def pods(plane: Any, app: str) -> list[core.Pod]:
    listing = await plane.client.list(core.PODS, "default", labels=f"app={app}")
    return [pod for pod in listing.items if pod.metadata.deletionTimestamp is None]


async def test_a_deployment_brings_about_its_pods_and_their_report(pretended):
    await pretended.create(workloads.DEPLOYMENTS, deployment("web", replicas=3))
    found = await pretended.until(workloads.DEPLOYMENTS, "web", rolled_out)
    assert {each.type: each.status for each in found.status.conditions} == {"Available": "True", "Progressing": "True"}
    assert len(await pods(pretended, "web")) == 3


async def test_a_new_template_replaces_every_pod(pretended):
    await pretended.create(workloads.DEPLOYMENTS, deployment("web", replicas=2))
    await pretended.until(workloads.DEPLOYMENTS, "web", rolled_out)
    before = {pod.metadata.uid for pod in await pods(pretended, "web")}
    change = {"spec": {"template": {"metadata": {"annotations": {"restarted": "yes"}}}}}
    await pretended.client.patch(workloads.DEPLOYMENTS, "web", change, "default")
    await pretended.until(workloads.DEPLOYMENTS, "web", rolled_out)
    after = {pod.metadata.uid for pod in await pods(pretended, "web")}
    assert len(after) == 2
    assert not before & after
    sets = (await pretended.client.list(workloads.REPLICASETS, "default")).items
    assert sorted(each.spec.replicas for each in sets) == [0, 2]


async def test_recreate_never_has_two_generations_at_once(pretended):
    await pretended.create(workloads.DEPLOYMENTS, deployment("solo", strategy={"type": "Recreate"}))
    await pretended.until(workloads.DEPLOYMENTS, "solo", rolled_out)
    change = {"spec": {"template": {"metadata": {"annotations": {"restarted": "yes"}}}}}
    await pretended.client.patch(workloads.DEPLOYMENTS, "solo", change, "default")
    await pretended.until(workloads.DEPLOYMENTS, "solo", rolled_out)
    assert len(await pods(pretended, "solo")) == 1


async def test_a_deployment_scaled_to_nothing_has_no_pods(pretended):
    await pretended.create(workloads.DEPLOYMENTS, deployment("web", replicas=2))
    await pretended.until(workloads.DEPLOYMENTS, "web", rolled_out)
    await pretended.client.patch(workloads.DEPLOYMENTS, "web", {"spec": {"replicas": 0}}, "default")
    await pretended.until(workloads.DEPLOYMENTS, "web", rolled_out)
    assert await pods(pretended, "web") == []


async def test_a_pod_that_is_deleted_is_made_anew(pretended):
    await pretended.create(workloads.DEPLOYMENTS, deployment("web"))
    await pretended.until(workloads.DEPLOYMENTS, "web", rolled_out)
    (pod,) = await pods(pretended, "web")
    await pretended.client.delete(core.PODS, pod.metadata.name, "default")
    async with asyncio.timeout(10):
        while {found.metadata.uid for found in await pods(pretended, "web")} in (set(), {pod.metadata.uid}):
            await asyncio.sleep(0.02)


async def test_everything_goes_with_its_deployment(pretended):
    await pretended.create(workloads.DEPLOYMENTS, deployment("web", replicas=2))
    await pretended.until(workloads.DEPLOYMENTS, "web", rolled_out)
    await pretended.client.delete(workloads.DEPLOYMENTS, "web", "default")
    async with asyncio.timeout(10):
        while (await pretended.client.list(core.PODS, "default")).items:
            await asyncio.sleep(0.02)


def job(name: str, command: str, **spec: Any) -> dict[str, Any]:
    pod = {"restartPolicy": "Never", "containers": [{"name": "main", "image": "host", "command": [command]}]}
    return {"metadata": {"name": name}, "spec": {"template": {"spec": pod}, **spec}}


@pytest.mark.parametrize(("command", "verdict", "counts"), [("work", "Complete", (1, 0)), ("fail", "Failed", (0, 2))])
async def test_a_job_ends_as_its_pods_do(pretended, command: str, verdict: str, counts: tuple[int, int]):
    await pretended.create(workloads.JOBS, job("batch", command, backoffLimit=1))
    found = await pretended.until(
        workloads.JOBS, "batch", lambda found: any(each.type == verdict for each in found.status.conditions)
    )
    assert (found.status.succeeded, found.status.failed) == counts


async def test_a_job_goes_when_it_was_kept_long_enough(pretended):
    await pretended.create(workloads.JOBS, job("brief", "work", ttlSecondsAfterFinished=1))
    await pretended.until_gone(workloads.JOBS, "brief")


async def test_a_claim_is_bound_and_every_namespace_has_its_account(pretended):
    await pretended.create(core.PVCS, {"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}})
    await pretended.until(core.PVCS, "data", lambda found: found.status.phase == "Bound")
    await pretended.until(core.SERVICEACCOUNTS, "default", lambda _: True)


async def test_the_node_is_registered_and_ready(pretended):
    node = await pretended.client.get(core.NODES, "local")
    assert {each["type"]: each["status"] for each in node.status.conditions} == {"Ready": "True"}
    assert int(node.status.capacity["pods"]) > 0


async def test_many_short_pods_end_quickly_and_leave_nothing(pretended):
    for number in range(60):
        await pretended.pod(f"p{number}")
    async with asyncio.timeout(20):
        while any(pod.status.phase != "Succeeded" for pod in (await pretended.client.list(core.PODS, "default")).items):
            await asyncio.sleep(0.05)
    for number in range(60):
        await pretended.client.delete(core.PODS, f"p{number}", "default")
    with pytest.raises(errors.NotFound):
        await pretended.get(core.PODS, "p0")
