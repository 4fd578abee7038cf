from __future__ import annotations

from collections.abc import Iterator

import pytest

from kit import planes


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[planes.Machine]:
    """A plane without OpenCode: it takes every object, and starts no live server."""
    planes.needs("kubectl")
    with planes.running(tmp_path_factory.mktemp("bare")) as machine:
        yield machine


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[planes.Machine]:
    """A plane that runs Pods; a small program stands in for OpenCode."""
    planes.needs("kubectl")
    planes.needs("bwrap")
    folder = tmp_path_factory.mktemp("machine")
    with planes.running(folder, planes.stand_in(folder)) as made:
        yield made
