"""The small Pod that hands a Task to its Agent's live server."""

from __future__ import annotations

from tests.unit.api.builders import agent, task
from tests.unit.render.builders import desired, env, inits, main, mounts, volume

from kubeopencode.world import Cluster

CREDENTIAL = {"name": "key", "secretRef": {"name": "s", "key": "k"}, "env": "API_KEY"}


def arguments(pod: dict[str, object]) -> dict[str, list[str]]:
    """The driver's options by name."""
    found: dict[str, list[str]] = {}
    for word in main(pod)["command"][2:]:
        option, _, value = word.partition("=")
        found.setdefault(option, []).append(value)
    return found


def test_the_driver_is_told_the_server_the_session_and_the_task():
    _, pod = desired(task("fix", meta={"uid": "12345678-9"}, description="Do it."), agent())
    assert main(pod)["command"][:2] == ["/kubeopencode", "task-run"]
    assert arguments(pod) == {
        "--attach": ["http://solo.team.svc.cluster.local:4096"],
        "--title": ["kubeopencode/team/fix/12345678"],
        "--session": ["ses_123456789"],
        "--directory": ["/workspace"],
        "--file": ["/task/task.md"],
    }


def test_every_word_of_the_driver_is_one_option_with_its_value():
    contexts = [{"type": "Text", "text": "x", "mountPath": "--evil=1"}, {"type": "Text", "text": "y"}]
    _, pod = desired(task(contexts=contexts), agent())
    assert all(word.startswith("--") and "=" in word for word in main(pod)["command"][2:])
    assert arguments(pod)["--attachment"] == ["/task/--evil=1"]


def test_texts_travel_as_context_and_files_as_attachments():
    contexts = [
        {"type": "Text", "text": "rules"},
        {"type": "Text", "text": "a", "mountPath": "docs/a.md"},
        {"type": "Text", "text": "b", "mountPath": "/etc/b.md", "fileMode": 0o600},
    ]
    cm, pod = desired(task(description="Do it.", contexts=contexts), agent())
    assert arguments(pod)["--context"] == ["/task/.kubeopencode/context.md"]
    assert arguments(pod)["--attachment"] == ["/task/docs/a.md", "/task/root/etc/b.md"]
    items = {each["path"]: each for each in volume(pod, "context-files")["configMap"]["items"]}
    assert cm["data"][items["task.md"]["key"]] == "Do it."
    assert cm["data"][items["docs/a.md"]["key"]] == "a"
    assert cm["data"][items["root/etc/b.md"]["key"]] == "b"
    assert items["root/etc/b.md"]["mode"] == 0o600
    assert mounts(main(pod))["/task"]["readOnly"] is True


def test_contexts_of_the_agent_are_on_the_server_already():
    cm, pod = desired(task(), agent(contexts=[{"type": "Text", "text": "the agent's"}]))
    assert "the agent's" not in str(cm)
    assert "--context" not in arguments(pod)


def test_the_driver_is_small_and_needs_nothing_prepared():
    _, pod = desired(
        task(), agent(credentials=[CREDENTIAL], config={"model": "m"}, podSpec={"resources": {"limits": {}}})
    )
    assert inits(pod) == []
    assert main(pod)["image"] == "quay.io/kubeopencode/kubeopencode:latest"
    assert main(pod)["resources"] == {"requests": {"memory": "32Mi"}, "limits": {"memory": "256Mi"}}
    assert "API_KEY" not in env(main(pod)), "the server has the credentials; the driver needs none"
    assert "OPENCODE_CONFIG" not in env(main(pod))


def test_the_password_of_the_server_is_a_reference():
    _, pod = desired(task(), agent())
    assert env(main(pod))["OPENCODE_SERVER_PASSWORD"] == {
        "secretKeyRef": {"name": "solo-server-password", "key": "password"}
    }


def test_another_workspace_or_domain_reaches_the_driver():
    _, pod = desired(task(), agent(workspaceDir="/work", port=80), cluster=Cluster(domain="corp"))
    assert arguments(pod)["--directory"] == ["/work"]
    assert arguments(pod)["--file"] == ["/task/task.md"]
    assert arguments(pod)["--attach"] == ["http://solo.team.svc.corp:80"]


def test_the_proxy_is_not_taken_to_the_server():
    found = env(main(desired(task(), agent(proxy={"httpProxy": "http://p"}))[1]))
    assert found["HTTP_PROXY"] == "http://p"
    assert ".svc" in found["NO_PROXY"].split(",")
    assert ".cluster.local" in found["NO_PROXY"].split(",")


def test_an_attach_image_of_an_earlier_version_changes_nothing():
    _, plain = desired(task(description="x"), agent())
    _, older = desired(task(description="x"), agent(attachImage="corp/attach:1"))
    assert older == plain
