"""What people get wrong: each gives a message that names the field and the way out, every Task ends with a reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from kit import planes
from kit.planes import GROUP, Desk, Machine, manifest

LONG = "n" * 253
DASHES = "--help me\n-n kube-system\n$(touch /tmp/owned) `id` \"quoted\" 'too'\n"


def text(kind: str, name: str, **spec: Any) -> str:
    return yaml.safe_dump(manifest(kind, name, **spec))


# refused at once


def test_an_unknown_field_is_refused_and_on_request_only_warned_about(desk: Desk) -> None:
    planes.needs("kubectl")
    odd = text("Agent", "odd", suspend=True, maxConcurentTasks=3)
    where = ["-n", desk.namespace, "-f", "-"]
    for strict in ([], ["--validate=strict"]):
        refusal = desk.machine.kubectl("apply", *strict, *where, stdin=odd).refusal
        assert 'strict decoding error: unknown field "spec.maxConcurentTasks"' in refusal
    assert 'unknown field "spec.maxConcurentTasks"' in desk.kubeoc("apply", "-f", "-", stdin=odd).refusal
    assert desk.get("agents", "odd") is None
    warned = desk.machine.kubectl("apply", "--validate=warn", *where, stdin=odd)
    assert warned.well() == "agent.kubeopencode.io/odd created\n"
    assert warned.err == 'Warning: unknown field "spec.maxConcurentTasks"\n'
    assert desk.get("agents", "odd")["spec"] == {"suspend": True}


WRONG = [
    (text("Task", "t", description=5), "spec.description", "must be of type string"),
    (text("Task", "t", description="x", timeout="soon"), "spec.timeout", "should match"),
    (text("Task", "t", description="x", agentRef="default"), "spec.agentRef", "must be of type object"),
    (text("Task", "t", description="x", agentRef={}), "spec.agentRef.name", "Required value"),
    (
        text("Task", "t", agentRef={"name": "a"}, templateRef={"name": "b"}),
        "spec",
        "only one of agentRef or templateRef",
    ),
    (text("Task", "t", contexts=[{"type": "Text"}]), "spec.contexts[0]", "text is required when type is Text"),
    (text("Task", "t", contexts=[{"type": "Mail"}]), "spec.contexts[0].type", '"Text"'),
    (text("Agent", "a", port="4096"), "spec.port", "must be of type integer"),
    (text("Agent", "a", port=70000), "spec.port", "less than or equal to 65535"),
    (text("Agent", "a", workspaceDir="work"), "spec.workspaceDir", "should match '^/.*'"),
    (text("Agent", "a", quota={"maxTaskStarts": 1, "windowSeconds": 5}), "spec.quota.windowSeconds", "60"),
    (text("Agent", "a", maxConcurrentTasks=-1), "spec.maxConcurrentTasks", "greater than or equal to 0"),
    (text("Agent", "a", caBundle={}), "spec.caBundle", "exactly one of configMapRef or secretRef"),
    (
        text("Agent", "a", credentials=[{"name": "k", "secretRef": {"name": "s"}, "env": "K"}]),
        "spec.credentials[0]",
        "env can only be set when secretRef.key is specified",
    ),
    (text("Task", LONG + "n", description="x"), "metadata.name", "no more than 253 characters"),
    (text("Task", "Bad_Name", description="x"), "metadata.name", "lower case alphanumeric"),
]


@pytest.mark.parametrize(("body", "field", "allowed"), WRONG, ids=[f"{field}-{said[:24]}" for _, field, said in WRONG])
def test_a_wrong_value_is_refused_with_its_field_and_what_is_allowed(
    machine: Machine, body: str, field: str, allowed: str
) -> None:
    refusal = machine.kubeoc("apply", "-f", "-", stdin=body).refusal
    assert f" {field}: " in refusal
    assert allowed in refusal
    assert "\n" not in refusal


def test_a_text_of_two_megabytes_is_refused_with_the_limit(desk: Desk) -> None:
    planes.needs("kubectl")
    huge = text("Task", "huge", description="x" * 2_000_000)
    # The annotation of kubectl apply doubles it, so another limit speaks.
    for program in (
        desk.machine.kubectl("apply", "-n", desk.namespace, "-f", "-", stdin=huge),
        desk.machine.kubectl("create", "-n", desk.namespace, "-f", "-", stdin=huge),
        desk.kubeoc("apply", "-f", "-", stdin=huge),
        desk.kubeoc("run", "-", stdin="x" * 2_000_000),
    ):
        assert "Request entity too large: limit is " in program.refusal
        assert len(program.refusal) < 300
    assert desk.get("tasks")["items"] == []


@pytest.mark.parametrize("name", ["default", "kube-system"])
def test_the_namespaces_that_every_cluster_has_cannot_be_deleted(machine: Machine, name: str) -> None:
    _, refusal = machine.attempt("DELETE", f"/api/v1/namespaces/{name}?dryRun=All")
    assert refusal == f'namespaces "{name}" is forbidden: this namespace may not be deleted'


def test_a_name_of_no_namespace_is_named(machine: Machine) -> None:
    refusal = machine.kubeoc("-n", "nowhere", "run", "do it").refusal
    assert refusal == 'Error: namespaces "nowhere" not found'


def test_a_text_that_looks_like_an_option_is_refused_with_the_way_to_give_it(desk: Desk) -> None:
    refusal = desk.kubeoc("run", "--make it better", "--template", "quick").refusal
    assert "kubeoc run -- TEXT" in refusal
    ran = desk.kubeoc("run", "--template", "quick", "--", "--make it better")
    assert ran.out.splitlines()[-1] == "--make it better"
    assert ran.code == 0


# accepted, and ended with a reason


@dataclass(frozen=True)
class Ward:
    """Tasks that cannot do well, all at work at once."""

    machine: Machine
    namespace: str

    def ended(self, name: str) -> tuple[str, str]:
        """The phase of a Task once it has ended, and what it says about it."""
        found = self.machine.ended(name, self.namespace)
        told = [each for each in found["status"].get("conditions", ()) if each["status"] == "False"]
        return found["status"]["phase"], told[-1]["message"] if told else ""


SICK: dict[str, dict[str, Any]] = {
    "vault": {"credentials": [{"name": "k", "secretRef": {"name": "vault", "key": "k"}, "env": "K"}]},
    "image": {"executorImage": "registry.example.com/team/odd:1"},
    "folder": {"workspaceDir": "/place/$(touch owned)"},
    "system": {"workspaceDir": "/etc"},
    "config-map": {"contexts": [{"type": "ConfigMap", "configMap": {"name": "rules"}}]},
    "config": {"config": "{not json"},
    "escape": {"contexts": [{"type": "Text", "text": "x", "mountPath": "../../etc/passwd"}]},
    "repository": {"contexts": [{"type": "Git", "git": {"repository": "--upload-pack=x"}, "mountPath": "code"}]},
}


@pytest.fixture(scope="module", autouse=True)
def ward(machine: Machine) -> Ward:
    namespace = machine.namespace("ward")
    at = f"{GROUP}/namespaces/{namespace}"
    command = ["sh", "-c", "cat task.md"]
    for name, spec in (SICK | {"well": {}}).items():
        machine.request("POST", f"{at}/agenttemplates", manifest("AgentTemplate", name, command=command, **spec))
        body = manifest("Task", name, templateRef={"name": name}, description=DASHES)
        machine.request("POST", f"{at}/tasks", body)
    machine.request("POST", f"{at}/tasks", manifest("Task", "nobody", agentRef={"name": "nobody"}, description="x"))
    machine.request("POST", f"{at}/tasks", manifest("Task", LONG, templateRef={"name": "well"}, description="x"))
    return Ward(machine, namespace)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("folder", "spec.workspaceDir: '/place/$(touch owned)' has characters that a path here may not have"),
        ("system", "spec.workspaceDir: '/etc' is a folder of the system; use one such as /workspace"),
        ("config-map", '"rules"'),
        ("config", "spec.config"),
        ("escape", "spec.contexts[0].mountPath"),
        pytest.param(
            "repository",
            "spec.contexts[0]",
        ),
        ("nobody", 'nobody"'),
    ],
)
def test_a_task_that_cannot_be_done_fails_and_names_the_cause(ward: Ward, name: str, words: str) -> None:
    phase, message = ward.ended(name)
    assert phase == "Failed"
    assert words in message
    ran = ward.machine.kubeoc("-n", ward.namespace, "wait", name)
    assert (ran.code, message.splitlines()[0][:40] in ran.out) == (1, True)


@pytest.mark.parametrize(
    ("name", "reason", "words"),
    [
        ("image", "ErrImagePull", ['image "registry.example.com/team/odd:1"', "images.yaml", "Known images: "]),
        ("vault", "CreateContainerConfigError", ['secret "vault" not found']),
    ],
)
def test_what_may_still_come_is_waited_for_and_named_meanwhile(
    ward: Ward, name: str, reason: str, words: list[str]
) -> None:
    path = f"/api/v1/namespaces/{ward.namespace}/pods/{name}-pod"

    def waiting() -> Any:
        pod = ward.machine.request("GET", path) or {"status": {}}
        status = pod["status"]
        listed = [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]
        found = [each["state"]["waiting"] for each in listed if "waiting" in each["state"]]
        told = [each for each in found if each["reason"] in (reason, "ImagePullBackOff")]
        return told[0]["message"] if told else None

    message = planes.until(waiting, f"the Pod waits: {reason}")
    refusal = ward.machine.kubeoc("-n", ward.namespace, "logs", name).refusal
    for each in words:
        assert each in message
        assert each in refusal
    ward.machine.kubeoc("-n", ward.namespace, "stop", name).well()
    assert ward.ended(name)[0] == "Completed"


def test_an_instruction_of_dashes_and_shell_signs_arrives_as_it_was_written(ward: Ward) -> None:
    assert ward.ended("well") == ("Completed", "")
    assert ward.machine.kubeoc("-n", ward.namespace, "logs", "well").well() == DASHES


def test_the_longest_name_runs(ward: Ward) -> None:
    assert ward.ended(LONG) == ("Completed", "")
    found = ward.machine.get("tasks", LONG, ward.namespace)
    assert len(found["status"]["podName"]) <= 253
    assert ward.machine.kubeoc("-n", ward.namespace, "logs", LONG).well() == "x\n"
