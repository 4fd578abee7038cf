"""The demo that is shipped, with the real agent: the tests of the small project pass afterwards, by its own work."""

from __future__ import annotations

import importlib.resources
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import pytest_asyncio

from kubeopencode.replay import script
from kubeopencode.replay.server import ReplayServer

pytestmark = pytest.mark.asyncio(loop_scope="module")
SHIPPED = Path(str(importlib.resources.files("kubeopencode.replay")))


def passes(folder: Path) -> bool:
    return subprocess.run([sys.executable, "-B", "-m", "unittest"], cwd=folder, capture_output=True).returncode == 0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def model():
    async with ReplayServer(script.parse((SHIPPED / "demo.yaml").read_text())) as server:
        yield server


async def test_the_scripted_model_fixes_the_failing_test(driver, workspace):
    shutil.copytree(SHIPPED / "demo", workspace, dirs_exist_ok=True)
    assert not passes(workspace)

    run = await driver.start("Fix the failing test.")

    assert await run.end() == 0, run.transcript
    assert passes(workspace), run.transcript
    assert "add` in calc.py" in run.report["result"]
    print(run.transcript)
