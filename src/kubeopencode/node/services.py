"""The built-in controller of Services: an address, the Endpoints behind it, and a proxy between them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import msgspec

from kubeopencode.api import core, meta
from kubeopencode.kube import client, errors
from kubeopencode.node import addresses, hosts, podstatus, probing, proxy
from kubeopencode.runtime import events, outcome, store

REFUSED_SECONDS = 10.0
"""When to try again to listen where another program does."""
MANAGED = "kubeopencode.io/endpoints"


@dataclass(frozen=True)
class Parts:
    """What the controller works with. `changed` is called when a name may resolve otherwise."""

    connection: client.Client
    services: store.Store[core.Service]
    pods: store.Store[core.Pod]
    endpoints: store.Store[core.Endpoints]
    recorder: events.EventRecorder
    changed: Callable[[], None]


class Services:
    """Reconciles Services."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._addresses = addresses.Range(addresses.SERVICES)
        self._proxy = proxy.Proxy()
        self._fronts: dict[meta.Key, set[proxy.Address]] = {}

    def recall(self) -> None:
        """Remember the addresses that Services already have. Call before an address is given."""
        for service in self._parts.services.list():
            self._addresses.claim(service.metadata.uid, service.spec.clusterIP)

    def names(self) -> list[hosts.Name]:
        """Every Service and what its name resolves to."""
        found: list[hosts.Name] = []
        for service in self._parts.services.list():
            ips = (service.spec.clusterIP,) if service.spec.clusterIP not in ("", "None") else self._behind(service)
            found.append(hosts.Name(service.metadata.namespace, service.metadata.name, ips))
        return found

    def selecting(self, pod: core.Pod) -> Iterable[meta.Key]:
        """The Services that a Pod belongs to."""
        for service in self._parts.services.list(pod.metadata.namespace):
            if _selects(service, pod):
                yield service.metadata.key

    async def close(self) -> None:
        """Stop serving."""
        await self._proxy.close()

    async def reconcile(self, key: meta.Key) -> outcome.Outcome:
        """One Service: address, Endpoints, proxy."""
        service = self._parts.services.get(key)
        if service is None or service.spec.type == "ExternalName":
            self._proxy.withdraw(self._fronts.pop(key, set()))
            self._parts.changed()
            return outcome.Done()
        if not service.spec.clusterIP:
            await self._give_address(service)
            return outcome.Done()
        subsets = self._subsets(service) if service.spec.selector else self._declared(key)
        if service.spec.selector:
            await self._write(service, subsets)
        served = service.spec.clusterIP == "None" or self._serve(service, subsets)
        self._parts.changed()
        return outcome.Done() if served else outcome.Later(REFUSED_SECONDS)

    async def _give_address(self, service: core.Service) -> None:
        self.recall()
        address = self._addresses.take(service.metadata.uid)
        body = {"metadata": {"uid": service.metadata.uid}, "spec": {"clusterIP": address, "clusterIPs": [address]}}
        key = service.metadata.key
        await self._parts.connection.patch(core.SERVICES, key.name, body, key.namespace)

    def _serve(self, service: core.Service, subsets: tuple[core.EndpointSubset, ...]) -> bool:
        """Have the proxy serve every TCP port; False if another program is in the way of one."""
        fronts: dict[proxy.Address, tuple[proxy.Address, ...]] = {}
        for port in service.spec.ports:
            if port.protocol == "TCP":
                fronts[proxy.Address(service.spec.clusterIP, port.port)] = _backends(subsets, port.name)
        key = service.metadata.key
        self._proxy.withdraw(self._fronts.get(key, set()) - set(fronts))
        self._fronts[key] = set(fronts)
        refused = self._proxy.serve(fronts)
        for front, why in refused.items():
            subject = events.Subject.of(core.SERVICES, service)
            note = f"spec.ports: {front.port} cannot be served on {front.ip}: {why}"
            self._parts.recorder.record(subject, events.WARNING, "ProxyFailed", note)
        return not refused

    async def _write(self, service: core.Service, subsets: tuple[core.EndpointSubset, ...]) -> None:
        key = service.metadata.key
        known = self._parts.endpoints.get(key)
        body: meta.Json = {"subsets": msgspec.to_builtins(subsets)}
        if known is None:
            owner = {"apiVersion": "v1", "kind": "Service", "name": key.name, "uid": service.metadata.uid}
            metadata = {"name": key.name, "namespace": key.namespace, "labels": {MANAGED: "true"}}
            try:
                await self._parts.connection.create(
                    core.ENDPOINTS, {"metadata": {**metadata, "ownerReferences": [owner]}, **body}, key.namespace
                )
            except errors.AlreadyExists:
                await self._parts.connection.patch(core.ENDPOINTS, key.name, body, key.namespace)
        elif known.subsets != subsets:
            await self._parts.connection.patch(core.ENDPOINTS, key.name, body, key.namespace)

    def _declared(self, key: meta.Key) -> tuple[core.EndpointSubset, ...]:
        known = self._parts.endpoints.get(key)
        return known.subsets if known else ()

    def _behind(self, service: core.Service) -> tuple[str, ...]:
        subsets = self._subsets(service) if service.spec.selector else self._declared(service.metadata.key)
        return tuple(address.ip for subset in subsets for address in subset.addresses)

    def _subsets(self, service: core.Service) -> tuple[core.EndpointSubset, ...]:
        """The Pods behind a Service, grouped by the ports that lead to them."""
        groups: dict[tuple[core.EndpointPort, ...], tuple[list[core.EndpointAddress], list[core.EndpointAddress]]] = {}
        pods = [pod for pod in self._parts.pods.list(service.metadata.namespace) if _selects(service, pod)]
        for pod in sorted(pods, key=lambda pod: pod.metadata.name):
            if not pod.status.podIP or pod.metadata.deletionTimestamp or podstatus.finished(pod):
                continue
            reference = core.TargetRef("Pod", pod.metadata.namespace, pod.metadata.name, pod.metadata.uid)
            address = core.EndpointAddress(pod.status.podIP, nodeName=pod.spec.nodeName, targetRef=reference)
            serving = service.spec.publishNotReadyAddresses or podstatus.ready(pod)
            groups.setdefault(_ports(service, pod), ([], []))[0 if serving else 1].append(address)
        return tuple(
            core.EndpointSubset(tuple(serving), tuple(others), ports) for ports, (serving, others) in groups.items()
        )


def _selects(service: core.Service, pod: core.Pod) -> bool:
    wanted = service.spec.selector
    return bool(wanted) and all(pod.metadata.labels.get(name) == value for name, value in wanted.items())


def _ports(service: core.Service, pod: core.Pod) -> tuple[core.EndpointPort, ...]:
    """The Service's ports as this Pod has them; a name that the Pod lacks leads nowhere."""
    found: list[core.EndpointPort] = []
    for port in service.spec.ports:
        for container in pod.spec.containers:
            try:
                number = probing.port(container, port.targetPort or port.port)
            except probing.Failed:
                continue
            found.append(core.EndpointPort(number, port.name, port.protocol))
            break
    return tuple(found)


def _backends(subsets: tuple[core.EndpointSubset, ...], name: str) -> tuple[proxy.Address, ...]:
    return tuple(
        proxy.Address(address.ip, port.port)
        for subset in subsets
        for port in subset.ports
        if port.name == name
        for address in subset.addresses
    )
