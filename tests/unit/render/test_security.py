"""Every Pod of ours passes the restricted Pod Security Standard, and no secret is ever written out."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.api.builders import agent, task, template
from tests.unit.render.builders import desired, init, live, main, standalone, violations

FULL: dict[str, Any] = {
    "contexts": [
        {"type": "Text", "text": "x"},
        {"type": "Text", "text": "x", "mountPath": "/etc/app/x"},
        {"type": "ConfigMap", "configMap": {"name": "m"}, "mountPath": "folder"},
        {"type": "Runtime"},
    ],
    "credentials": [
        {"name": "a", "secretRef": {"name": "s", "key": "k"}, "env": "K", "mountPath": "/home/agent/k"},
        {"name": "b", "secretRef": {"name": "s"}},
    ],
    "config": {"model": "m"},
    "caBundle": {"secretRef": {"name": "ca"}},
    "proxy": {"httpProxy": "p"},
    "outputs": {"parameters": [{"name": "a", "path": "a"}]},
}


@pytest.mark.parametrize(
    "pod",
    [
        standalone()[1],
        standalone(**FULL)[1],
        standalone(command=["x"])[1],
        desired(task(), agent())[1],
        desired(task(), agent(meta={"namespace": "platform"}))[1],
        live()["Deployment/solo-server"]["spec"]["template"],
        live(agent(persistence={"sessions": {}, "workspace": {}}, **FULL))["Deployment/solo-server"]["spec"][
            "template"
        ],
    ],
    ids=["plain", "full", "command", "attached", "foreign", "server", "full server"],
)
def test_a_pod_passes_the_restricted_standard(pod: Any):
    assert violations(pod["spec"]) == []


def test_the_check_itself_sees_what_the_standard_forbids():
    spec = {
        "hostNetwork": True,
        "initContainers": [],
        "volumes": [{"name": "host", "hostPath": {"path": "/"}}],
        "containers": [{"name": "c", "securityContext": {"privileged": True, "runAsUser": 0}}],
    }
    found = violations(spec)
    assert "hostNetwork" in found
    assert "volume host: hostPath" in found
    assert {"container c: privileged", "container c: runAsUser", "container c: capabilities.drop"} <= set(found)


def test_the_owners_security_settings_are_for_the_agents_container_and_the_pod():
    own = {"runAsNonRoot": True, "readOnlyRootFilesystem": True}
    whole = {"runAsUser": 2000, "fsGroup": 2000}
    _, pod = standalone(podSpec={"securityContext": own, "podSecurityContext": whole})
    assert main(pod)["securityContext"] == own
    assert pod["spec"]["securityContext"] == whole
    assert init(pod, "context-init")["securityContext"]["allowPrivilegeEscalation"] is False


def test_rendering_one_pod_leaves_the_next_as_it_is():
    before = standalone()[1]
    changed = standalone()[1]
    changed["spec"]["securityContext"] = {"runAsUser": 0}
    changed["spec"]["containers"][0]["env"].clear()
    assert standalone()[1] == before


def test_nothing_that_is_rendered_holds_a_secret():
    for each in (*standalone(**FULL), *live(agent(**FULL)).values(), *desired(task(), template(**FULL))):
        assert each["kind"] != "Secret"
        assert "stringData" not in str(each)
