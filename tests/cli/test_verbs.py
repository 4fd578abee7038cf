"""Every verb of kubeoc against a plane: what it prints, what becomes true, and its exit code."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from kit import planes
from kit.planes import Desk, Machine, manifest, written
from kubeopencode.cli import __main__ as program


@pytest.mark.parametrize("verb", program.COMMANDS)
def test_every_verb_explains_itself(machine: Machine, verb: str) -> None:
    said = machine.kubeoc(verb, "--help").well()
    assert said.startswith(f"Usage: kubeoc {verb}")


def test_the_list_of_verbs_names_each_with_a_sentence(machine: Machine) -> None:
    said = machine.kubeoc("--help").well()
    for verb, sentence in program.COMMANDS.items():
        assert verb in said
        assert sentence.split(":")[0] in " ".join(said.split())


def test_an_unknown_verb_is_a_mistake_of_usage(machine: Machine) -> None:
    ran = machine.kubeoc("frobnicate")
    assert (ran.code, "No such command 'frobnicate'" in ran.refusal) == (2, True)


# apply


def test_apply_takes_a_file_a_folder_and_standard_input(desk: Desk, tmp_path: Path) -> None:
    one = written(tmp_path / "one.yaml", manifest("Agent", "one", suspend=True))
    assert desk.kubeoc("apply", "-f", one).well() == "agent.kubeopencode.io/one applied\n"
    folder = tmp_path / "folder"
    folder.mkdir()
    written(folder / "a.yaml", manifest("AgentTemplate", "two"), manifest("Agent", "three", suspend=True))
    (folder / "b.json").write_text(json.dumps(manifest("TaskTemplate", "four")))
    (folder / "notes.txt").write_text("not for us")
    said = desk.kubeoc("apply", "-f", str(folder)).well().splitlines()
    assert [line.split("/")[1] for line in said] == ["two applied", "three applied", "four applied"]
    desk.kubeoc("apply", "-f", "-", stdin=yaml.safe_dump(manifest("Agent", "five", suspend=True))).well()
    assert {each["metadata"]["name"] for each in desk.get("agents")["items"]} == {"one", "three", "five"}


def test_apply_changes_what_is_there_and_takes_away_what_is_no_longer_said(desk: Desk, tmp_path: Path) -> None:
    first = manifest("Agent", "one", suspend=True, profile="old", maxConcurrentTasks=2)
    desk.kubeoc("apply", "-f", written(tmp_path / "one.yaml", first)).well()
    second = manifest("Agent", "one", suspend=True, profile="new")
    desk.kubeoc("apply", "-f", written(tmp_path / "one.yaml", second)).well()
    assert desk.get("agents", "one")["spec"] == {"suspend": True, "profile": "new"}


def test_a_dry_run_keeps_nothing_but_checks_everything(desk: Desk, tmp_path: Path) -> None:
    good = written(tmp_path / "good.yaml", manifest("Agent", "one", suspend=True))
    assert desk.kubeoc("apply", "--dry-run", "-f", good).well() == "agent.kubeopencode.io/one applied (dry run)\n"
    assert desk.get("agents", "one") is None
    bad = written(tmp_path / "bad.yaml", manifest("Agent", "one", port=0))
    assert "spec.port" in desk.kubeoc("apply", "--dry-run", "-f", bad).refusal


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1\nb: [1", "line 2"),
        ("just words", "an object with apiVersion, kind and metadata is expected"),
        ("apiVersion: v1\nkind: ConfigMap\n", "metadata.name"),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata:\n", "metadata.name"),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: 5}\n", "metadata.name"),
        ("apiVersion: v1\nkind: List\n", "items"),
        ("apiVersion: v1\nkind: List\nitems: [5]\n", "an object with apiVersion, kind and metadata is expected"),
        ("apiVersion: example.org/v1\nkind: Toy\nmetadata: {name: x}\n", "does not serve Toy of example.org/v1"),
        ("apiVersion: 5\nkind: Toy\nmetadata: {name: x}\n", "an object with apiVersion, kind and metadata is expected"),
    ],
)
def test_a_file_that_cannot_be_applied_is_named_with_what_is_wrong(
    machine: Machine, tmp_path: Path, text: str, words: str
) -> None:
    path = tmp_path / "odd.yaml"
    path.write_text(text)
    refusal = machine.kubeoc("apply", "-f", str(path)).refusal
    assert words in refusal
    assert "Error: " in refusal
    assert "odd.yaml" in refusal or "Toy" in refusal


def test_a_file_that_is_not_there_is_named(machine: Machine, tmp_path: Path) -> None:
    assert "nothing.yaml" in machine.kubeoc("apply", "-f", str(tmp_path / "nothing.yaml")).refusal
    assert "no file ends in .yaml" in machine.kubeoc("apply", "-f", str(tmp_path)).refusal
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    assert "binary.yaml" in machine.kubeoc("apply", "-f", str(binary)).refusal


# run, wait, logs, stop


def test_run_prints_what_the_agent_says_and_ends_well(desk: Desk) -> None:
    ran = desk.kubeoc("run", "say it *exactly* $so", "--template", "quick", "--name", "one")
    assert "task/one created on " in ran.well()
    assert ran.out.splitlines()[-2:] == ["hello from one", "say it *exactly* $so"]
    assert ran.err.splitlines()[-1] == "task/one Completed"


def test_run_reads_its_text_from_standard_input_and_prints_only_the_name(desk: Desk) -> None:
    ran = desk.kubeoc("run", "-", "--template", "quick", "-o", "name", stdin="from a pipe\n")
    kind, name = ran.well().strip().split("/")
    assert kind == "task"
    assert desk.get("tasks", name)["spec"]["description"] == "from a pipe\n"


def test_the_exit_code_tells_how_a_task_ended(desk: Desk) -> None:
    late = desk.task("slow", "--timeout", "1s")
    stopped = desk.task("slow")
    failed = desk.kubeoc("run", "do it", "--template", "broken")
    assert failed.code == 1
    assert "it goes wrong" in failed.out
    assert "exit code 7" in failed.err or "exited with 7" in failed.err, failed.err
    assert desk.kubeoc("wait", late).code == 3
    desk.machine.said(stopped, "at work", desk.namespace)
    assert desk.kubeoc("stop", f"task/{stopped}").well() == f"task/{stopped} stopping\n"
    ran = desk.kubeoc("wait", stopped)
    assert (ran.code, "UserStopped" in ran.out) == (4, True)
    assert "had ended already (Completed)" in desk.kubeoc("stop", stopped).well()


def test_run_takes_an_agent_or_a_template_but_not_both(desk: Desk) -> None:
    ran = desk.kubeoc("run", "do it", "--agent", "a", "--template", "b")
    assert (ran.code, "not both" in ran.refusal) == (2, True)


def test_wait_takes_several_and_the_worst_end_decides(desk: Desk) -> None:
    good, bad = desk.task("quick"), desk.task("broken")
    ran = desk.kubeoc("wait", good, f"task/{bad}")
    assert ran.code == 1
    assert [line.split(":")[0] for line in ran.out.splitlines()] == [good, bad]


def test_wait_gives_up_in_time(desk: Desk) -> None:
    name = desk.task("slow")
    ran = desk.machine.kubeoc_process("-n", desk.namespace, "wait", name, "--timeout", "0.2")
    assert (ran.code, ran.refusal) == (3, "Error: not done within 0.2 s")
    desk.kubeoc("delete", "task", name).well()


def test_logs_of_a_finished_and_of_a_running_task(desk: Desk) -> None:
    name = desk.task("quick")
    followed = desk.kubeoc("logs", "-f", name).well()
    assert followed.splitlines()[-2:] == [f"hello from {name}", "do it"]
    desk.ended(name)
    assert desk.kubeoc("logs", f"task/{name}").well() == followed
    assert desk.kubeoc("logs", "--tail", "1", name).well() == "do it\n"
    assert desk.kubeoc("task", "logs", name).well() == followed


def test_logs_of_what_never_ran_say_why(desk: Desk) -> None:
    desk.kubeoc("apply", "-f", "-", stdin=yaml.safe_dump(manifest("Agent", "asleep", suspend=True))).well()
    name = desk.kubeoc("run", "do it", "--agent", "asleep", "-o", "name").well().strip().removeprefix("task/")
    desk.machine.task_is(("Queued",), name, desk.namespace)
    refusal = desk.kubeoc("logs", name).refusal
    assert "AgentSuspended" in refusal
    assert "\n" not in refusal


def test_the_older_spelling_stops_a_task_too(desk: Desk) -> None:
    name = desk.task("slow")
    assert desk.kubeoc("task", "stop", name).well() == f"task/{name} stopping\n"
    assert planes.reasons(desk.ended(name))["Stopped"] == "UserStopped"


# get, describe, delete


def test_get_shows_tables_names_and_objects(desk: Desk) -> None:
    name = desk.task("quick", "--name", "one")
    desk.ended(name)
    head, line = desk.kubeoc("get", "tasks").well().splitlines()
    assert head.split() == ["NAME", "PHASE", "AGENT", "POD", "AGE"]
    assert line.split()[:3] == ["one", "Completed", "one-pod"]
    assert desk.kubeoc("get", "tasks", "-o", "wide").well().split()[3] == "TEMPLATE"
    assert desk.kubeoc("get", "tasks", "--wide").well() == desk.kubeoc("get", "tk", "-o", "wide").well()
    assert desk.kubeoc("get", "task", "-o", "name").well() == "task.kubeopencode.io/one\n"
    assert yaml.safe_load(desk.kubeoc("get", "task/one", "-o", "yaml").well())["status"]["phase"] == "Completed"
    assert json.loads(desk.kubeoc("get", "task", "one", "-o", "json").well())["spec"]["description"] == "do it"
    assert desk.kubeoc("get", "task", "one", "-o", "jsonpath={.status.phase}").well() == "Completed"
    assert desk.kubeoc("get", "tasks", "-o", "jsonpath={.items[*].metadata.name}").well() == "one"


def test_get_looks_everywhere_and_selects_by_label(desk: Desk) -> None:
    name = desk.task("quick")
    desk.ended(name)
    everywhere = desk.kubeoc("get", "tasks", "-A").well()
    assert everywhere.splitlines()[0].split()[0] == "NAMESPACE"
    assert [line for line in everywhere.splitlines() if line.split()[:2] == [desk.namespace, name]]
    selected = desk.kubeoc("get", "tasks", "-l", "kubeopencode.io/agent-template=quick", "-o", "name").well()
    assert selected == f"task.kubeopencode.io/{name}\n"
    nothing = desk.kubeoc("get", "tasks", "-l", "x=y")
    assert (nothing.well(), nothing.err) == ("", f"No resources found in {desk.namespace} namespace.\n")
    assert name in desk.kubeoc("get", "pods", "-l", f"kubeopencode.io/task={name}").well()


def test_get_refuses_what_it_does_not_know(desk: Desk) -> None:
    assert 'no kind "toys"' in desk.kubeoc("get", "toys").refusal
    assert '"nope" not found' in desk.kubeoc("get", "task", "nope").refusal
    assert "'toml' is no format" in desk.kubeoc("get", "tasks", "-o", "toml").refusal
    assert "Error: " in desk.kubeoc("get", "tasks", "-l", "a==(").refusal


def test_describe_shows_an_object_and_its_events(desk: Desk) -> None:
    name = desk.task("quick")
    desk.ended(name)

    def told() -> str:
        said = desk.kubeoc("describe", "task", name).well()
        return said if "Task completed" in said else ""

    said = planes.until(told, "the event is there")
    assert "phase: Completed" in said
    assert "managedFields" not in said
    assert desk.kubeoc("describe", f"task/{name}").code == 0
    assert desk.kubeoc("describe", "task").code == 2


def test_delete_by_name_and_by_file(desk: Desk, tmp_path: Path) -> None:
    file = written(tmp_path / "two.yaml", manifest("AgentTemplate", "a"), manifest("AgentTemplate", "b"))
    desk.kubeoc("apply", "-f", file).well()
    assert desk.kubeoc("delete", "agenttemplate/a").well() == "agenttemplate/a deleted\n"
    assert '"a" not found' in desk.kubeoc("delete", "agenttemplate", "a").refusal
    assert desk.kubeoc("delete", "-f", file, "--ignore-not-found").well() == "agenttemplate/b deleted\n"
    assert desk.get("agenttemplates", "b") is None
    assert desk.kubeoc("delete").code == 2
    name = desk.task("slow")
    desk.kubeoc("delete", "task", name).well()
    planes.until(lambda: desk.get("tasks", name) is None, "the Task goes")


def test_an_agent_is_suspended_and_resumed(desk: Desk) -> None:
    desk.kubeoc("apply", "-f", "-", stdin=yaml.safe_dump(manifest("Agent", "one", suspend=True))).well()
    assert desk.kubeoc("agent", "resume", "one").well() == "agent/one resumed\n"
    assert not desk.get("agents", "one")["spec"].get("suspend")
    assert desk.kubeoc("agent", "suspend", "one").well() == "agent/one suspended\n"
    assert desk.get("agents", "one")["spec"]["suspend"] is True
    assert '"nobody" not found' in desk.kubeoc("agent", "suspend", "nobody").refusal


# the plane itself


def test_kubeconfig_status_and_version_speak_of_the_plane(machine: Machine) -> None:
    path = machine.kubeoc("kubeconfig", "--path").well().strip()
    assert path == str(machine.kubeconfig)
    assert json.loads(machine.kubeoc("kubeconfig").well()) == json.loads(machine.kubeconfig.read_text())
    assert f"process     {machine.process.pid if machine.process else 0}" in machine.kubeoc("status").well()
    assert machine.kubeoc("version").well().splitlines()[1].startswith("server: v1.")


def test_without_a_plane_status_says_so_and_version_still_works(machine: Machine, tmp_path: Path) -> None:
    nowhere = {"KUBEOPENCODE_DATA": str(tmp_path)}
    status = machine.kubeoc("status", env=nowhere)
    assert (status.code, status.out) == (1, "the local plane is not running; `kubeoc up` starts it\n")
    assert "`kubeoc up` starts it" in machine.kubeoc("kubeconfig", env=nowhere).refusal
    assert machine.kubeoc("version", env=nowhere).well().splitlines()[1] == "server: none"
    assert machine.kubeoc("down", env=nowhere).well() == "the local plane is not running\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_script_loads(machine: Machine, tmp_path: Path, shell: str) -> None:
    script = tmp_path / "kubeoc-completion"
    script.write_text(machine.kubeoc("completion", shell).well())
    assert "_KUBEOC_COMPLETE" in script.read_text()
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed; the script was made but cannot be loaded")
    prepared = "autoload -U compinit; compinit -u; " if shell == "zsh" else ""
    ran = machine.run(shell, "-c", f"{prepared}. '{script}'")
    assert (ran.well(), ran.err) == ("", "")


def test_doctor_names_the_command_that_mends_what_is_missing(machine: Machine, tmp_path: Path) -> None:
    for name in ("git", "rg"):
        (tmp_path / name).symlink_to(shutil.which("true") or "/bin/true")
    ran = machine.kubeoc("doctor", env={"PATH": str(tmp_path)})
    assert ran.code == 1
    lines = [line.strip() for line in ran.out.splitlines()]
    for name, package in (("bwrap", "bubblewrap"), ("npm", "npm")):
        missing = next(index for index, line in enumerate(lines) if line.startswith(f"FAIL {name}"))
        assert lines[missing + 1] == f"sudo apt-get install {package}"
    assert [line for line in lines if line.startswith("ok   git")]
    assert [line for line in lines if line.startswith("--   kubectl")]


def test_doctor_is_content_where_nothing_necessary_is_missing(machine: Machine, tmp_path: Path) -> None:
    for name in ("npm", "rg", "git"):
        if shutil.which(name) is None:
            (tmp_path / name).symlink_to("/bin/true")
    ran = machine.kubeoc("doctor", env={"PATH": f"{machine.env['PATH']}:{tmp_path}"})
    assert (ran.code, "FAIL" in ran.out) == (0, False)


def test_operator_and_replay_model_say_what_they_need(machine: Machine, tmp_path: Path) -> None:
    machine.kubeconfig.exists()
    refusal = machine.kubeoc("--kubeconfig", str(machine.kubeconfig), "operator").refusal
    assert "KUBEOPENCODE_PASSWORD_KEY is not set" in refusal
    script = tmp_path / "script.yaml"
    script.write_text("turns: 5")
    refusal = machine.kubeoc("replay-model", "--script", str(script)).refusal
    assert "script.yaml" in refusal
