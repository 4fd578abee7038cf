from __future__ import annotations

import pytest

from kubeopencode.api import core, meta
from kubeopencode.node import catalogue, environment, launching
from kubeopencode.node.runner import Identity


def pod(**spec: object) -> core.Pod:
    return core.Pod(meta.ObjectMeta(name="p" * 80), core.PodSpec(**spec))  # type: ignore[arg-type]


Words = tuple[str, ...]
IMAGE = catalogue.Image(("/entry",), ("default",), user=1000)


@pytest.mark.parametrize(("command", "args", "runs"), [
    ((), (), ("/entry", "default")),
    ((), ("mine",), ("/entry", "mine")),
    (("run",), (), ("run",)),
    (("run",), ("$(A)",), ("run", "1")),
])  # fmt: skip
def test_the_containers_words_go_before_the_images(
    command: tuple[str, ...], args: tuple[str, ...], runs: tuple[str, ...]
):
    assert launching.command(core.Container("c", command=command, args=args), IMAGE, {"A": "1"}) == runs


def test_a_container_without_any_command_is_refused():
    with pytest.raises(environment.ConfigError, match="no command specified"):
        launching.command(core.Container("c"), catalogue.Image(), {})


def test_the_container_decides_its_user_before_the_pod_and_the_image():
    own = core.Container("c", securityContext=core.SecurityContext(runAsUser=7))
    owner = pod(securityContext=core.PodSecurityContext(runAsUser=5, runAsGroup=6))
    assert launching.identity(owner, own, IMAGE) == Identity(7, 6)
    assert launching.identity(owner, core.Container("c"), IMAGE) == Identity(5, 6)
    assert launching.identity(pod(), core.Container("c"), IMAGE) == Identity(1000, 1000)


def test_a_host_name_has_at_most_sixty_three_characters():
    assert launching.hostname(pod()) == "p" * 63
    assert launching.hostname(pod(hostname="mine")) == "mine"
