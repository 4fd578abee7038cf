from __future__ import annotations

import asyncio
import contextlib
import socket
from pathlib import Path
from typing import Any

from kubeopencode.api import core
from kubeopencode.api.meta import Key

SERVE = "exec /usr/bin/python3 -m http.server 8080 --bind $KUBEOPENCODE_LISTEN"
PROBE = {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 1}


async def serve(plane: Any, name: str) -> None:
    main = {"ports": [{"name": "http", "containerPort": 8080}], "readinessProbe": PROBE}
    await plane.pod(name, SERVE, main=main, restartPolicy="Always")


async def service(plane: Any, name: str, **spec: Any) -> None:
    spec = {"selector": {"app": name}, "ports": [{"name": "http", "port": 18081, "targetPort": "http"}], **spec}
    await plane.create(core.SERVICES, {"metadata": {"name": name}, "spec": spec})


def serves(found: core.Endpoints) -> bool:
    return any(subset.addresses for subset in found.subsets)


async def answer(ip: str, port: int) -> bytes:
    async with asyncio.timeout(10):
        while True:
            with contextlib.suppress(OSError):
                reader, writer = await asyncio.open_connection(ip, port)
                writer.write(b"GET / HTTP/1.0\r\n\r\n")
                said = await reader.read()
                writer.close()
                if said:
                    return said
            await asyncio.sleep(0.05)


async def test_a_service_has_an_address_that_leads_to_its_ready_pods(plane):
    await service(plane, "web")
    await serve(plane, "web")
    found = await plane.until(core.ENDPOINTS, "web", serves)
    assert found.subsets[0].ports[0].port == 8080
    ip = (await plane.get(core.SERVICES, "web")).spec.clusterIP
    assert (await answer(ip, 18081)).startswith(b"HTTP/1.0 200")


async def test_service_names_resolve_inside_running_sandboxes(plane):
    script = "until getent hosts late.default.svc.cluster.local; do sleep 0.05; done; getent hosts late | wc -l"
    await plane.pod("asks", script)
    await plane.until_phase("asks", "Running")
    await service(plane, "late")
    await plane.until_phase("asks", "Succeeded")
    ip = (await plane.get(core.SERVICES, "late")).spec.clusterIP
    assert (await plane.logs("asks")).startswith(ip)


async def test_a_headless_service_resolves_to_its_pods(plane):
    await service(plane, "head", clusterIP="None")
    await serve(plane, "head")
    await plane.until(core.ENDPOINTS, "head", serves)
    pod = await plane.get(core.PODS, "head")
    hosts = Path(plane.data / "node/pods" / pod.metadata.uid / "etc/hosts")
    async with asyncio.timeout(5):
        while f"{pod.status.podIP}\thead.default.svc" not in hosts.read_text():
            await asyncio.sleep(0.02)


async def test_a_service_that_goes_stops_listening(plane):
    await service(plane, "gone")
    found = await plane.until(core.SERVICES, "gone", lambda found: found.spec.clusterIP)
    ip = found.spec.clusterIP

    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((ip, 18081)) == 0

    async with asyncio.timeout(10):
        while not listens():
            await asyncio.sleep(0.02)
        await plane.client.delete(core.SERVICES, "gone", "default")
        while listens():
            await asyncio.sleep(0.02)


async def test_a_connection_to_a_pod_can_be_opened_for_port_forward(plane):
    await serve(plane, "dialled")
    await plane.until(core.PODS, "dialled", lambda pod: any(
        found.type == "Ready" and found.status == "True" for found in pod.status.conditions
    ))  # fmt: skip
    reader, writer = await plane.node.gateway.dial(Key("default", "dialled"), 8080)
    writer.write(b"GET / HTTP/1.0\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.0 200")
    writer.close()
