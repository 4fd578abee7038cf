"""Which server a command talks to: a flag or a variable decides; between two candidates the user has to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kit.planes import Machine

NAMESPACE = "default"


@pytest.fixture
def away(tmp_path: Path) -> dict[str, str]:
    """A home where no plane runs."""
    home = tmp_path / "away"
    home.mkdir()
    return {"HOME": str(home), "KUBEOPENCODE_DATA": str(home / "data")}


@pytest.fixture
def cluster(machine: Machine, tmp_path: Path) -> Path:
    """A kubeconfig as of a cluster: two contexts, the second with a namespace of its own."""
    made = json.loads(machine.kubeconfig.read_text())
    context = made["contexts"][0]["context"]
    made["contexts"] = [
        {"name": "first", "context": context},
        {"name": "second", "context": context | {"namespace": "kube-system"}},
    ]
    made["current-context"] = "first"
    path = tmp_path / "cluster.yaml"
    path.write_text(json.dumps(made))
    return path


def default(env: dict[str, str], cluster: Path) -> None:
    """Make this the user's kubeconfig."""
    folder = Path(env["HOME"]) / ".kube"
    folder.mkdir()
    (folder / "config").write_text(cluster.read_text())


def test_without_any_server_both_ways_out_are_named(machine: Machine, away: dict[str, str]) -> None:
    ran = machine.kubeoc("get", "tasks", env=away)
    assert ran.code == 1
    assert ran.refusal == (
        "Error: there is no server to talk to. `kubeoc up` starts a local plane; --kubeconfig names a cluster"
    )
    assert "the local plane is not running" in machine.kubeoc("--local", "get", "tasks", env=away).refusal


def test_the_plane_alone_is_taken(machine: Machine) -> None:
    assert NAMESPACE in machine.kubeoc("get", "namespaces", "-o", "name").well()


def test_the_users_kubeconfig_alone_is_taken(machine: Machine, away: dict[str, str], cluster: Path) -> None:
    default(away, cluster)
    assert NAMESPACE in machine.kubeoc("get", "namespaces", "-o", "name", env=away).well()


def test_between_a_plane_and_a_cluster_the_user_has_to_say_which(
    machine: Machine, away: dict[str, str], cluster: Path
) -> None:
    default(away, cluster)
    env = away | {"KUBEOPENCODE_DATA": str(machine.data)}
    for verb in (("get", "tasks"), ("run", "do it"), ("apply", "-f", str(cluster)), ("delete", "task", "x")):
        ran = machine.kubeoc(*verb, env=env)
        assert ran.code == 1
        assert ran.refusal.startswith("Error: two servers are at hand: the local plane, and the current context of ")
        assert "--local" in ran.refusal
        assert "--context NAME" in ran.refusal
    for said in (["--local"], ["--context", "second"], ["--kubeconfig", str(cluster)]):
        machine.kubeoc(*said, "get", "namespaces", env=env).well()


def test_a_variable_decides(machine: Machine, away: dict[str, str], cluster: Path) -> None:
    for variable in ("KUBEOPENCODE_KUBECONFIG", "KUBECONFIG"):
        machine.kubeoc("get", "namespaces", env=away | {variable: str(cluster)}).well()


def test_our_variable_beats_that_of_kubectl_and_a_flag_beats_both(
    machine: Machine, away: dict[str, str], cluster: Path, tmp_path: Path
) -> None:
    nowhere = str(tmp_path / "nowhere.yaml")
    ours = away | {"KUBEOPENCODE_KUBECONFIG": str(cluster), "KUBECONFIG": nowhere}
    machine.kubeoc("get", "namespaces", env=ours).well()
    theirs = away | {"KUBEOPENCODE_KUBECONFIG": nowhere, "KUBECONFIG": nowhere}
    machine.kubeoc("--kubeconfig", str(cluster), "get", "namespaces", env=theirs).well()


def test_a_command_works_in_the_namespace_of_the_context_unless_told_otherwise(
    machine: Machine, away: dict[str, str], cluster: Path
) -> None:
    said = ["--kubeconfig", str(cluster), "--context", "second"]
    assert "in kube-system namespace" in machine.kubeoc(*said, "get", "pods", env=away).err
    assert "in other namespace" in machine.kubeoc(*said, "-n", "other", "get", "pods", env=away).err
    assert "in another namespace" in machine.kubeoc(*said, "-n", "other", "get", "pods", "-n", "another", env=away).err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "odd.yaml"),
        ("a: [", "odd.yaml"),
        ("{}", "current-context"),
        ("just words", "odd.yaml"),
        ('{"current-context": "x", "contexts": [{"name": "x", "context": {"cluster": "gone", "user": "u"}}]}', "gone"),
    ],
    ids=["absent", "not-yaml", "empty", "words", "dangling"],
)
def test_a_kubeconfig_that_cannot_be_used_is_told_in_one_line(
    machine: Machine, away: dict[str, str], tmp_path: Path, text: str | None, words: str
) -> None:
    path = tmp_path / "odd.yaml"
    if text is not None:
        path.write_text(text)
    ran = machine.kubeoc("--kubeconfig", str(path), "get", "tasks", env=away)
    assert ran.code == 1
    assert words in ran.refusal
    assert "\n" not in ran.refusal


def test_an_unknown_context_is_told_with_those_that_are_there(
    machine: Machine, away: dict[str, str], cluster: Path
) -> None:
    refusal = machine.kubeoc("--kubeconfig", str(cluster), "--context", "third", "get", "tasks", env=away).refusal
    assert "third" in refusal
    assert "\n" not in refusal


def test_a_server_that_does_not_answer_is_told_in_one_line(
    machine: Machine, away: dict[str, str], cluster: Path
) -> None:
    made = json.loads(cluster.read_text())
    made["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    cluster.write_text(json.dumps(made))
    ran = machine.kubeoc("--kubeconfig", str(cluster), "get", "tasks", env=away)
    assert (ran.code, "\n" in ran.refusal) == (1, False)
    assert "https://127.0.0.1:1 cannot be reached: " in ran.refusal


def test_a_wrong_token_is_told_in_one_line(machine: Machine, away: dict[str, str], cluster: Path) -> None:
    made = json.loads(cluster.read_text())
    made["users"][0]["user"]["token"] = "wrong"
    cluster.write_text(json.dumps(made))
    assert machine.kubeoc("--kubeconfig", str(cluster), "get", "tasks", env=away).refusal == "Error: Unauthorized"
