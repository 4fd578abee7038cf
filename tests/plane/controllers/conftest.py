from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kit import build, plane


@pytest.fixture
async def idle(tmp_path: Path) -> AsyncIterator[plane.Plane]:
    """A plane whose controllers do not run yet."""
    async with plane.ready(tmp_path) as made:
        await made.apply(build.template())
        yield made


@pytest.fixture
async def world(idle: plane.Plane) -> plane.Plane:
    """A plane whose controllers run."""
    await idle.start_operator()
    return idle
