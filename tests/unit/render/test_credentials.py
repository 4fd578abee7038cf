"""Secrets as variables, files and folders, by name only."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.api.builders import agent
from tests.unit.render.builders import env, init, live, main, mounts, standalone, volume

from kubeopencode.render.parts import Refused


def credential(key: str | None = None, **more: Any) -> dict[str, Any]:
    """A credential from the Secret `creds`."""
    return {"name": "c", "secretRef": {"name": "creds"} | ({"key": key} if key else {})} | more


def test_a_key_becomes_a_variable():
    container = main(standalone(credentials=[credential("token", env="TOKEN")])[1])
    assert env(container)["TOKEN"] == {"secretKeyRef": {"name": "creds", "key": "token"}}
    assert "envFrom" not in container


@pytest.mark.parametrize(("asked", "mode"), [(None, 0o600), (0o400, 0o400), (0, 0)])
def test_a_key_becomes_one_file(asked: int | None, mode: int):
    more = {} if asked is None else {"fileMode": asked}
    _, pod = standalone(credentials=[credential("id_rsa", mountPath="/home/agent/.ssh/id_rsa", **more)])
    found = mounts(main(pod))["/home/agent/.ssh/id_rsa"]
    assert (found["readOnly"], found["subPath"]) == (True, "secret-file")
    source = volume(pod, found["name"])["secret"]
    assert source["secretName"] == "creds"
    assert source["items"] == [{"key": "id_rsa", "path": "secret-file", "mode": mode}]
    assert source["defaultMode"] == mode


def test_a_key_may_be_a_variable_and_a_file():
    _, pod = standalone(credentials=[credential("k", env="K", mountPath="/home/agent/k")])
    assert "K" in env(main(pod))
    assert "/home/agent/k" in mounts(main(pod))


def test_a_whole_secret_becomes_a_folder():
    _, pod = standalone(credentials=[credential(mountPath="/home/agent/creds")])
    found = mounts(main(pod))["/home/agent/creds"]
    assert found["readOnly"] is True
    assert "subPath" not in found
    assert volume(pod, found["name"])["secret"] == {"secretName": "creds", "defaultMode": 0o600}


def test_a_whole_secret_without_a_path_becomes_variables():
    _, pod = standalone(credentials=[credential()])
    assert main(pod)["envFrom"] == [{"secretRef": {"name": "creds"}}]


def test_only_the_agents_container_sees_credentials():
    _, pod = standalone(credentials=[credential("k", env="K", mountPath="/home/agent/k"), credential()])
    for name in ("opencode-init", "context-init", "output-collector"):
        assert "creds" not in str(init(pod, name))


def test_a_live_server_gets_its_credentials_the_same_way():
    container = main(live(agent(credentials=[credential("k", env="K")]))["Deployment/solo-server"]["spec"]["template"])
    assert env(container)["K"] == {"secretKeyRef": {"name": "creds", "key": "k"}}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ([credential(env="K")], r"spec\.credentials\[0\]\.env: .*secretRef\.key"),
        ([credential("a", env="A"), credential("k")], r"spec\.credentials\[1\]: neither env nor mountPath"),
        ([credential("k", mountPath="../k")], r"spec\.credentials\[0\]\.mountPath: .* contains '\.\.'"),
        ([credential("k", mountPath="/a/$(HOME)")], r"spec\.credentials\[0\]\.mountPath: "),
        ([credential("a", env="K"), credential("b", env="K")], "environment variable 'K' is wanted twice"),
        (
            [credential("a", mountPath="/home/k"), credential("b", mountPath="/home/k")],
            "mount path '/home/k' is wanted twice",
        ),
        ([credential("a", env="HOME")], "environment variable 'HOME' is wanted twice"),
    ],
)
def test_what_cannot_be_is_refused_with_the_field(wrong: Any, message: str):
    with pytest.raises(Refused, match=message):
        standalone(credentials=wrong)
