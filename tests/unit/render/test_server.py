"""A live Agent's objects."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.api.builders import agent, config_map, profile
from tests.unit.render.builders import env, init, inits, live, main, mounts, volume

from kubeopencode.api.meta import Key
from kubeopencode.render import server
from kubeopencode.world import Cluster

RULES = {"type": "Text", "text": "rules"}


def pod_of(objects: dict[str, Any], name: str = "solo") -> Any:
    """The Pod template of the Deployment."""
    return objects[f"Deployment/{name}-server"]["spec"]["template"]


def test_a_plain_agent_is_a_deployment_and_a_service():
    assert list(live()) == ["Service/solo", "Deployment/solo-server"]


def test_the_service_leads_to_the_pods_of_the_deployment():
    objects = live(agent(port=5000))
    service, deployment = objects["Service/solo"], objects["Deployment/solo-server"]
    selector = {"kubeopencode.io/agent": "solo"}
    assert service["spec"]["selector"] == selector
    assert deployment["spec"]["selector"] == {"matchLabels": selector}
    assert selector.items() <= deployment["spec"]["template"]["metadata"]["labels"].items()
    assert service["spec"]["ports"] == [{"name": "http", "port": 5000, "targetPort": 5000, "protocol": "TCP"}]
    assert main(pod_of(objects))["ports"] == [{"name": "http", "containerPort": 5000}]
    assert env(main(pod_of(objects)))["OPENCODE_PORT"] == "5000"


def test_objects_carry_the_labels_that_others_select_by():
    persistence = {"sessions": {}, "workspace": {}}
    for each in live(agent(persistence=persistence)).values():
        assert each["metadata"]["labels"] == {
            "app.kubernetes.io/name": "kubeopencode-server",
            "app.kubernetes.io/instance": "solo",
            "app.kubernetes.io/component": "server",
            "app.kubernetes.io/managed-by": "kubeopencode",
            "kubeopencode.io/agent": "solo",
        }


def test_further_ports_are_ports_of_service_and_container():
    objects = live(agent(extraPorts=[{"name": "web", "port": 8080}, {"name": "dns", "port": 53, "protocol": "UDP"}]))
    ports = objects["Service/solo"]["spec"]["ports"]
    assert [(each["name"], each["port"], each["protocol"]) for each in ports] == [
        ("http", 4096, "TCP"),
        ("web", 8080, "TCP"),
        ("dns", 53, "UDP"),
    ]
    assert {each["name"] for each in main(pod_of(objects))["ports"]} == {"http", "web", "dns"}


def test_two_servers_never_run_on_one_database():
    assert live()["Deployment/solo-server"]["spec"]["strategy"] == {"type": "Recreate"}


@pytest.mark.parametrize(("suspend", "replicas"), [(True, 0), (False, 1)])
def test_a_suspended_agent_keeps_everything_but_its_pod(suspend: bool, replicas: int):
    objects = live(agent(suspend=suspend, persistence={"sessions": {}}))
    assert list(objects) == ["Service/solo", "PersistentVolumeClaim/solo-server-sessions", "Deployment/solo-server"]
    assert objects["Deployment/solo-server"]["spec"]["replicas"] == replicas


def test_the_server_runs_in_the_executor_image_behind_a_shell_that_passes_signals_on():
    container = main(pod_of(live()))
    assert container["name"] == "opencode-server"
    assert container["image"] == "quay.io/kubeopencode/kubeopencode-agent-devbox:latest"
    assert container["command"][:2] == ["sh", "-c"]
    assert '/tools/opencode serve --port "$OPENCODE_PORT"' in container["command"][2]
    assert "trap" in container["command"][2]
    assert container["workingDir"] == "/workspace"


def test_the_command_of_an_agent_is_for_its_tasks_and_not_for_its_server():
    assert "mine" not in main(pod_of(live(agent(command=["mine"], port=4096))))["command"]


def test_the_server_is_probed_without_its_password():
    container = main(pod_of(live(agent(port=5000))))
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["tcpSocket"] == {"port": 5000}
        assert "httpGet" not in container[probe]


def test_the_password_is_a_reference_everywhere_but_in_its_secret():
    objects = live()
    assert env(main(pod_of(objects)))["OPENCODE_SERVER_PASSWORD"] == {
        "secretKeyRef": {"name": "solo-server-password", "key": "password"}
    }
    assert not any(name.startswith("Secret/") for name in objects)
    secret = server.password(profile(agent()), "hunter2")
    assert (secret["kind"], secret["metadata"]["name"]) == ("Secret", "solo-server-password")
    assert secret["stringData"] == {"password": "hunter2"}


def test_contexts_and_configuration_are_files_of_the_server():
    objects = live(agent(contexts=[RULES], config={"model": "m"}))
    cm, pod = objects["ConfigMap/solo-server-context"], pod_of(objects)
    assert list(cm["data"]) == ["workspace-.kubeopencode-context.md", "tools-opencode.json"]
    assert inits(pod) == ["opencode-init", "context-init"]
    assert volume(pod, "context-files")["configMap"]["name"] == "solo-server-context"
    assert env(main(pod))["OPENCODE_CONFIG"] == "/tools/opencode.json"
    assert "/workspace/.kubeopencode/context.md" in env(main(pod))["OPENCODE_CONFIG_CONTENT"]


def test_without_files_nothing_is_prepared_but_the_program():
    assert inits(pod_of(live())) == ["opencode-init"]


def test_the_server_restarts_when_a_text_changes_and_only_then():
    def annotation(**spec: Any) -> str:
        return pod_of(live(agent(**spec)))["metadata"]["annotations"]["kubeopencode.io/context-hash"]

    one = annotation(contexts=[RULES])
    assert one == annotation(contexts=[RULES], maxConcurrentTasks=3, profile="x")
    assert one != annotation(contexts=[RULES | {"text": "others"}])
    assert one != annotation(contexts=[RULES], config={"model": "m"})
    assert len(one) == 16


def test_a_changed_config_map_restarts_the_server():
    by = agent(contexts=[{"type": "ConfigMap", "configMap": {"name": "rules"}}])
    assert server.sources(profile(by)) == {Key("team", "rules")}
    hashes = {
        pod_of(live(by, maps={Key("team", "rules"): config_map("rules", {"a": text})}))["metadata"]["annotations"][
            "kubeopencode.io/context-hash"
        ]
        for text in ("one", "two")
    }
    assert len(hashes) == 2


@pytest.mark.parametrize(
    ("persistence", "sizes"),
    [
        ({}, {}),
        ({"sessions": {}}, {"sessions": "1Gi"}),
        ({"workspace": {}}, {"workspace": "10Gi"}),
        ({"sessions": {"size": "2Gi"}, "workspace": {"size": "20Gi"}}, {"sessions": "2Gi", "workspace": "20Gi"}),
    ],
)
def test_what_is_kept_is_a_volume_claim(persistence: Any, sizes: dict[str, str]):
    objects = live(agent(persistence=persistence))
    claims = {name: each for name, each in objects.items() if each["kind"] == "PersistentVolumeClaim"}
    assert {
        name.removeprefix("PersistentVolumeClaim/solo-server-"): each["spec"]["resources"]["requests"]["storage"]
        for name, each in claims.items()
    } == sizes
    assert all(each["spec"]["accessModes"] == ["ReadWriteOnce"] for each in claims.values())
    assert all("storageClassName" not in each["spec"] for each in claims.values())


def test_kept_sessions_are_the_programs_database():
    pod = pod_of(live(agent(persistence={"sessions": {}})))
    assert env(main(pod))["OPENCODE_DB"] == "/data/sessions/opencode.db"
    assert mounts(main(pod))["/data/sessions"]["name"] == "sessions"
    assert volume(pod, "sessions")["persistentVolumeClaim"] == {"claimName": "solo-server-sessions"}
    assert "OPENCODE_DB" not in env(main(pod_of(live())))


def test_a_kept_workspace_takes_the_place_of_the_fleeting_one():
    pod = pod_of(live(agent(persistence={"workspace": {"storageClassName": ""}})))
    assert volume(pod, "workspace") == {
        "name": "workspace",
        "persistentVolumeClaim": {"claimName": "solo-server-workspace"},
    }


@pytest.mark.parametrize("name", ["fast", ""])
def test_a_storage_class_is_passed_on_even_when_it_is_the_empty_one(name: str):
    claim = live(agent(persistence={"sessions": {"storageClassName": name}}))
    assert claim["PersistentVolumeClaim/solo-server-sessions"]["spec"]["storageClassName"] == name


def test_a_long_name_fits_everywhere():
    objects = live(agent("a" * 200))
    for each in objects.values():
        assert len(each["metadata"]["name"]) <= 63
        assert all(len(value) <= 63 for value in each["metadata"]["labels"].values())


def test_labels_of_the_owner_do_not_change_the_selection():
    objects = live(agent(podSpec={"labels": {"kubeopencode.io/agent": "other", "team": "blue"}}))
    labels = pod_of(objects)["metadata"]["labels"]
    assert (labels["kubeopencode.io/agent"], labels["team"]) == ("solo", "blue")


def test_files_are_prepared_by_the_cluster_s_system_image():
    pod = pod_of(live(agent(contexts=[RULES]), cluster=Cluster()))
    assert init(pod, "context-init")["image"] == "quay.io/kubeopencode/kubeopencode:latest"
