"""The Pod of a Task that works by itself."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.api.builders import agent, task, template
from tests.unit.render.builders import (
    desired,
    env,
    expanded,
    file,
    init,
    inits,
    main,
    mounts,
    standalone,
    violations,
    volume,
    written,
)

from kubeopencode.api import config
from kubeopencode.render.parts import Refused
from kubeopencode.world import Cluster


def test_the_pod_and_its_files_are_named_and_labelled_after_the_task():
    config_map, pod = desired(task("fix", description="Do it."), template())
    assert (config_map["kind"], config_map["metadata"]["name"]) == ("ConfigMap", "fix-context")
    assert (pod["kind"], pod["metadata"]["name"], pod["metadata"]["namespace"]) == ("Pod", "fix-pod", "team")
    labels = {"app": "kubeopencode", "kubeopencode.io/task": "fix"}
    assert pod["metadata"]["labels"] == config_map["metadata"]["labels"] == labels
    assert pod["metadata"]["annotations"]["kubeopencode.io/task-name"] == "team/fix"
    assert pod["spec"]["restartPolicy"] == "Never"
    assert volume(pod, "context-files")["configMap"]["name"] == "fix-context"


def test_the_pod_of_a_foreign_agent_lives_with_the_agent():
    config_map, pod = desired(task("fix"), agent(meta={"namespace": "platform"}))
    for each in (config_map, pod):
        assert each["metadata"]["namespace"] == "platform"
        assert each["metadata"]["labels"]["kubeopencode.io/task-namespace"] == "team"
        assert each["metadata"]["labels"]["kubeopencode.io/task"] == "fix"
    assert volume(pod, "context-files")["configMap"]["name"] == config_map["metadata"]["name"]
    assert env(main(pod))["TASK_NAMESPACE"] == "team"


def test_the_program_then_the_files_then_the_recorder_then_the_work():
    _, pod = standalone()
    assert inits(pod) == ["opencode-init", "context-init", "output-collector"]
    assert main(pod)["name"] == "agent"
    assert init(pod, "opencode-init").get("command") is None, "the image's own entrypoint copies the program"
    assert env(init(pod, "opencode-init"))["TOOLS_DIR"] == "/tools"
    assert init(pod, "context-init")["command"] == ["/kubeopencode", "context-init"]
    assert "/kubeopencode record" in init(pod, "output-collector")["command"][-1]


def test_the_recorder_outlives_the_agent_as_a_sidecar():
    assert init(standalone()[1], "output-collector")["restartPolicy"] == "Always"


def test_the_recorder_is_an_ordinary_container_where_sidecars_are_unknown():
    _, pod = desired(task(), template(), cluster=Cluster(native_sidecars=False))
    assert "output-collector" not in inits(pod)
    assert [each["name"] for each in pod["spec"]["containers"]] == ["agent", "output-collector"]


def test_the_recorder_beside_the_agent_is_told_of_its_end_whatever_the_command_is():
    command = ["my agent", "--with", "$(TASK_NAME)"]
    _, pod = desired(task(), template(command=command), cluster=Cluster(native_sidecars=False))
    agent_container, recorder = pod["spec"]["containers"]
    assert agent_container["command"][:2] == ["sh", "-c"]
    assert "touch /record/done" in agent_container["command"][2]
    assert agent_container["command"][3:] == ["sh", *command], "words stay words; the shell never reads them"
    assert "restartPolicy" not in recorder
    assert mounts(recorder)["/record"]["name"] == mounts(agent_container)["/record"]["name"]
    assert violations(pod["spec"]) == []


def test_the_environment_comes_in_the_order_of_the_contract():
    _, pod = standalone(
        {"type": "Text", "text": "x"}, config={"model": "m"}, credentials=[KEY], proxy={"httpProxy": "p"}
    )
    names = list(env(main(pod)))
    contract = ["HOME", "SHELL", "PATH", "WORKSPACE_DIR", "TASK_NAME", "TASK_NAMESPACE", "OPENCODE_CONFIG"]
    contract += ["OPENCODE_PERMISSION", "OPENCODE_CONFIG_CONTENT", "API_KEY", "HTTP_PROXY"]
    assert [name for name in names if name in contract] == contract


KEY = {"name": "key", "secretRef": {"name": "s", "key": "k"}, "env": "API_KEY"}


def test_the_agent_finds_itself_in_its_environment():
    found = env(main(desired(task("fix", meta={"uid": "12345678-9"}), template())[1]))
    assert found["HOME"] == "/tmp"
    assert found["PATH"].startswith("/tools:")
    assert found["WORKSPACE_DIR"] == "/workspace"
    assert (found["TASK_NAME"], found["TASK_NAMESPACE"]) == ("fix", "team")
    assert found["TASK_TITLE"] == "kubeopencode/team/fix/12345678"


def test_the_prompt_goes_through_standard_input_and_never_onto_the_command_line():
    evil = "$(reboot) `reboot` \"; reboot; ' --help"
    config_map, pod = desired(task(description=evil), template())
    assert file(config_map, pod, "/workspace/task.md") == evil
    assert "reboot" not in str(pod)
    assert '< "$WORKSPACE_DIR/task.md"' in main(pod)["command"][2]
    assert main(pod)["command"][:2] == ["sh", "-c"]


def test_a_command_of_the_owner_takes_the_place_of_ours_unchanged():
    command = ["sh", "-c", '/tools/opencode run "$(cat ${WORKSPACE_DIR}/task.md)"']
    _, pod = standalone(command=command)
    assert main(pod)["command"] == command
    known = {name: value for name, value in env(main(pod)).items() if isinstance(value, str)}
    assert [expanded(word, known) for word in main(pod)["command"]] == command, "Kubernetes leaves $(cat …) alone"


def test_a_task_without_description_has_an_empty_task_file():
    config_map, pod = standalone()
    assert file(config_map, pod, "/workspace/task.md") == ""


@pytest.mark.parametrize("folder", ["/place", "/home/agent/repo", "/place/"])
def test_the_task_file_lies_in_the_workspace_wherever_that_is(folder: str):
    clean = folder.rstrip("/")
    _, pod = standalone({"type": "Text", "text": "rules"}, workspaceDir=folder)
    assert set(written(pod)) == {f"{clean}/task.md", f"{clean}/.kubeopencode/context.md"}
    assert main(pod)["workingDir"] == clean
    assert env(main(pod))["WORKSPACE_DIR"] == clean
    for container in (main(pod), init(pod, "context-init"), init(pod, "output-collector")):
        assert mounts(container)[clean]["name"] == "workspace"


def test_tools_workspace_and_home_are_writable_and_die_with_the_pod():
    _, pod = standalone()
    for name, path in (("tools", "/tools"), ("workspace", "/workspace"), ("home", "/tmp")):
        assert volume(pod, name) == {"name": name, "emptyDir": {}}
        assert mounts(main(pod))[path] == {"name": name, "mountPath": path}


def test_every_mount_has_a_volume_and_no_path_is_used_twice():
    text = {"type": "Text", "text": "x", "mountPath": "/etc/app/x.md"}
    folder = {"type": "ConfigMap", "configMap": {"name": "m"}, "mountPath": "conf"}
    bundle = {"configMapRef": {"name": "ca"}}
    _, pod = standalone(text, folder, caBundle=bundle, credentials=[KEY | {"mountPath": "/home/a/key"}])
    known = {each["name"] for each in pod["spec"]["volumes"]}
    assert len(known) == len(pod["spec"]["volumes"])
    for container in (*pod["spec"]["initContainers"], main(pod)):
        paths = [each["mountPath"] for each in container["volumeMounts"]]
        assert len(set(paths)) == len(paths)
        assert {each["name"] for each in container["volumeMounts"]} <= known


def test_memory_is_bounded_unless_the_owner_says_otherwise():
    assert main(standalone()[1])["resources"] == {"requests": {"memory": "512Mi"}, "limits": {"memory": "4Gi"}}
    own = {"limits": {"cpu": "2"}}
    assert main(standalone(podSpec={"resources": own})[1])["resources"] == own


def test_a_pod_gets_no_token_and_no_service_links_unless_asked_for():
    spec = standalone()[1]["spec"]
    assert (spec["automountServiceAccountToken"], spec["enableServiceLinks"]) == (False, False)
    assert "serviceAccountName" not in spec
    spec = standalone(automountServiceAccountToken=True, serviceAccountName="robot")[1]["spec"]
    assert (spec["automountServiceAccountToken"], spec["serviceAccountName"]) == (True, "robot")


def test_the_owners_settings_of_the_pod_are_carried_over():
    toleration = {"key": "dedicated", "operator": "Equal", "value": "ai", "effect": "NoSchedule"}
    options: dict[str, Any] = {
        "labels": {"network-policy": "restricted", "app": "mine"},
        "runtimeClassName": "gvisor",
        "scheduling": {"nodeSelector": {"type": "ai"}, "tolerations": [toleration]},
        "lifecycle": {"preStop": {"exec": {"command": ["sync"]}}},
        "extraVolumes": [{"name": "cache", "emptyDir": {}}],
        "extraVolumeMounts": [{"name": "cache", "mountPath": "/cache"}],
    }
    _, pod = standalone(podSpec=options, imagePullSecrets=[{"name": "harbor"}])
    spec = pod["spec"]
    assert pod["metadata"]["labels"]["network-policy"] == "restricted"
    assert pod["metadata"]["labels"]["app"] == "kubeopencode", "our own labels cannot be taken over"
    assert spec["runtimeClassName"] == "gvisor"
    assert (spec["nodeSelector"], spec["tolerations"]) == ({"type": "ai"}, [toleration])
    assert spec["imagePullSecrets"] == [{"name": "harbor"}]
    assert main(pod)["lifecycle"] == options["lifecycle"]
    assert volume(pod, "cache") == {"name": "cache", "emptyDir": {}}
    assert mounts(main(pod))["/cache"]["name"] == "cache"


def test_the_owners_variables_reach_every_container_and_win():
    _, pod = standalone(podSpec={"extraEnv": [{"name": "HOME", "value": "/home/me"}, {"name": "LANG", "value": "C"}]})
    for container in (*pod["spec"]["initContainers"], main(pod)):
        assert env(container)["LANG"] == "C"
        assert len({each["name"] for each in container["env"]}) == len(container["env"])
    assert env(main(pod))["HOME"] == "/home/me"


def test_an_owners_mount_may_be_the_workspace():
    _, pod = standalone(
        podSpec={
            "extraVolumes": [{"name": "repo", "persistentVolumeClaim": {"claimName": "repo"}}],
            "extraVolumeMounts": [{"name": "repo", "mountPath": "/workspace"}],
        }
    )
    for container in (main(pod), init(pod, "context-init"), init(pod, "output-collector")):
        assert mounts(container)["/workspace"]["name"] == "repo"
    assert "workspace" not in {each["name"] for each in pod["spec"]["volumes"]}


@pytest.mark.parametrize(
    "options",
    [
        {"extraVolumeMounts": [{"name": "tools", "mountPath": "/tmp"}]},
        {"extraVolumes": [{"name": "tools", "emptyDir": {}}]},
    ],
    ids=["mount path", "volume name"],
)
def test_an_owners_volume_never_stands_beside_one_of_ours_in_the_same_place(options: Any):
    try:
        _, pod = standalone(podSpec=options)
    except Refused:
        return
    paths = [each["mountPath"] for each in main(pod)["volumeMounts"]]
    names = [each["name"] for each in pod["spec"]["volumes"]]
    assert (len(set(paths)), len(set(names))) == (len(paths), len(names))


def test_the_owners_settings_of_our_containers_are_carried_over():
    limits = {"limits": {"memory": "1Gi"}}
    _, pod = standalone(podSpec={"systemContainers": {"contextInit": {"resources": limits}}})
    assert init(pod, "context-init")["resources"] == limits


def test_the_owners_settings_of_our_containers_change_neither_what_they_do_nor_where():
    theirs = {"name": "x", "command": ["x"], "volumeMounts": [], "env": [{"name": "LANG", "value": "C"}]}
    _, plain = standalone()
    _, pod = standalone(podSpec={"systemContainers": {"contextInit": theirs}})
    for field in ("name", "command", "volumeMounts"):
        assert init(pod, "context-init")[field] == init(plain, "context-init")[field]
    assert env(init(pod, "context-init")) == env(init(plain, "context-init")) | {"LANG": "C"}


@pytest.mark.parametrize(
    "options",
    [{"extraEnv": [{"value": "x"}]}, {"extraVolumes": [{"emptyDir": {}}]}, {"extraVolumeMounts": [{"name": "tools"}]}],
    ids=["extraEnv", "extraVolumes", "extraVolumeMounts"],
)
def test_what_the_owner_left_incomplete_is_refused_with_the_field(options: Any):
    with pytest.raises(Refused, match=r"spec\.podSpec\." + next(iter(options))):
        standalone(podSpec=options)


def test_the_clusters_system_image_runs_our_containers():
    cluster = Cluster(system_image=config.SystemImage("corp/koc:2", "Always"))
    _, pod = desired(task(), template(), cluster=cluster)
    for name in ("context-init", "output-collector"):
        assert init(pod, name)["image"] == "corp/koc:2"
        assert init(pod, name)["imagePullPolicy"] == "Always"


def test_the_recorder_knows_the_results_to_read():
    parameters = {"parameters": [{"name": "pr-url", "path": ".outputs/pr-url"}]}
    _, pod = desired(task(outputs=parameters), agent())
    recorder = env(init(pod, "output-collector"))
    assert recorder["OUTPUT_SPEC"] == '{"parameters":[{"name":"pr-url","path":".outputs/pr-url"}]}'
    assert recorder["OPENCODE_DB"] == env(main(pod))["OPENCODE_DB"]
    assert mounts(init(pod, "output-collector"))["/workspace"]["readOnly"] is True
