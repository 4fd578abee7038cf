"""The local plane in a bad world: a taken port, a second start, a kill, a full disk. What it acknowledged is there."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kit import planes
from kit.planes import GROUP, Machine, manifest
from kubeopencode.cli import planes as written_down


@pytest.fixture
def second(tmp_path: Path) -> Iterator[Machine]:
    """A machine of its own, for a plane that may come to harm."""
    made = Machine(tmp_path, planes.stand_in(tmp_path))
    yield made
    made.down()


def config_map(name: str, size: int) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"x": "x" * size}}


def test_a_second_plane_on_the_same_data_is_refused(machine: Machine) -> None:
    assert machine.process is not None
    for options in ([], ["--detach"]):
        ran = machine.kubeoc("up", "--port", "0", *options)
        assert ran.code == 1
        assert f"process {machine.process.pid}" in ran.refusal
        assert "`kubeoc down` ends it" in ran.refusal


def test_a_second_plane_is_refused_even_when_the_first_has_lost_its_note(second: Machine) -> None:
    second.up()
    (second.data / written_down.STATE).unlink()
    ran = second.kubeoc_process("up", "--port", "0")
    assert (ran.code, "\n" in ran.refusal) == (1, False)
    assert "another process serves this data directory; stop it or choose another directory" in ran.refusal


def test_a_taken_port_is_told(second: Machine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for options in ([], ["--detach"]):
            ran = second.kubeoc_process("up", "--port", port, *options)
            assert (ran.code, "\n" in ran.refusal) == (1, False)
            assert port in ran.refusal
            assert "port" in ran.refusal.replace(port, "")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--port", "99999"], "99999"),
        (["--port", "http"], "'http' is not a valid integer"),
        (["--isolation", "hope"], "'hope' is not one of"),
    ],
)
def test_a_wrong_option_is_told(second: Machine, options: list[str], words: str) -> None:
    ran = second.kubeoc("up", *options)
    assert (ran.code, words in ran.refusal) == (2, True)


def test_data_that_is_no_folder_is_told(second: Machine, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for path in (file, file / "below"):
        ran = second.kubeoc("up", "--data", str(path), "--port", "0")
        assert (ran.code, "\n" in ran.refusal) == (1, False)
        assert str(path) in ran.refusal


def test_a_data_file_that_is_none_is_told(second: Machine) -> None:
    (second.data / "state.db").write_bytes(b"this is no database" * 100)
    ran = second.kubeoc_process("up", "--port", "0")
    assert (ran.code, "\n" in ran.refusal) == (1, False)
    assert str(second.data) in ran.refusal


def test_up_and_down_in_the_background(second: Machine) -> None:
    said = second.kubeoc_process("up", "--detach", "--port", "0").well()
    state = written_down.read(second.data)
    assert state is not None
    assert f"local plane at {state.server}" in said
    assert str(second.kubeconfig) in said
    assert second.kubeoc("down").well() == "the local plane has stopped\n"
    assert written_down.read(second.data) is None
    assert not written_down.alive(state.pid)


def test_a_killed_plane_comes_back_with_everything_and_its_tasks_go_on(second: Machine) -> None:
    second.up()
    door = f"{GROUP}/namespaces/default"
    body = manifest(
        "AgentTemplate", "line", command=["sh", "-c", "echo at work; until [ -e go ]; do sleep 0.1; done; echo done"]
    )
    second.request("POST", f"{door}/agenttemplates", body)
    second.request("POST", f"{door}/tasks", manifest("Task", "one", templateRef={"name": "line"}, description="x"))
    second.said("one", "at work")
    last = second.request("POST", "/api/v1/namespaces/default/configmaps", config_map("last", 10))
    second.kill()
    refused = second.kubeoc("get", "tasks")
    assert "`kubeoc up` starts" in refused.refusal
    second.up()
    kept = second.request("GET", "/api/v1/namespaces/default/configmaps/last")
    assert kept["metadata"]["uid"] == last["metadata"]["uid"]
    pod = second.request("GET", "/api/v1/namespaces/default/pods/one-pod")
    for folder in (second.data / "node").rglob("workspace"):
        if pod["metadata"]["uid"] in str(folder):
            (folder / "go").touch()
    assert second.ended("one")["status"]["phase"] == "Completed"
    assert second.kubeoc("logs", "one").well() == "at work\ndone\n"


def test_two_planes_at_once_give_their_pods_different_addresses(second: Machine, tmp_path: Path) -> None:
    third = Machine(tmp_path / "third")
    try:
        addresses = [_address(each) for each in (second, third)]
    finally:
        third.down()
    assert addresses[0] != addresses[1]


def _address(machine: Machine) -> str:
    machine.up()
    container = {"name": "c", "image": "quay.io/kubeopencode/kubeopencode-agent-echo:latest", "command": ["true"]}
    body = {"metadata": {"name": "p"}, "spec": {"restartPolicy": "Never", "containers": [container]}}
    machine.request("POST", "/api/v1/namespaces/default/pods", body)

    def given() -> str:
        found = machine.request("GET", "/api/v1/namespaces/default/pods/p")
        return str(found["status"].get("podIP", ""))

    return str(planes.until(given, "the Pod has an address"))


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk of six megabytes."""
    folder = tmp_path / "small"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "small", folder], capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_full_disk_refuses_writes_and_loses_none_that_it_took(tmp_path: Path, small: Path) -> None:
    machine = Machine(tmp_path, data=small)
    machine.up()
    try:
        taken: list[str] = []
        refusal = ""
        while not refusal and len(taken) < 200:
            body = config_map(f"m{len(taken)}", 100_000)
            made, refusal = machine.attempt("POST", "/api/v1/namespaces/default/configmaps", body)
            taken += [made["metadata"]["uid"]] if made else []
        assert taken
        assert "the disk that holds the data directory is full; nothing was written" in refusal
        assert "full" in machine.kubeoc("run", "x" * 200_000).refusal
        machine.kubeoc("get", "configmaps").well()
        machine.kill()
        subprocess.run(["mount", "-o", "remount,size=64m", small], check=True)
        machine.up()
        kept = machine.request("GET", "/api/v1/namespaces/default/configmaps")["items"]
        assert [each["metadata"]["uid"] for each in sorted(kept, key=_number)] == taken
        assert machine.get("tasks")["items"] == []
        machine.request("POST", "/api/v1/namespaces/default/configmaps", config_map("after", 100_000))
    finally:
        machine.down()


def test_a_disk_that_is_full_from_the_start_is_told(tmp_path: Path, small: Path) -> None:
    (small / "ballast").write_bytes(b"x" * (6 << 20))
    machine = Machine(tmp_path, data=small)
    ran = machine.kubeoc_process("up", "--port", "0")
    assert (ran.code, "\n" in ran.refusal) == (1, False)
    assert "No space left on device" in ran.refusal
    assert str(small) in ran.refusal


def _number(found: Any) -> int:
    return int(found["metadata"]["name"].removeprefix("m"))
