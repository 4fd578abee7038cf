"""The real kubectl against the server, over TLS."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.plane.apiserver.plane import CRD

from kubeopencode.apiserver import certificates
from kubeopencode.apiserver.server import ApiServer

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")

Kubectl = Callable[..., Awaitable[tuple[int, str]]]
DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: c, image: "nginx:1", env: [{name: A, value: "1"}], ports: [{containerPort: 80}]}
"""
TASK = "apiVersion: example.io/v1\nkind: Task\nmetadata: {name: t}\nspec: {size: 2}\n"


@pytest.fixture
async def kubectl(server: ApiServer, tmp_path: Path) -> Kubectl:
    port = await server.listen_tcp("127.0.0.1", 0, certificates.context(tmp_path))
    cluster = {"server": f"https://127.0.0.1:{port}", "certificate-authority": str(tmp_path / "ca.crt")}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "a", "cluster": cluster}],
        "users": [{"name": "a", "user": {"token": "secret"}}],
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
        "current-context": "a",
    }
    path = tmp_path / "config"
    path.write_text(json.dumps(config))

    async def run(*args: str, given: str = "", **environment: str) -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            "kubectl",
            f"--cache-dir={tmp_path}/cache",
            *args,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={"KUBECONFIG": str(path), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)} | environment,
        )
        output, _ = await asyncio.wait_for(process.communicate(given.encode()), 30)
        return process.returncode or 0, output.decode()

    return run


@pytest.fixture
async def with_tasks(kubectl: Kubectl) -> Kubectl:
    assert (await kubectl("apply", "-f", "-", given=json.dumps(CRD)))[0] == 0
    assert (await kubectl("wait", "--for=condition=Established", "crd/tasks.example.io", "--timeout=5s"))[0] == 0
    return kubectl


async def test_generators_send_protobuf_and_are_understood(kubectl: Kubectl) -> None:
    assert await kubectl("create", "namespace", "n") == (0, "namespace/n created\n")
    assert await kubectl("create", "configmap", "m", "--from-literal=a=b") == (0, "configmap/m created\n")
    assert await kubectl("create", "secret", "generic", "s", "--from-literal=p=q") == (0, "secret/s created\n")
    assert await kubectl("create", "serviceaccount", "me") == (0, "serviceaccount/me created\n")
    assert await kubectl("create", "deployment", "d", "--image=nginx") == (0, "deployment.apps/d created\n")
    assert await kubectl("get", "secret", "s", "-o", "jsonpath={.data.p}") == (0, "cQ==")
    image = "jsonpath={.spec.template.spec.containers[0].image}"
    assert await kubectl("get", "deploy", "d", "-o", image) == (0, "nginx")


async def test_apply_both_ways(kubectl: Kubectl) -> None:
    assert await kubectl("apply", "-f", "-", given=DEPLOYMENT) == (0, "deployment.apps/web created\n")
    changed = DEPLOYMENT.replace('"1"}', '"2"}')
    assert await kubectl("apply", "-f", "-", given=changed) == (0, "deployment.apps/web configured\n")
    assert await kubectl("apply", "-f", "-", given=changed) == (0, "deployment.apps/web unchanged\n")
    code, output = await kubectl("apply", "--server-side", "-f", "-", given=DEPLOYMENT)
    assert code == 1
    assert (
        'Apply failed with 1 conflict: conflict with "kubectl-client-side-apply" using apps/v1: '
        '.spec.template.spec.containers[name="c"].env[name="A"].value'
    ) in output
    forced = await kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", given=DEPLOYMENT)
    assert forced == (0, "deployment.apps/web serverside-applied\n")
    containers = json.loads((await kubectl("get", "deploy", "web", "-o", "json"))[1])["spec"]["template"]["spec"]
    [container] = containers["containers"]
    assert (container["env"], len(container["ports"])) == ([{"name": "A", "value": "1"}], 1)


async def test_custom_resources_from_cradle_to_grave(with_tasks: Kubectl) -> None:
    kubectl = with_tasks
    assert await kubectl("apply", "-f", "-", given=TASK) == (0, "task.example.io/t created\n")
    code, output = await kubectl("apply", "-f", "-", given=TASK.replace("size: 2", "size: 2, sise: 3"))
    assert (code, 'unknown field "spec.sise"' in output) == (1, True)
    code, output = await kubectl("apply", "-f", "-", given=TASK.replace("size: 2", "size: 12"))
    assert (code, 'spec: Invalid value: "object": too big' in output) == (1, True)
    assert (await kubectl("get", "tk"))[1].split() == ["NAME", "SIZE", "READY", "t", "2"]
    assert (await kubectl("label", "tk", "t", "a=b"))[0] == 0
    assert (await kubectl("annotate", "tk", "t", "a=b"))[0] == 0
    assert (await kubectl("edit", "tk", "t", KUBE_EDITOR="sed -i s/size:.2/size:\\ 3/"))[0] == 0
    done = '{"status":{"phase":"Done"}}'
    assert (await kubectl("patch", "tk", "t", "--subresource=status", "--type=merge", "-p", done))[0] == 0
    assert (await kubectl("wait", "--for=jsonpath={.status.phase}=Done", "tk/t", "--timeout=5s"))[0] == 0
    code, output = await kubectl("describe", "tk", "t")
    assert (code, "Size:    3" in output or "Size:  3" in output) == (0, True)
    assert (await kubectl("scale", "tk", "t", "--replicas=4"))[0] == 0
    assert (await kubectl("delete", "tk", "t", "--timeout=5s"))[1].startswith('task.example.io "t" deleted')
    assert await kubectl("get", "tk") == (0, "No resources found in default namespace.\n")


async def test_explain_reads_the_schema(with_tasks: Kubectl) -> None:
    assert "steps\t<[]Object>" in (await with_tasks("explain", "task.spec"))[1]
    assert "restartPolicy" in (await with_tasks("explain", "pod.spec"))[1]


async def test_pods_speak(kubectl: Kubectl) -> None:
    pod = "kind: Pod\napiVersion: v1\nmetadata: {name: p}\nspec: {nodeName: here, containers: [{name: c, image: i}]}\n"
    assert (await kubectl("apply", "-f", "-", given=pod))[0] == 0
    assert await kubectl("logs", "p", "--tail=3") == (0, "c tail=3 follow=False\n")
    assert await kubectl("exec", "p", "--", "echo", "hi") == (0, "echo hi\n")
    assert await kubectl("exec", "-i", "p", "--", "cat", given="through\n") == (0, "through\n")
    assert (await kubectl("exec", "p", "--", "fail"))[0] == 7
    assert (await kubectl("delete", "pod", "p", "--grace-period=0", "--force"))[0] == 0


async def test_identity_and_rights(kubectl: Kubectl) -> None:
    assert await kubectl("auth", "can-i", "create", "pods") == (0, "yes\n")
    assert "me" in (await kubectl("auth", "whoami"))[1]


async def test_a_port_is_forwarded_in_both_directions(kubectl: Kubectl, tmp_path: Path) -> None:
    async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.read()).upper())
        await writer.drain()
        writer.close()

    pod = "kind: Pod\napiVersion: v1\nmetadata: {name: p}\nspec: {nodeName: here, containers: [{name: c, image: i}]}\n"
    assert (await kubectl("apply", "-f", "-", given=pod))[0] == 0
    state = '{"status":{"phase":"Running"}}'
    assert (await kubectl("patch", "pod", "p", "--subresource=status", "--type=merge", "-p", state))[0] == 0
    server = await asyncio.start_server(shout, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        process = await asyncio.create_subprocess_exec(
            "kubectl",
            "port-forward",
            "pod/p",
            f":{port}",
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={"KUBECONFIG": str(tmp_path / "config"), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        )
        try:
            assert process.stdout is not None
            line = (await asyncio.wait_for(process.stdout.readline(), 10)).decode()
            assert line.startswith("Forwarding from 127.0.0.1:"), line
            local = int(line.split(":")[1].split()[0])
            for size in (5, 200_000):
                reader, writer = await asyncio.open_connection("127.0.0.1", local)
                writer.write(b"a" * size)
                writer.write_eof()
                assert await asyncio.wait_for(reader.read(), 10) == b"A" * size
                writer.close()
        finally:
            process.terminate()
            await process.wait()
