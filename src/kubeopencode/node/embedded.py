"""The node of the embedded plane: the kubelet, the built-in controllers and the Node object, put together.

This is the only module of the room that knows all others. It decides nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from kubeopencode.api import core, meta, workloads
from kubeopencode.kube import client, errors
from kubeopencode.node import (
    catalogue,
    claims,
    deployments,
    gateway,
    jobs,
    launching,
    pods,
    podstatus,
    probing,
    processes,
    replicasets,
    services,
)
from kubeopencode.node.runner import Runner
from kubeopencode.runtime import clock, controller, converge, events, manager, reflector, store

T = TypeVar("T", bound=meta.Object)

PODS = reflector.Source(core.PODS, trim=podstatus.remembered)
CAPACITY_PODS = 1000
HOSTS_PAUSE = 0.05
"""Seconds to wait for more changes before hosts files are rewritten."""


@dataclass(frozen=True)
class NodeSettings:
    """How a node is set up. `data` holds everything it keeps.

    `isolation` is "bubblewrap", or "none" for plain processes without a sandbox (only for Pods without mounts).
    A `runner` replaces processes altogether.
    """

    data: Path
    opencode: Path | None = None
    catalogue: Path | None = None
    isolation: str = "bubblewrap"
    cluster_domain: str = "cluster.local"
    name: str = "local"
    runner: Runner | None = None
    share: tuple[Path, ...] = ()
    """Folders of this machine that Pods may mount as hostPath."""
    refusal: type[Exception] = gateway.KubeletError
    """What `gateway` raises when it cannot do what was asked."""


class Node:
    """Makes Pods real on this machine. `await start()`, `await stop()`; `gateway` serves the API server."""

    def __init__(self, connection: client.Client, settings: NodeSettings, time: clock.Clock = clock.SYSTEM) -> None:
        if settings.isolation not in ("bubblewrap", "none"):
            raise ValueError(f'isolation: "{settings.isolation}" is neither bubblewrap nor none')
        self._settings = settings
        self._time = time
        root = settings.data / "pods"
        self._runner = settings.runner or processes.ProcessRunner(root, sandboxed=settings.isolation == "bubblewrap")
        self._manager = manager.Manager(connection, time=time, tuning=manager.Tuning(drain_seconds=5))
        self._client = self._manager.client
        self._recorder = events.EventRecorder(self._client, "kubelet", settings.name, time)
        self._prober = probing.Prober(self._runner, time)
        self._pods = self._store(core.PODS)
        self._pods.add_index("owner", converge.owner_uids)
        self._services = services.Services(
            services.Parts(
                self._client,
                self._store(core.SERVICES),
                self._pods,
                self._store(core.ENDPOINTS),
                self._recorder,
                self._names_changed,
            )
        )
        self._kubelet = self._make_kubelet(root)
        self._add_controllers()
        self._tasks: list[asyncio.Task[None]] = []
        self._hosts_timer: clock.Timer | None = None
        self.gateway = gateway.Gateway(self._pods, self._runner, settings.refusal)

    async def start(self) -> None:
        """Register the Node, adopt what an earlier life has left, and begin. Returns when all is listed."""
        (self._settings.data / "pods").mkdir(parents=True, exist_ok=True, mode=0o700)
        await self._runner.prepare()
        await self._register()
        self._kubelet.recall()
        self._tasks = [asyncio.create_task(self._manager.run(), name="node")]
        self._tasks.append(asyncio.create_task(self._recorder.run(), name="node events"))
        synced = asyncio.create_task(self._manager.wait_synced())
        await asyncio.wait([synced, self._tasks[0]], return_when=asyncio.FIRST_COMPLETED)
        if not synced.done():
            synced.cancel()
            await self._tasks[0]
        await self._kubelet.sweep()

    async def wait(self) -> None:
        """Wait for the end of the node's work: after `stop`, or with what it could not survive, which is raised."""
        await asyncio.shield(self._tasks[0])

    async def stop(self, *, keep_running: bool = False) -> None:
        """End the node's work; containers are ended too unless a later node shall adopt them."""
        self._manager.stop()
        if self._hosts_timer is not None:
            self._hosts_timer.cancel()
        with contextlib.suppress(Exception):
            await asyncio.gather(*self._tasks[:1])
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._kubelet.close(keep_running=keep_running)
        await self._services.close()
        await self._prober.close()

    def _store(self, resource: meta.Resource[T]) -> store.Store[T]:
        return self._manager.store(_source(resource))

    def _make_kubelet(self, root: Path) -> pods.Kubelet:
        settings = self._settings
        images = catalogue.Catalogue(settings.data / "programs", settings.opencode, settings.catalogue)
        launcher = launching.Launcher(self._client, images, settings.data / "volumes", settings.name, settings.share)
        parts = pods.Parts(
            self._client,
            self._runner,
            launcher,
            self._prober,
            self._recorder,
            self._pods,
            root,
            settings.cluster_domain,
            self._time,
        )
        return pods.Kubelet(parts, self._wake, self._services.names)

    def _add_controllers(self) -> None:
        sets = self._store(workloads.REPLICASETS)
        sets.add_index("owner", converge.owner_uids)
        replicas = replicasets.ReplicaSets(self._client, sets, self._pods, self._time)
        rollouts = deployments.Deployments(self._client, self._store(workloads.DEPLOYMENTS), sets, self._time)
        runs = jobs.Jobs(self._client, self._store(workloads.JOBS), self._pods, self._time)
        volumes = claims.Claims(self._client, self._store(core.PVCS), self._pods, self._settings.data / "volumes")
        accounts = claims.Accounts(self._client, self._store(core.NAMESPACES), self._store(core.SERVICEACCOUNTS))
        self._pod_controller = self._add("kubelet", self._kubelet.reconcile, _own(core.PODS))
        to_services = controller.Watch(PODS, self._services.selecting)
        self._add("service", self._services.reconcile, _own(core.SERVICES), to_services, _own(core.ENDPOINTS))
        self._add(
            "replicaset", replicas.reconcile, _own(workloads.REPLICASETS), _owned(core.PODS, workloads.REPLICASETS)
        )
        self._add(
            "deployment",
            rollouts.reconcile,
            _own(workloads.DEPLOYMENTS),
            _owned(workloads.REPLICASETS, workloads.DEPLOYMENTS),
        )
        self._add("job", runs.reconcile, _own(workloads.JOBS), _owned(core.PODS, workloads.JOBS))
        self._add("claim", volumes.reconcile, _own(core.PVCS))
        self._add("serviceaccount", accounts.reconcile, _own(core.NAMESPACES))

    def _add(
        self, name: str, reconcile: controller.Reconcile, *watches: controller.Watch[Any]
    ) -> controller.Controller:
        added = controller.Controller(
            f"node-{name}", reconcile, watches=watches, tuning=controller.Tuning(longest_retry=30), time=self._time
        )
        self._manager.add(added)
        return added

    def _wake(self, key: meta.Key) -> None:
        self._pod_controller.enqueue(key)

    def _names_changed(self) -> None:
        """Rewrite hosts files soon, once for all changes of a moment."""
        if self._hosts_timer is None:
            self._hosts_timer = self._time.call_later(HOSTS_PAUSE, self._write_hosts)

    def _write_hosts(self) -> None:
        self._hosts_timer = None
        self._kubelet.write_hosts()

    async def _register(self) -> None:
        """Create or refresh the Node object."""
        name = self._settings.name
        labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}
        with contextlib.suppress(errors.AlreadyExists):
            await self._client.create(core.NODES, {"metadata": {"name": name, "labels": labels}})
        await self._client.patch(core.NODES, name, {"status": _node_status(name)}, options=client.STATUS)


def _source(resource: meta.Resource[Any]) -> reflector.Source[Any]:
    return PODS if resource is core.PODS else reflector.Source(resource)


def _own(resource: meta.Resource[Any]) -> controller.Watch[Any]:
    return controller.Watch(_source(resource))


def _owned(resource: meta.Resource[Any], owner: meta.Resource[Any]) -> controller.Watch[Any]:
    return controller.Watch(_source(resource), controller.owner_key(owner.group, owner.kind))


def _node_status(name: str) -> meta.Json:
    """What this machine offers, and that it is ready."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 1024
    offered = {"cpu": str(os.cpu_count() or 1), "memory": f"{memory}Ki", "pods": str(CAPACITY_PODS)}
    moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "the embedded node is ready"}
    return {
        "capacity": offered,
        "allocatable": offered,
        "conditions": [{**ready, "lastHeartbeatTime": moment, "lastTransitionTime": moment}],
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}, {"type": "Hostname", "address": name}],
        "nodeInfo": {
            "architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine()),
            "kernelVersion": platform.release(),
            "operatingSystem": "linux",
            "osImage": platform.platform(),
            "containerRuntimeVersion": "bubblewrap://kubeopencode",
            "kubeletVersion": "v1.35.0-kubeopencode",
            "kubeProxyVersion": "v1.35.0-kubeopencode",
            "bootID": "",
            "machineID": "",
            "systemUUID": "",
        },
    }
