"""The examples apply as they are, and do what their comments say."""

from __future__ import annotations

from pathlib import Path

import pytest

from kit import planes
from kit.planes import Machine

FOLDER = Path(__file__).parents[2] / "examples"
FILES = sorted(FOLDER.glob("*.yaml"))
IDS = [file.stem for file in FILES]


def test_the_list_of_examples_is_complete() -> None:
    text = (FOLDER / "README.md").read_text()
    assert FILES
    assert [file.name for file in FILES if f"[{file.name}]({file.name})" not in text] == []


@pytest.mark.parametrize("file", FILES, ids=IDS)
def test_an_example_begins_with_its_use_and_applies_with_both_programs(bare: Machine, file: Path) -> None:
    assert f"kubeoc apply -f examples/{file.name}" in file.read_text() or f"-f examples/{file.name}" in file.read_text()
    where = bare.namespace(f"example-{file.stem}")
    said = bare.kubeoc("-n", where, "apply", "-f", str(file)).well()
    assert said
    strict = bare.kubectl(
        "apply", "-n", where, "-f", str(file), "--server-side", "--force-conflicts", "--validate=strict"
    )
    assert len(strict.well().splitlines()) == len(said.splitlines())


def test_the_tasks_of_the_examples_run(machine: Machine) -> None:
    where = machine.namespace("examples")
    machine.shell("kubectl create secret generic ai-credentials --from-literal=api-key=k", where).well()
    for name in ("batch-template", "task-with-contexts"):
        machine.kubeoc("-n", where, "apply", "-f", str(FOLDER / f"{name}.yaml")).well()
    machine.kubeoc("-n", where, "wait", "lint-service-a", "lint-service-b", "write-release-notes").well()
    said = machine.kubeoc("-n", where, "logs", "lint-service-a").well()
    assert "Run the linter on service A and fix what it finds." in said
    line = ["get", "task", "write-release-notes", "-o", "jsonpath={.status.outputs.parameters.title}"]
    assert machine.kubeoc("-n", where, *line).well() == "No title"


def test_the_sleeping_agent_wakes_up(bare: Machine) -> None:
    where = bare.namespace("sleeper")
    bare.kubeoc("-n", where, "apply", "-f", str(FOLDER / "suspended-agent.yaml")).well()

    def is_told(reason: str) -> bool:
        status = bare.get("agents", "sleeper", where).get("status")
        return bool(status) and planes.reasons({"status": status}).get("Suspended") == reason

    planes.until(lambda: is_told("UserRequested"), "the Agent sleeps")
    bare.kubeoc("-n", where, "agent", "resume", "sleeper").well()
    planes.until(lambda: is_told("Active"), "the Agent is awake")
