"""The commands of the documents, typed as they are printed, do what the documents say."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from kit import planes
from kit.planes import Machine

FOLDER = Path(__file__).parents[1] / "manifests"
SYSTEM = "kubeopencode-system"
PULL_REQUEST = "https://github.com/org/repo/pull/1"
"""What the program that stands in for OpenCode leaves as a result."""


def manifest(name: str) -> str:
    return str(FOLDER / f"{name}.yaml")


def template(command: str) -> str:
    """A template whose Tasks run one line of shell."""
    spec = {"command": ["sh", "-c", command]}
    body = {
        "apiVersion": "kubeopencode.io/v1alpha1",
        "kind": "AgentTemplate",
        "metadata": {"name": "line"},
        "spec": spec,
    }
    return yaml.safe_dump(body)


def task(name: str, **spec: Any) -> str:
    body = {"apiVersion": "kubeopencode.io/v1alpha1", "kind": "Task", "metadata": {"name": name}}
    return yaml.safe_dump(body | {"spec": {"description": "do it", **spec}})


@pytest.fixture(scope="module")
def quick_start(machine: Machine) -> Machine:
    """The namespace of the README's first steps, with the Secret and the ConfigMap that its objects name."""
    machine.shell(f"kubectl create namespace {SYSTEM}", "default").well()
    machine.shell("kubectl create secret generic ai-credentials --from-literal=opencode-key=k", SYSTEM).well()
    machine.shell("kubectl create configmap coding-standards --from-literal=go.md='Use gofmt.'", SYSTEM).well()
    return machine


def test_monitor_progress(quick_start: Machine) -> None:
    env = quick_start.env | {"KUBECONFIG": str(quick_start.context(SYSTEM))}
    watching = subprocess.Popen(
        ["sh", "-c", f"exec kubectl get tasks -n {SYSTEM} -w"], env=env, stdout=subprocess.PIPE, text=True
    )
    seen: list[str] = []
    try:
        quick_start.shell(
            f"kubectl apply -f {manifest('readme-01-agent')} -f {manifest('readme-02-task')}", "default"
        ).well()
        assert watching.stdout is not None
        for line in watching.stdout:
            seen.append(line)
            if "Completed" in line or "Failed" in line:
                break
    finally:
        watching.kill()
        watching.communicate()
    assert seen[0].split() == ["NAME", "PHASE", "AGENT", "POD", "AGE"]
    assert seen[-1].split()[:4] == ["update-service-a", "Completed", "default", "update-service-a-pod"]
    described = quick_start.shell(f"kubectl describe task update-service-a -n {SYSTEM}", "default").well()
    assert "Phase:" in described
    assert "Events:" in described
    line = f"kubectl logs $(kubectl get task update-service-a -o jsonpath='{{.status.podName}}') -n {SYSTEM}"
    # The inner command names no namespace, so it is that of the context.
    said = quick_start.shell(line, SYSTEM).well()
    assert "Update dependencies to latest versions." in said


def test_an_old_kubectl_reads_logs_and_stops_a_task(machine: Machine) -> None:
    where, old = machine.namespace("old-kubectl"), planes.old_kubectl()
    body = template("echo at work; exec sleep 600") + "---\n" + task("my-task", templateRef={"name": "line"})
    machine.kubectl("apply", "-n", where, "-f", "-", stdin=body, binary=old).well()
    machine.said("my-task", "at work", where)
    assert machine.kubectl("logs", "my-task-pod", "-n", where, binary=old).well() == "at work\n"
    machine.kubectl("annotate", "task", "my-task", "kubeopencode.io/stop=true", "-n", where, binary=old).well()
    assert planes.reasons(machine.ended("my-task", where))["Stopped"] == "UserStopped"


def test_a_task_template_gives_what_the_task_leaves_out(quick_start: Machine) -> None:
    quick_start.shell(f"kubectl apply -n {SYSTEM} -f {manifest('readme-01-agent')}", SYSTEM).well()
    quick_start.shell(f"kubectl apply -n {SYSTEM} -f {manifest('readme-03-task-template')}", SYSTEM).well()
    done = quick_start.ended("fix-issue-123", SYSTEM)
    assert done["status"]["phase"] == "Completed", done["status"]
    assert done["status"]["agentRef"]["name"] == "default"
    assert done["status"]["outputs"]["parameters"] == {"pr-url": PULL_REQUEST}


def test_retrieving_outputs(machine: Machine) -> None:
    where = machine.namespace("outputs")
    machine.shell(
        f"kubectl apply -f {manifest('readme-09-outputs-agent')} -f {manifest('readme-10-outputs-task')}", where
    )
    assert machine.ended("my-task", where)["status"]["phase"] == "Completed"
    one = machine.shell("kubectl get task my-task -o jsonpath='{.status.outputs.parameters.pr-url}'", where)
    assert one.well() == PULL_REQUEST
    every = machine.shell("kubectl get task my-task -o jsonpath='{.status.outputs.parameters}'", where)
    assert yaml.safe_load(every.well()) == {"pr-url": PULL_REQUEST, "summary": "No summary provided"}


def test_task_stop(machine: Machine) -> None:
    where = machine.namespace("stop")
    machine.kubectl("apply", "-n", where, "-f", "-", stdin=template("echo at work; exec sleep 600")).well()
    machine.kubectl("apply", "-n", where, "-f", "-", stdin=task("my-task", templateRef={"name": "line"})).well()
    machine.said("my-task", "at work", where)
    machine.shell("kubectl annotate task my-task kubeopencode.io/stop=true", where).well()
    done = machine.ended("my-task", where)
    assert done["status"]["phase"] == "Completed"
    assert planes.reasons(done)["Stopped"] == "UserStopped"
    path = f"/api/v1/namespaces/{where}/pods/my-task-pod"
    planes.until(lambda: machine.request("GET", path) is None, "the Pod goes")


def test_a_task_of_another_namespace_runs_where_its_agent_lives(machine: Machine) -> None:
    for name in ("platform-agents", "dev-team-a"):
        machine.shell(f"kubectl create namespace {name}", "default").well()
    machine.shell(
        "kubectl create secret generic anthropic-credentials --from-literal=api-key=k", "platform-agents"
    ).well()
    machine.shell(f"kubectl apply -f {manifest('readme-13-cross-namespace')}", "default").well()
    done = machine.ended("fix-bug-123", "dev-team-a")
    assert done["status"]["phase"] == "Completed", done["status"]
    assert done["status"]["podNamespace"] == "platform-agents"
    secrets = machine.shell("kubectl get secrets,configmaps,pods -o name", "dev-team-a").well()
    assert secrets == ""


def test_agent_status_of_a_live_agent(machine: Machine) -> None:
    where = machine.namespace("live")
    machine.shell("kubectl create secret generic ai-credentials --from-literal=api-key=k", where).well()
    wanted = yaml.safe_load(Path(manifest("features-01-live-agent")).read_text())
    del wanted["spec"]["contexts"]
    machine.kubectl("apply", "-n", where, "-f", "-", stdin=yaml.safe_dump(wanted)).well()
    ready = planes.until(lambda: _ready(machine, where), "the Agent is ready")
    line = machine.shell("kubectl get agent team-agent -o wide", where).well().splitlines()[1]
    assert line.startswith("team-agent")
    assert "Team development agent" in line
    assert "true" in line
    status = ready["status"]
    assert status["deploymentName"] == "team-agent-server"
    assert status["serviceName"] == "team-agent"
    assert status["url"] == f"http://team-agent.{where}.svc.cluster.local:4096"
    told = {each["type"]: each["status"] for each in status["conditions"]}
    assert (told["ServerReady"], told["ServerHealthy"]) == ("True", "True")


def _ready(machine: Machine, where: str) -> Any:
    found = machine.get("agents", "team-agent", where)
    return found if found.get("status", {}).get("ready") else None


def test_suspend_and_resume(machine: Machine) -> None:
    where = machine.namespace("suspend")
    machine.shell(f"kubectl apply -f {manifest('features-28-suspend')}", where).well()
    machine.kubectl(
        "apply", "-n", where, "-f", "-", stdin=task("patient", agentRef={"name": "suspendable-agent"})
    ).well()
    queued = machine.task_is(("Queued",), "patient", where)
    assert planes.reasons(queued)["Queued"] == "AgentSuspended"
    agent = machine.get("agents", "suspendable-agent", where)
    assert planes.reasons(agent)["Suspended"] == "UserRequested"
    machine.shell(
        """kubectl patch agent suspendable-agent --type merge -p '{"spec":{"suspend":false}}'""", where
    ).well()

    def resumed() -> bool:
        task_reason = planes.reasons(machine.get("tasks", "patient", where))["Queued"]
        agent = machine.get("agents", "suspendable-agent", where)
        return task_reason != "AgentSuspended" and planes.reasons(agent)["Suspended"] == "Active"

    planes.until(resumed, "the Agent is active and the Task waits no longer for that")


def test_suspending_a_cron_task(bare: Machine) -> None:
    where = bare.namespace("cron")
    bare.shell(f"kubectl apply -f {manifest('features-20-crontask')}", where).well()
    for value in ("true", "false"):
        line = """kubectl patch crontask daily-vuln-scan --type merge -p '{"spec":{"suspend":VALUE}}'"""
        line = line.replace("VALUE", value)
        assert bare.shell(line, where).well() == "crontask.kubeopencode.io/daily-vuln-scan patched\n"
        suspended = bare.shell("kubectl get crontask daily-vuln-scan -o jsonpath='{.spec.suspend}'", where).well()
        assert suspended == value


def test_agents_that_use_a_template_can_be_listed(bare: Machine) -> None:
    where = bare.namespace("tracking")
    files = " ".join(
        f"-f {manifest(name)}" for name in ("features-21-agent-template", "features-22-agent-from-a-template")
    )
    bare.shell(f"kubectl apply {files}", where).well()
    line = "kubectl get agents -l kubeopencode.io/agent-template=team-config"

    def listed() -> str:
        return bare.shell(line, where).out

    rows = planes.until(listed, "the Agent has its label").splitlines()
    assert [row.split()[0] for row in rows] == ["NAME", "my-agent"]
