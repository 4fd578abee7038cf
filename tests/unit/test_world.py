"""How objects are merged, and where a Task then runs."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.api.builders import agent, profile, seen, task, task_template, template

from kubeopencode import world
from kubeopencode.api import config, podspec
from kubeopencode.api.meta import Key

TEXT = {"type": "Text", "text": "rules"}
OTHER_TEXT = {"type": "Text", "text": "other rules"}
GIT = {"type": "Git", "git": {"repository": "https://x.test/r.git"}, "mountPath": "src"}


def parameters(**paths: str) -> dict[str, Any]:
    """Outputs, as name and path."""
    return {"parameters": [{"name": name, "path": path} for name, path in paths.items()]}


@pytest.mark.parametrize(
    ("field", "base", "own"),
    [
        ("executorImage", "base:1", "own:1"),
        ("workspaceDir", "/base", "/own"),
        ("command", ["base"], ["own"]),
        ("config", {"model": "base"}, {"model": "own"}),
        ("serviceAccountName", "base", "own"),
        ("contexts", [TEXT], [OTHER_TEXT]),
        ("credentials", [{"name": "a", "secretRef": {"name": "a"}}], [{"name": "b", "secretRef": {"name": "b"}}]),
        ("imagePullSecrets", [{"name": "a"}], [{"name": "b"}]),
        ("podSpec", {"runtimeClassName": "gvisor", "labels": {"a": "b"}}, {"runtimeClassName": "kata"}),
        ("maxConcurrentTasks", 3, 0),
        ("quota", {"maxTaskStarts": 1, "windowSeconds": 60}, {"maxTaskStarts": 2, "windowSeconds": 60}),
        ("caBundle", {"configMapRef": {"name": "a"}}, {"secretRef": {"name": "b"}}),
        ("proxy", {"httpProxy": "a"}, {"httpsProxy": "b"}),
        ("outputs", parameters(a="a"), parameters(b="b")),
        ("allowedNamespaces", ["a"], ["b"]),
        ("automountServiceAccountToken", True, True),
    ],
)
def test_an_agent_wins_over_its_template_and_takes_what_it_leaves_open(field: str, base: Any, own: Any):
    below = template(**{field: base})
    inherits = world.profile_of_agent(agent(), below)
    replaces = world.profile_of_agent(agent(**{field: own}), below)
    assert getattr(inherits.shape, field) == getattr(below.spec, field)
    assert getattr(replaces.shape, field) == getattr(agent(**{field: own}).spec, field)


def test_what_only_an_agent_has_never_comes_from_a_template():
    merged = world.profile_of_agent(agent(profile="mine", port=5000), template(executorImage="x"))
    assert merged.agent is not None
    assert (merged.agent.spec.profile, merged.port, merged.shape.executorImage) == ("mine", 5000, "x")


def test_without_a_word_there_are_a_workspace_and_a_port():
    assert (profile(agent()).workspace, profile(agent()).port) == ("/workspace", 4096)
    assert profile(agent(workspaceDir="/place/")).workspace == "/place"


def test_the_address_of_a_server_is_its_service():
    assert profile(agent("solo")).url(world.Cluster()) == "http://solo.team.svc.cluster.local:4096"
    assert profile(agent("solo", port=80)).url(world.Cluster(domain="corp")) == "http://solo.team.svc.corp:80"


@pytest.mark.parametrize(
    ("spec", "live"),
    [
        ({}, True),
        ({"port": 4096}, True),
        ({"command": ["x"]}, False),
        ({"command": ["x"], "suspend": False}, False),
        ({"command": ["x"], "port": 4096}, True),
        ({"command": ["x"], "persistence": {}}, True),
        ({"command": ["x"], "standby": {}}, True),
        ({"command": ["x"], "suspend": True}, True),
        ({"command": ["x"], "extraPorts": [{"name": "web", "port": 80}]}, True),
    ],
)
def test_a_server_lives_unless_a_command_stands_alone(spec: dict[str, Any], live: bool):
    assert profile(agent(**spec)).live is live


def test_a_template_alone_keeps_no_server():
    assert not profile(template()).live


def test_a_command_of_the_template_counts_as_the_agents():
    assert not world.profile_of_agent(agent(), template(command=["x"])).live


@pytest.mark.parametrize(
    ("own", "base", "description", "texts"),
    [
        ({"description": "own"}, {"description": "base"}, "own", []),
        ({}, {"description": "base"}, "base", []),
        ({"description": ""}, {"description": "base"}, "", []),
        ({"contexts": [TEXT]}, {"contexts": [OTHER_TEXT]}, None, ["other rules", "rules"]),
        ({"contexts": [TEXT]}, {}, None, ["rules"]),
        ({}, {"contexts": [OTHER_TEXT]}, None, ["other rules"]),
    ],
)
def test_a_task_wins_over_its_template_and_its_contexts_come_second(
    own: dict[str, Any], base: dict[str, Any], description: str | None, texts: list[str]
):
    spec = world.spec_with_template(task(**own).spec, task_template(**base))
    assert spec.description == description
    assert [item.text for item in spec.contexts] == texts


def test_the_agent_of_a_task_template_is_for_tasks_that_name_nobody():
    base = task_template(agentRef={"name": "base"})
    named = world.spec_with_template(task(agentRef={"name": "own"}).spec, base)
    nobody = world.spec_with_template(task().spec, base)
    blueprint = world.spec_with_template(task(templateRef={"name": "blueprint"}).spec, base)
    assert named.agentRef is not None
    assert named.agentRef.name == "own"
    assert nobody.agentRef is not None
    assert nobody.agentRef.name == "base"
    assert blueprint.agentRef is None


def test_outputs_are_merged_by_name_and_the_later_level_wins():
    own, base = parameters(b="own-b", c="own-c"), parameters(a="base-a", b="base-b")
    spec = world.spec_with_template(task(outputs=own).spec, task_template(outputs=base))
    assert spec.outputs is not None
    assert {each.name: each.path for each in spec.outputs.parameters} == {"a": "base-a", "b": "own-b", "c": "own-c"}


def test_results_are_those_of_the_agent_then_those_of_the_task():
    observed = seen(task(outputs=parameters(b="task")), agent(outputs=parameters(a="agent", b="agent")))
    assert observed.outputs is not None
    assert {each.name: each.path for each in observed.outputs.parameters} == {"a": "agent", "b": "task"}
    assert seen(task(), agent()).outputs is None


def test_a_task_without_template_is_left_as_it_is():
    spec = task(description="x").spec
    assert world.spec_with_template(spec, None) is spec


@pytest.mark.parametrize(
    ("why", "spec", "by", "attached"),
    [
        ("nothing stands against it", {}, agent(), True),
        ("texts travel", {"contexts": [TEXT]}, agent(), True),
        ("one file travels", {"contexts": [TEXT | {"mountPath": "a.md"}]}, agent(), True),
        (
            "one key travels",
            {"contexts": [{"type": "ConfigMap", "configMap": {"name": "m", "key": "k"}}]},
            agent(),
            True,
        ),
        ("aggregated keys travel", {"contexts": [{"type": "ConfigMap", "configMap": {"name": "m"}}]}, agent(), True),
        ("git stays", {"contexts": [GIT]}, agent(), False),
        (
            "folders stay",
            {"contexts": [{"type": "ConfigMap", "configMap": {"name": "m"}, "mountPath": "d"}]},
            agent(),
            False,
        ),
        ("results are files", {"outputs": parameters(a="a")}, agent(), False),
        ("the agent promises results", {}, agent(outputs=parameters(a="a")), False),
        ("a command of its own", {}, agent(command=["x"]), False),
        ("a command beside a server", {}, agent(command=["x"], port=4096), False),
        ("a template has no server", {}, template(), False),
        ("the agent is elsewhere", {}, agent(meta={"namespace": "platform"}), False),
        ("git of the agent is at home there", {}, agent(contexts=[GIT]), True),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_task_goes_to_the_live_server_unless_it_needs_a_pod_of_its_own(
    why: str, spec: dict[str, Any], by: Any, attached: bool
):
    assert seen(task(**spec), by).attached is attached, why


def test_the_outputs_and_contexts_of_a_task_template_count_as_the_tasks():
    assert not seen(task(), agent(), task_template=task_template(outputs=parameters(a="a"))).attached
    assert not seen(task(), agent(), task_template=task_template(contexts=[GIT])).attached


def test_a_task_with_nobody_to_do_it_goes_nowhere():
    observed = seen(task(), None, missing="no Agent")
    assert (observed.attached, observed.foreign) == (False, False)


def test_an_agent_of_another_namespace_is_foreign():
    assert seen(task(), agent(meta={"namespace": "platform"})).foreign
    assert not seen(task(), agent()).foreign
    assert profile(agent(meta={"namespace": "platform"})).key == Key("platform", "solo")


def test_the_clusters_configuration_lies_over_the_installations():
    ours = world.Cluster(domain="ours", system_image=config.SystemImage("ours:1"), native_sidecars=False)
    theirs = config.KubeOpenCodeConfigSpec(
        clusterDomain="corp",
        systemImage=config.SystemImage(imagePullPolicy="Always"),
        proxy=podspec.ProxySpec(httpProxy="http://p"),
        cleanup=config.Cleanup(ttlSecondsAfterFinished=0),
    )
    over = ours.overlaid(theirs)
    assert over.domain == "corp"
    assert over.system_image == config.SystemImage("ours:1", "Always")
    assert over.proxy == podspec.ProxySpec(httpProxy="http://p")
    assert over.cleanup.ttlSecondsAfterFinished == 0
    assert over.native_sidecars is False


def test_an_absent_or_empty_configuration_changes_nothing():
    ours = world.Cluster(domain="ours", system_image=config.SystemImage("ours:1"))
    assert ours.overlaid(None) == ours
    assert ours.overlaid(config.KubeOpenCodeConfigSpec()) == ours
