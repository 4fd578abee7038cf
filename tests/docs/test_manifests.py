"""Every manifest of the documents works unchanged: applied by kubectl, read back, shown, explained, applied again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from kit import planes
from kit.planes import Machine, Ran

FOLDER = Path(__file__).parents[1] / "manifests"
FILES = sorted(FOLDER.glob("*.yaml"))
IDS = [file.stem for file in FILES]

PLURALS = {
    "Agent": "agents",
    "AgentTemplate": "agenttemplates",
    "CronTask": "crontasks",
    "KubeOpenCodeConfig": "kubeopencodeconfigs",
    "Task": "tasks",
    "TaskTemplate": "tasktemplates",
}


def objects(file: Path) -> list[Any]:
    """The objects of a manifest, each with the namespace it goes to."""
    found: list[Any] = list(yaml.safe_load_all(file.read_text()))
    named = [each["metadata"]["namespace"] for each in found if "namespace" in each["metadata"]]
    for each in found:
        if each["kind"] != "KubeOpenCodeConfig":
            each["metadata"].setdefault("namespace", named[0] if named else f"of-{file.stem}")
    return found


def additions(written: Any, stored: Any, path: str = "") -> dict[str, Any]:
    """What the server has besides or instead of what was written, by its path."""
    if isinstance(written, dict):
        found = {f"{path}.{key}": value for key, value in stored.items() if key not in written}
        for key, value in written.items():
            found |= additions(value, stored.get(key), f"{path}.{key}")
        return found
    if isinstance(written, list) and isinstance(stored, list) and len(written) == len(stored):
        pairs = enumerate(zip(written, stored, strict=True))
        return {key: value for index, (a, b) in pairs for key, value in additions(a, b, f"{path}[{index}]").items()}
    return {} if written == stored else {path: stored}


@pytest.fixture(scope="module")
def applied(bare: Machine) -> dict[Path, Ran]:
    """Every file, applied as the documents say: its namespace first."""
    namespaces = sorted({each["metadata"].get("namespace", "") for file in FILES for each in objects(file)} - {""})
    for namespace in namespaces:
        bare.namespace(namespace)
    return {file: _apply(bare, file) for file in FILES}


def _apply(bare: Machine, file: Path) -> Ran:
    places = {each["metadata"].get("namespace", "default") for each in objects(file)}
    # A file that names two namespaces names them for each object.
    where = ["-n", places.pop()] if len(places) == 1 else []
    return bare.kubectl("apply", "-f", str(file), "--validate=strict", *where)


def stream(files: list[Path]) -> str:
    """All objects of these files as one stream, with their namespaces."""
    return yaml.safe_dump_all([each for file in files for each in objects(file)])


@pytest.mark.parametrize("file", FILES, ids=IDS)
def test_a_manifest_is_accepted_and_kept_as_it_was_written(bare: Machine, applied: dict[Path, Ran], file: Path) -> None:
    said = applied[file].well().splitlines()
    assert [line.split()[-1] for line in said] == ["created"] * len(objects(file))
    assert not applied[file].err
    added: dict[str, Any] = {}
    for each in objects(file):
        meta = each["metadata"]
        stored = bare.get(PLURALS[each["kind"]], meta["name"], meta.get("namespace", ""))
        added |= additions(each["spec"], stored["spec"])
    assert added == {}, "the server adds nothing to what was written"


def test_applied_again_everything_is_unchanged(bare: Machine, applied: dict[Path, Ran]) -> None:
    assert applied
    said = bare.kubectl("apply", "-f", "-", stdin=stream(FILES)).well().splitlines()
    assert [line for line in said if not line.endswith(" unchanged")] == []
    assert len(said) == sum(len(objects(file)) for file in FILES)


def test_server_side_apply_takes_everything_twice_and_changes_nothing(bare: Machine, applied: dict[Path, Ran]) -> None:
    assert applied
    for _ in range(2):
        said = bare.kubectl("apply", "--server-side", "-f", "-", stdin=stream(FILES)).well().splitlines()
        assert [line for line in said if not line.endswith(" serverside-applied")] == []
    for file in FILES:
        for each in objects(file):
            meta = each["metadata"]
            stored = bare.get(PLURALS[each["kind"]], meta["name"], meta.get("namespace", ""))
            assert stored["metadata"]["generation"] == 1, file


def test_kubeoc_applies_everything_too(bare: Machine, applied: dict[Path, Ran]) -> None:
    assert applied
    said = bare.kubeoc("apply", "-f", "-", stdin=stream(FILES)).well().splitlines()
    assert [line for line in said if not line.endswith(" applied")] == []
    assert len(said) == sum(len(objects(file)) for file in FILES)


COLUMNS = {
    "tasks": "NAME PHASE AGENT POD AGE",
    "agents": "NAME SERVICEACCOUNT READY AGE",
    "agenttemplates": "NAME SERVICEACCOUNT AGE",
    "tasktemplates": "NAME AGENT AGE",
    "crontasks": "NAME SCHEDULE SUSPEND LAST SCHEDULE AGE",
}
WIDE = {
    "tasks": "NAME PHASE AGENT TEMPLATE POD AGE",
    "agents": "NAME PROFILE IMAGE SERVICEACCOUNT MAXTASKS READY AGE",
    "agenttemplates": "NAME EXECUTORIMAGE SERVICEACCOUNT AGE",
    "tasktemplates": "NAME AGENT AGE",
    "crontasks": "NAME SCHEDULE SUSPEND ACTIVE LAST SCHEDULE NEXT SCHEDULE AGE",
}


@pytest.mark.parametrize("plural", COLUMNS)
def test_a_list_has_the_documented_columns(bare: Machine, applied: dict[Path, Ran], plural: str) -> None:
    assert applied
    table = bare.kubectl("get", plural, "-A").well()
    assert table.splitlines()[0].split() == ["NAMESPACE", *COLUMNS[plural].split()]
    wide = bare.kubectl("get", plural, "-A", "-o", "wide").well()
    assert wide.splitlines()[0].split() == ["NAMESPACE", *WIDE[plural].split()]


def test_the_wide_list_tells_an_agents_profile_image_and_limit(bare: Machine, applied: dict[Path, Ran]) -> None:
    assert applied
    line = bare.kubectl("get", "agent", "my-agent", "-n", "of-features-22-agent-from-a-template", "-o", "wide").well()
    assert "My personal development agent" in line
    assert "quay.io/kubeopencode/kubeopencode-agent-devbox:latest" in line
    assert " 3 " in line


def test_the_cluster_wide_settings_have_no_namespace_even_if_an_older_manifest_names_one(
    bare: Machine, applied: dict[Path, Ran]
) -> None:
    assert applied
    older = {
        "apiVersion": "kubeopencode.io/v1alpha1",
        "kind": "KubeOpenCodeConfig",
        "metadata": {"name": "cluster", "namespace": "kubeopencode-system"},
        "spec": {"proxy": {"httpProxy": "http://older.example.com:8080"}},
    }
    before = bare.get("kubeopencodeconfigs", "cluster", "")
    bare.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(older)).well()
    stored = bare.get("kubeopencodeconfigs", "cluster", "")
    assert "namespace" not in stored["metadata"]
    assert stored["metadata"]["uid"] == before["metadata"]["uid"]
    assert stored["spec"]["proxy"]["httpProxy"] == "http://older.example.com:8080"
    bare.kubectl("get", "kubeopencodeconfig", "cluster").well()


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("task.spec.timeout", "End the Task this long after its start"),
        ("task.spec.contexts.git.ref", "Branch, tag or commit"),
        ("agent.spec.quota", "windowSeconds"),
        ("agent.spec.persistence.sessions.size", "1Gi for sessions"),
        ("agenttemplate.spec", "executorImage"),
        ("crontask.spec.concurrencyPolicy", "Forbid"),
        ("kubeopencodeconfig.spec.proxy", "httpProxy"),
    ],
)
def test_kubectl_explains_a_field(bare: Machine, field: str, words: str) -> None:
    assert words in bare.kubectl("explain", field).well()


def test_an_old_kubectl_applies_reads_describes_and_deletes(bare: Machine, applied: dict[Path, Ran]) -> None:
    assert applied
    old = planes.old_kubectl()
    where = ["-n", bare.namespace("old-kubectl")]
    file = FOLDER / "features-22-agent-from-a-template.yaml"
    assert bare.kubectl("apply", "-f", str(file), *where, binary=old).well().endswith("/my-agent created\n")
    assert bare.kubectl("apply", "-f", str(file), *where, binary=old).well().endswith("/my-agent unchanged\n")
    head, line = bare.kubectl("get", "agents", *where, binary=old).well().splitlines()
    assert head.split() == COLUMNS["agents"].split()
    assert line.startswith("my-agent")
    assert "Max Concurrent Tasks:  3" in bare.kubectl("describe", "agent", "my-agent", *where, binary=old).well()
    assert "idle" in bare.kubectl("explain", "agent.spec.standby", binary=old).well().lower()
    patch = ["patch", "agent", "my-agent", "--type", "merge", "-p", '{"spec":{"suspend":true}}']
    assert bare.kubectl(*patch, *where, binary=old).well().endswith("patched\n")
    assert bare.get("agents", "my-agent", "old-kubectl")["spec"]["suspend"] is True
    bare.kubectl("delete", "-f", str(file), *where, binary=old).well()
    assert bare.get("agents", "my-agent", "old-kubectl") is None
