from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kubeopencode.api import core
from kubeopencode.api.meta import Key
from kubeopencode.apiserver.gateway import ExecRequest, KubeletError, LogRequest
from kubeopencode.node import programs


def work(image: str, **more: Any) -> dict[str, Any]:
    mounts = [{"name": "work", "mountPath": "/workspace"}, {"name": "tools", "mountPath": "/tools"}]
    env = [{"name": "WORKSPACE_DIR", "value": "/workspace"}, {"name": "TOOLS_DIR", "value": "/tools"}]
    return {"image": f"quay.io/kubeopencode/{image}", "volumeMounts": mounts, "env": env, "command": [], **more}


VOLUMES = [{"name": "work", "emptyDir": {}}, {"name": "tools", "emptyDir": {}}]


async def test_the_echo_agent_prints_what_it_was_given(plane):
    writes = {"name": "writes", **work("kubeopencode-agent-echo", command=["sh", "-c", "echo do it > task.md"])}
    await plane.pod("echo", main=work("kubeopencode-agent-echo"), initContainers=[writes], volumes=VOLUMES)
    await plane.until_phase("echo", "Succeeded")
    assert await plane.logs("echo") == "=== Task Content ===\ndo it\n\n=== Task Completed ===\n"


async def test_the_system_image_runs_our_own_program(plane):
    main = work("kubeopencode", command=["/kubeopencode"], args=["no-such-subcommand"])
    await plane.pod("system", main=main, volumes=VOLUMES)
    await plane.until_phase("system", "Failed")
    assert "no-such-subcommand" in await plane.logs("system")


@pytest.mark.skipif(programs.opencode() is None, reason="the OpenCode binary is not installed here")
async def test_the_agent_image_brings_a_working_opencode(plane_with_opencode):
    plane = plane_with_opencode
    brings = {"name": "brings", **work("kubeopencode-agent-opencode")}
    main = work("kubeopencode-agent-devbox", command=["sh", "-c", "HOME=/tmp /tools/opencode --version"])
    await plane.pod("agent", main=main, initContainers=[brings], volumes=VOLUMES)
    await plane.until_phase("agent", "Succeeded")
    assert (await plane.logs("agent")).strip() == programs.VERSION


async def test_logs_can_be_cut_and_followed_to_the_end(plane):
    await plane.pod("talks", "echo one; echo two; echo three")
    await plane.until_phase("talks", "Succeeded")
    tail = LogRequest(Key("default", "talks"), tail=2)
    assert b"".join([piece async for piece in plane.node.gateway.logs(tail)]) == b"two\nthree\n"
    cut = LogRequest(Key("default", "talks"), limit_bytes=5)
    assert b"".join([piece async for piece in plane.node.gateway.logs(cut)]) == b"one\nt"
    followed = LogRequest(Key("default", "talks"), follow=True, timestamps=True)
    lines = [piece async for piece in plane.node.gateway.logs(followed)]
    assert len(lines) == 3
    assert lines[0].startswith(b"20")


async def test_a_log_is_followed_while_the_container_still_writes(plane):
    await plane.pod("slow", "echo one; sleep 0.3; echo two")
    await plane.until_phase("slow", "Running")
    request = LogRequest(Key("default", "slow"), follow=True)
    assert [piece async for piece in plane.node.gateway.logs(request)] == [b"one\n", b"two\n"]


async def test_a_command_runs_in_a_pod_through_the_gateway(plane, tmp_path: Path):
    await plane.pod("box", "sleep 100")
    await plane.until_phase("box", "Running")
    session = await plane.node.gateway.exec(ExecRequest(Key("default", "box"), ("sh", "-c", "hostname; exit 3")))
    assert b"".join([piece async for _, piece in session.output()]) == b"box\n"
    assert await session.wait() == 3
    await session.close()


async def test_what_cannot_be_served_is_refused_in_words(plane):
    with pytest.raises(KubeletError, match="is not known"):
        await plane.node.gateway.exec(ExecRequest(Key("default", "nobody"), ("true",)))
    await plane.pod("over", "true")
    await plane.until_phase("over", "Succeeded")
    with pytest.raises(KubeletError, match="not running"):
        await plane.node.gateway.exec(ExecRequest(Key("default", "over"), ("true",)))
    pieces = plane.node.gateway.logs(LogRequest(Key("default", "over"), previous=True))
    with pytest.raises(KubeletError, match="previous terminated container"):
        await anext(pieces)


@pytest.mark.skipif(programs.opencode() is None, reason="the OpenCode binary is not installed here")
async def test_two_opencode_servers_share_a_port_and_end_at_once_when_asked(plane_with_opencode):
    plane = plane_with_opencode
    probe = {"httpGet": {"path": "/global/health", "port": 4096}, "periodSeconds": 1, "failureThreshold": 30}
    serve = "HOME=/tmp exec /opt/kubeopencode/opencode serve --port 4096 --hostname $KUBEOPENCODE_LISTEN"
    env = [{"name": name, "value": "1"} for name in ("OPENCODE_DISABLE_MODELS_FETCH", "npm_config_offline")]
    main = work("kubeopencode-agent-devbox", command=["sh", "-c", serve], startupProbe=probe, env=env)
    for name in ("first", "second"):
        await plane.pod(name, main=main, volumes=VOLUMES, restartPolicy="Always", terminationGracePeriodSeconds=30)
    for name in ("first", "second"):
        await plane.until(core.PODS, name, lambda pod: any(
            found.type == "Ready" and found.status == "True" for found in pod.status.conditions
        ))  # fmt: skip
        await plane.client.delete(core.PODS, name, "default")
    for name in ("first", "second"):
        await plane.until_gone(core.PODS, name)
