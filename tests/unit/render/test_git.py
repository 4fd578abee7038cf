"""Repositories: who fetches them, with what, and where their trees go."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.api.builders import agent, seen, task, template
from tests.unit.render.builders import desired, env, init, inits, live, main, mounts, standalone

from kubeopencode.api.meta import Json
from kubeopencode.render import task as render
from kubeopencode.render.parts import Refused


def repository(where: str = "source", **git: Any) -> Json:
    return {"type": "Git", "git": {"repository": "https://git.test/r.git"} | git, "mountPath": where}


def test_a_repository_is_fetched_before_the_instructions_are_written():
    _, pod = standalone(repository())
    assert inits(pod)[:3] == ["opencode-init", "git-init-0", "context-init"]


def test_its_tree_is_mounted_where_the_context_says():
    _, pod = standalone(repository("source", path="services/a/"))
    found = mounts(main(pod))["/workspace/source"]
    assert (found["name"], found["subPath"]) == ("git-context-0", "repo/services/a")
    assert env(main(pod))["GIT_CONFIG_GLOBAL"] == "/git/.gitconfig"


def test_what_the_context_leaves_out_has_the_documents_defaults():
    _, pod = standalone(repository())
    told = env(init(pod, "git-init-0"))
    assert (told["GIT_REF"], told["GIT_DEPTH"], told["GIT_ROOT"], told["GIT_LINK"]) == ("HEAD", "1", "/git", "repo")


def test_depth_zero_is_the_whole_history():
    _, pod = standalone(repository(depth=0))
    assert env(init(pod, "git-init-0"))["GIT_DEPTH"] == "0"


def test_a_repository_at_the_root_of_the_workspace_is_copied_into_it():
    _, pod = standalone(repository("."))
    fetching = init(pod, "git-init-0")
    assert env(fetching)["GIT_WORKSPACE_DIR"] == "/workspace"
    assert mounts(fetching)["/workspace"]["name"] == "workspace"
    assert mounts(main(pod))["/workspace"]["name"] == "workspace"


def test_its_secret_reaches_only_the_container_that_fetches():
    _, pod = standalone(repository(secretRef={"name": "github"}))
    names = {each["name"]: each.get("valueFrom") for each in init(pod, "git-init-0")["env"]}
    assert names["GIT_PASSWORD"] == {"secretKeyRef": {"name": "github", "key": "password", "optional": True}}
    assert "github" not in str(main(pod))


def test_repositories_of_the_template_come_before_those_of_the_task():
    _, pod = desired(task(contexts=[repository("mine")]), template(contexts=[repository("theirs")]))
    assert mounts(main(pod))["/workspace/theirs"]["name"] == "git-context-0"
    assert mounts(main(pod))["/workspace/mine"]["name"] == "git-context-1"


def test_a_live_server_has_its_repositories_too():
    deployment = live(agent(contexts=[repository("code")]))["Deployment/solo-server"]
    pod = deployment["spec"]["template"]
    assert "git-init-0" in inits(pod)
    assert mounts(main(pod))["/workspace/code"]["subPath"] == "repo"


@pytest.mark.parametrize("path", ["../x", "a/../../x"])
def test_a_folder_outside_the_repository_is_refused(path: str):
    with pytest.raises(Refused, match=r"spec\.contexts\[0\]\.git\.path: .* contains '\.\.'"):
        standalone(repository(path=path))


def test_a_task_cannot_use_a_secret_of_a_foreign_agents_owner():
    foreign = task(
        contexts=[repository(secretRef={"name": "platform"})], agentRef={"name": "solo", "namespace": "platform"}
    )
    with pytest.raises(Refused, match="a Task cannot bring a Secret"):
        render.desired(seen(foreign, agent(meta={"namespace": "platform"}, command=["true"])))


@pytest.mark.parametrize(
    ("git", "field"),
    [
        ({"repository": "--upload-pack=x"}, "git.repository"),
        ({"repository": "ext::sh -c id"}, "git.repository"),
        ({"repository": "file:///etc"}, "git.repository"),
        ({"repository": "https://me:secret@git.test/r.git"}, "git.repository"),
        ({"repository": "git@git.test:-x"}, "git.repository"),
        ({"ref": "--upload-pack=x"}, "git.ref"),
        ({"ref": "a..b"}, "git.ref"),
        ({"ref": "a b"}, "git.ref"),
    ],
)
def test_what_git_could_misread_is_refused_with_its_field(git: Json, field: str):
    with pytest.raises(Refused, match=rf"spec\.contexts\[0\]\.{field}: ") as no:
        standalone(repository(**git))
    assert "secret@" not in str(no.value)


@pytest.mark.parametrize("address", ["https://git.test/r.git", "ssh://git@git.test:22/r", "git@git.test:org/r.git"])
def test_the_usual_addresses_are_taken(address: str):
    _, pod = standalone(repository(repository=address))
    assert env(init(pod, "git-init-0"))["GIT_REPO"] == address
