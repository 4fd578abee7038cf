from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from kubeopencode.api import core
from kubeopencode.kube.client import DeleteOptions


def waiting(reason: str, words: str) -> Callable[[core.Pod], bool]:
    """The first container waits for this reason (one of those, with "|" between) and says these words."""

    def check(pod: core.Pod) -> bool:
        found = pod.status.containerStatuses[0].state.waiting if pod.status.containerStatuses else None
        return bool(found and found.reason in reason.split("|") and words in found.message)

    return check


SERVE = "exec /usr/bin/python3 -m http.server 8080 --bind $KUBEOPENCODE_LISTEN"


async def test_a_pod_runs_to_its_end(plane):
    await plane.pod("once", "echo hello; printf bye > /dev/termination-log")
    pod = await plane.until_phase("once", "Succeeded")
    ended = pod.status.containerStatuses[0].state.terminated
    assert (ended.exitCode, ended.reason, ended.message) == (0, "Completed", "bye")
    assert pod.spec.nodeName == "local"
    assert await plane.logs("once") == "hello\n"


async def test_a_failing_pod_tells_its_exit_code_and_its_last_words(plane):
    await plane.pod("bad", "echo wrong; exit 3", main={"terminationMessagePolicy": "FallbackToLogsOnError"})
    pod = await plane.until_phase("bad", "Failed")
    ended = pod.status.containerStatuses[0].state.terminated
    assert (ended.exitCode, ended.reason, ended.message) == (3, "Error", "wrong\n")


async def test_init_containers_share_volumes_with_the_main_container_in_order(plane):
    def init(name: str) -> dict[str, object]:
        script = f"echo {name} >> /place/order"
        mount = [{"name": "work", "mountPath": "/place"}]
        return {"name": name, "image": "host", "command": ["/bin/sh", "-c", script], "volumeMounts": mount}

    await plane.pod(
        "ordered", "cat /place/order", main={"volumeMounts": [{"name": "work", "mountPath": "/place"}]},
        initContainers=[init("one"), init("two")], volumes=[{"name": "work", "emptyDir": {}}],
    )  # fmt: skip
    await plane.until_phase("ordered", "Succeeded")
    assert await plane.logs("ordered") == "one\ntwo\n"


async def test_a_sidecar_serves_the_main_container_and_ends_with_it(plane):
    sidecar = {
        "name": "side", "image": "host", "restartPolicy": "Always",
        "command": ["/bin/sh", "-c", "echo up > /shared/side; trap 'exit 0' TERM; while :; do sleep 0.05; done"],
        "startupProbe": {"exec": {"command": ["test", "-e", "/shared/side"]}, "periodSeconds": 1},
        "volumeMounts": [{"name": "shared", "mountPath": "/shared"}],
    }  # fmt: skip
    await plane.pod(
        "pair", "cat /shared/side", main={"volumeMounts": [{"name": "shared", "mountPath": "/shared"}]},
        initContainers=[sidecar], volumes=[{"name": "shared", "emptyDir": {}}],
    )  # fmt: skip
    pod = await plane.until_phase("pair", "Succeeded")
    assert await plane.logs("pair") == "up\n"
    assert pod.status.initContainerStatuses[0].state.terminated is not None


async def test_config_and_secrets_reach_the_container(plane):
    await plane.create(core.CONFIGMAPS, {"metadata": {"name": "cm"}, "data": {"file": "content"}})
    secret = base64.b64encode(b"hush").decode()
    await plane.create(core.SECRETS, {"metadata": {"name": "se"}, "data": {"token": secret}})
    await plane.pod(
        "wired", 'echo "$TOKEN $(cat /etc/app/file) $NAME"; ls -l /keys/token',
        main={
            "env": [
                {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "se", "key": "token"}}},
                {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            ],
            "volumeMounts": [{"name": "cm", "mountPath": "/etc/app"}, {"name": "se", "mountPath": "/keys"}],
        },
        volumes=[
            {"name": "cm", "configMap": {"name": "cm"}},
            {"name": "se", "secret": {"secretName": "se", "defaultMode": 0o400}},
        ],
    )  # fmt: skip
    await plane.until_phase("wired", "Succeeded")
    said = await plane.logs("wired")
    assert said.startswith("hush content wired\n-r--------")


async def test_a_missing_secret_is_waited_for_with_its_name(plane):
    env = [{"name": "T", "valueFrom": {"secretKeyRef": {"name": "later", "key": "token"}}}]
    await plane.pod("waits", "echo $T", main={"env": env})

    await plane.until(core.PODS, "waits", waiting("CreateContainerConfigError", '"later" not found'))
    await plane.create(core.SECRETS, {"metadata": {"name": "later"}, "data": {"token": "aGk="}})
    await plane.until_phase("waits", "Succeeded")
    assert await plane.logs("waits") == "hi\n"


async def test_an_unknown_image_cannot_be_pulled_and_says_what_can(plane):
    await plane.pod("strange", "true", main={"image": "docker.io/library/nginx"})

    pod = await plane.until(core.PODS, "strange", waiting("ErrImagePull|ImagePullBackOff", "images.yaml"))
    assert pod.status.phase == "Pending"


async def test_a_crashing_container_is_restarted_and_then_backs_off(plane):
    await plane.pod("crashes", "exit 1", restartPolicy="Always")

    def backs_off(pod) -> bool:
        found = pod.status.containerStatuses
        waiting = found[0].state.waiting if found else None
        return bool(waiting and waiting.reason == "CrashLoopBackOff" and found[0].restartCount == 1)

    pod = await plane.until(core.PODS, "crashes", backs_off)
    assert pod.status.phase == "Running"
    assert pod.status.containerStatuses[0].lastState.terminated.exitCode == 1


async def test_a_probed_server_becomes_ready_and_answers_at_its_own_address(plane):
    probe = {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 1}
    main = {"ports": [{"name": "http", "containerPort": 8080}], "readinessProbe": probe, "startupProbe": probe}
    for name in ("one", "two"):
        await plane.pod(name, SERVE, main=main, restartPolicy="Always")
    for name in ("one", "two"):
        await plane.until(core.PODS, name, lambda pod: any(
            found.type == "Ready" and found.status == "True" for found in pod.status.conditions
        ))  # fmt: skip
    addresses = {(await plane.get(core.PODS, name)).status.podIP for name in ("one", "two")}
    assert len(addresses) == 2
    assert all(address.startswith("127.") for address in addresses)


async def test_a_container_that_fails_its_liveness_probe_is_restarted(plane):
    probe = {"exec": {"command": ["false"]}, "periodSeconds": 1, "failureThreshold": 1}
    script = "trap 'exit 0' TERM; while :; do sleep 0.05; done"
    await plane.pod("sick", script, main={"livenessProbe": probe}, restartPolicy="Always")
    await plane.until(
        core.PODS, "sick", lambda pod: pod.status.containerStatuses and pod.status.containerStatuses[0].restartCount > 0
    )


async def test_a_deleted_pod_is_asked_first_and_goes_with_all_its_processes(plane):
    script = "trap 'exit 0' TERM; setsid sleep 5151 & while :; do sleep 0.05; done"
    pod = await plane.pod("leaves", script)
    await plane.until_phase("leaves", "Running")
    await plane.client.delete(core.PODS, "leaves", "default")
    await plane.until_gone(core.PODS, "leaves")
    commands = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert not any(b"sleep\x005151" in command for command in commands)
    async with asyncio.timeout(5):
        while (plane.data / "node/pods" / pod.metadata.uid).exists():
            await asyncio.sleep(0.02)


async def test_a_pod_that_does_not_listen_is_killed_when_its_grace_is_over(plane):
    await plane.pod("stubborn", "trap '' TERM; while :; do sleep 0.05; done", terminationGracePeriodSeconds=1)
    await plane.until_phase("stubborn", "Running")
    await plane.client.delete(core.PODS, "stubborn", "default")
    await plane.until_gone(core.PODS, "stubborn")


async def test_a_hook_runs_before_the_stop(plane):
    hook = {"preStop": {"exec": {"command": ["/bin/sh", "-c", "echo hook > /claim/hook"]}}}
    await plane.create(core.PVCS, {"metadata": {"name": "claim"}, "spec": {"accessModes": ["ReadWriteOnce"]}})
    mounts = [{"name": "claim", "mountPath": "/claim"}]
    await plane.pod(
        "hooked", "trap 'exit 0' TERM; while :; do sleep 0.05; done", main={"lifecycle": hook, "volumeMounts": mounts},
        volumes=[{"name": "claim", "persistentVolumeClaim": {"claimName": "claim"}}],
    )  # fmt: skip
    await plane.until_phase("hooked", "Running")
    await plane.client.delete(core.PODS, "hooked", "default")
    await plane.until_gone(core.PODS, "hooked")
    assert [path.read_text() for path in plane.data.glob("node/volumes/default/claim-*/hook")] == ["hook\n"]
    await plane.client.delete(core.PVCS, "claim", "default")
    async with asyncio.timeout(10):
        while list(plane.data.glob("node/volumes/default/claim-*")):
            await asyncio.sleep(0.05)


async def test_a_pod_past_its_deadline_fails_for_that_reason(plane):
    await plane.pod("late", "sleep 100", activeDeadlineSeconds=1, terminationGracePeriodSeconds=0)
    pod = await plane.until_phase("late", "Failed")
    assert pod.status.reason == "DeadlineExceeded"


async def test_a_new_node_adopts_running_pods_and_reports_what_ended_meanwhile(plane):
    await plane.pod("lasting", "trap 'exit 0' TERM; while [ ! -e /dev/shm/stop ]; do sleep 0.05; done")
    await plane.pod("passing", "sleep 0.5; exit 4")
    running = await plane.until_phase("lasting", "Running")
    await plane.until_phase("passing", "Running")
    await plane.node.stop(keep_running=True)
    await asyncio.sleep(0.8)
    await plane.reborn()
    ended = await plane.until_phase("passing", "Failed")
    assert ended.status.containerStatuses[0].state.terminated.exitCode == 4
    after = await plane.get(core.PODS, "lasting")
    assert after.status.podIP == running.status.podIP
    assert after.status.containerStatuses[0].restartCount == 0


async def test_containers_of_pods_that_are_gone_are_ended_by_a_new_node(plane):
    pod = await plane.pod("orphan", "sleep 6161")
    await plane.until_phase("orphan", "Running")
    await plane.node.stop(keep_running=True)
    await plane.client.delete(core.PODS, "orphan", "default", options=DeleteOptions(grace_seconds=0))
    await plane.reborn()
    async with asyncio.timeout(5):
        while any(
            b"sleep\x006161" in path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()
        ):
            await asyncio.sleep(0.05)
    assert not (plane.data / "node/pods" / pod.metadata.uid).exists()


async def test_a_host_path_is_refused(plane):
    await plane.pod("host", "true", volumes=[{"name": "h", "hostPath": {"path": "/"}}])

    await plane.until(core.PODS, "host", waiting("ContainerCreating", "is not shared with Pods"))


@pytest.mark.skipif(os.geteuid() != 0, reason="asks for root inside, to see it refused")
async def test_root_is_refused_where_the_pod_refuses_it(plane):
    await plane.pod("root", "true", securityContext={"runAsNonRoot": True, "runAsUser": 0})

    await plane.until(core.PODS, "root", waiting("CreateContainerConfigError", "runAsNonRoot"))


async def test_what_a_container_made_read_only_goes_with_its_pod(plane):
    mounts = [{"name": "work", "mountPath": "/place"}]
    script = "mkdir -p /place/a/b && touch /place/a/b/c && chmod 000 /place/a/b && chmod 555 /place/a"
    pod = await plane.pod("locks", script, main={"volumeMounts": mounts}, volumes=[{"name": "work", "emptyDir": {}}])
    await plane.until_phase("locks", "Succeeded")
    await plane.client.delete(core.PODS, "locks", "default")
    async with asyncio.timeout(5):
        while (plane.data / "node/pods" / pod.metadata.uid).exists():
            await asyncio.sleep(0.02)
