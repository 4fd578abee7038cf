from __future__ import annotations

from collections.abc import Iterator

import pytest

from kit import planes
from kit.planes import GROUP, Desk, Machine, manifest

LINES = {
    "quick": "echo hello from $TASK_NAME; cat task.md",
    "broken": "echo it goes wrong; exit 7",
    "slow": "echo at work; exec sleep 600",
}
"""Templates whose Tasks run a line of shell."""


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A plane that runs Pods; a small program stands in for OpenCode."""
    planes.needs("bwrap")
    folder = tmp_path_factory.mktemp("machine")
    with planes.running(folder, planes.stand_in(folder)) as made:
        yield made


@pytest.fixture
def desk(machine: Machine, request: pytest.FixtureRequest) -> Desk:
    """A fresh namespace with a template for each line of shell."""
    namespace = machine.namespace(planes.slug(request.node.name.removeprefix("test_")))
    for name, line in LINES.items():
        body = manifest("AgentTemplate", name, command=["sh", "-c", line])
        machine.request("POST", f"{GROUP}/namespaces/{namespace}/agenttemplates", body)
    return Desk(machine, namespace)
