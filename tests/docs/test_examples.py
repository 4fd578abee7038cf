"""The examples apply as they are, and do what their comments say."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

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


def test_a_folder_of_this_machine_is_the_workspace(machine: Machine) -> None:
    where = machine.namespace("host-folder")
    folder = machine.data / "workspaces" / "service-a"
    folder.mkdir(parents=True)
    (folder / "hello.txt").write_text("from this machine")
    agent = yaml.safe_load((FOLDER / "host-folder.yaml").read_text())
    agent["spec"]["podSpec"]["extraVolumes"][0]["hostPath"]["path"] = str(folder)
    # With a command its Tasks run in Pods of their own, which needs no model.
    agent["spec"]["command"] = ["sh", "-c", "cat hello.txt"]
    machine.kubeoc("-n", where, "apply", "-f", "-", stdin=yaml.safe_dump(agent)).well()
    said = machine.kubeoc("-n", where, "run", "read it", "--agent", "on-my-folder").well()
    assert said.splitlines()[-1] == "from this machine"


@pytest.mark.parametrize("file", FILES, ids=IDS)
def test_the_controllers_find_nothing_wrong_with_the_agents_of_an_example(bare: Machine, file: Path) -> None:
    where = bare.namespace(f"judged-{file.stem}")
    bare.kubeoc("-n", where, "apply", "-f", str(file)).well()
    for each in yaml.safe_load_all(file.read_text()):
        if each["kind"] != "Agent":
            continue
        name = each["metadata"]["name"]

        def judged(name: str = name) -> dict[str, str]:
            found = bare.get("agents", name, where)
            return planes.reasons(found) if "status" in found else {}

        assert planes.until(judged, f"the Agent {name} is judged")["Ready"] == "Valid"


def test_the_sleeping_agent_wakes_up(bare: Machine) -> None:
    where = bare.namespace("sleeper")
    bare.kubeoc("-n", where, "apply", "-f", str(FOLDER / "suspended-agent.yaml")).well()

    def is_told(reason: str) -> bool:
        status = bare.get("agents", "sleeper", where).get("status")
        return bool(status) and planes.reasons({"status": status}).get("Suspended") == reason

    planes.until(lambda: is_told("UserRequested"), "the Agent sleeps")
    bare.kubeoc("-n", where, "agent", "resume", "sleeper").well()
    planes.until(lambda: is_told("Active"), "the Agent is awake")
