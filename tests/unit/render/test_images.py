"""Which image does what, and when it is pulled."""

from __future__ import annotations

import pytest
from tests.unit.render.builders import init, main, standalone

from kubeopencode.render import images

INIT = "quay.io/kubeopencode/kubeopencode-agent-opencode:latest"
DEVBOX = "quay.io/kubeopencode/kubeopencode-agent-devbox:latest"


@pytest.mark.parametrize(
    ("spec", "program", "worker"),
    [
        ({"agentImage": "a:1", "executorImage": "e:1"}, "a:1", "e:1"),
        ({"agentImage": "a:1"}, INIT, "a:1"),
        ({}, INIT, DEVBOX),
        ({"executorImage": "e:1"}, INIT, "e:1"),
        ({"agentImage": INIT}, INIT, DEVBOX),
        (
            {"agentImage": "ghcr.io/kubeopencode/kubeopencode-agent-opencode:v1"},
            "ghcr.io/kubeopencode/kubeopencode-agent-opencode:v1",
            DEVBOX,
        ),
    ],
)
def test_images_are_resolved_as_the_documents_say(spec: dict[str, str], program: str, worker: str):
    _, pod = standalone(**spec)
    assert init(pod, "opencode-init")["image"] == program
    assert main(pod)["image"] == worker


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("x", "Always"),
        ("x:latest", "Always"),
        ("corp:5000/x", "Always"),
        ("corp:5000/x:latest", "Always"),
        ("corp:5000/x:1", "IfNotPresent"),
        ("x:1", "IfNotPresent"),
        ("x@sha256:" + "a" * 64, "IfNotPresent"),
        ("x:latest@sha256:" + "a" * 64, "IfNotPresent"),
    ],
)
def test_a_moving_tag_is_pulled_always_and_a_fixed_one_once(image: str, policy: str):
    assert images.pulled(image) == {"image": image, "imagePullPolicy": policy}
