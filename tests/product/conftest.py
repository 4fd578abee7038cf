"""One plane for the whole folder, in this process, with the real node; every story has a namespace of its own."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from kit.product import Place, Product, processes, until
from kubeopencode import plane
from kubeopencode.kube import client, config
from kubeopencode.node import processes as sandboxes
from kubeopencode.node import programs
from kubeopencode.replay import script
from kubeopencode.replay.server import ReplayServer

REPLIES = Path(__file__).with_name("replies.yaml")


@pytest.fixture(scope="session")
def agent_program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The real OpenCode, with a fresh home around it."""
    found = programs.opencode()
    if found is None:
        _missing("the opencode program is not here; `make setup` installs it, or set OPENCODE_BIN")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENCODE_BIN", str(found))
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        yield found


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def model() -> AsyncIterator[ReplayServer]:
    async with ReplayServer(script.parse(REPLIES.read_text())) as server:
        yield server


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def product(
    tmp_path_factory: pytest.TempPathFactory, agent_program: Path, model: ReplayServer
) -> AsyncIterator[Product]:
    """A plane that runs Pods in sandboxes."""
    if refused := await sandboxes.refusal(shutil.which("bwrap") or ""):
        _missing(refused)
    data = tmp_path_factory.mktemp("plane")
    running = plane.Plane(plane.PlaneSettings(data))
    await running.start()
    try:
        async with client.Client(config.local_socket(running.socket)) as api:
            yield Product(api, model, data / "node" / "pods")
    finally:
        await running.stop()

    async def quiet() -> bool:
        return not processes(str(data))

    await until(quiet, f"the plane leaves no process behind: {processes(str(data))}", 10)


@pytest_asyncio.fixture(loop_scope="session")
async def place(product: Product, request: pytest.FixtureRequest) -> Place:
    """A namespace for one test."""
    return await product.place(
        re.sub(r"[^a-z0-9]+", "-", request.node.name.removeprefix("test_").lower())[-60:].strip("-")
    )


def _missing(why: str) -> None:
    """Without the real thing there is nothing to test; CI must never pass for that reason."""
    if os.environ.get("CI") == "true":
        pytest.fail(why)
    pytest.skip(why)
