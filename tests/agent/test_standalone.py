"""A Task in a Pod of its own: the agent runs by itself, `record` reads afterwards what came of it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass
class Standalone:
    """A Pod's two containers as processes: the agent and the recorder beside it."""

    folder: Path
    environment: dict[str, str]
    binary: str

    async def run(self, prompt: str, *options: str) -> tuple[int, str]:
        """The agent, fed through standard input as our Pods feed it."""
        process = await asyncio.create_subprocess_exec(
            *(self.binary, "run", "--title", "the-title", *options),
            cwd=self.folder,
            env=self.environment | {"OPENCODE_DB": str(self.folder / "opencode.db")},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        async with asyncio.timeout(30):
            output, _ = await process.communicate(prompt.encode())
        assert process.returncode is not None
        return process.returncode, output.decode()

    async def record(self, **env: str) -> dict[str, Any]:
        """The recorder as an ordinary container: a file says that the agent has ended."""
        log = self.folder / "termination-log"
        defaults = {
            "PYTHONPATH": str(Path(__file__).resolve().parents[2] / "src"),
            "TERMINATION_LOG": str(log),
            "OPENCODE_DB": str(self.folder / "opencode.db"),
            "WORKSPACE_DIR": str(self.folder),
            "TASK_TITLE": "the-title",
        }
        (self.folder / "done").touch()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-S", "-m", "kubeopencode.pod", "record"), env=defaults | env
        )
        async with asyncio.timeout(10):
            assert await process.wait() == 0
        return json.loads(log.read_text())


@pytest_asyncio.fixture(loop_scope="module")
async def standalone(tmp_path: Path, settings: Callable[[Path], dict[str, str]], binary: str) -> Standalone:
    return Standalone(tmp_path, settings(tmp_path), binary)


async def test_usage_and_results_of_a_standalone_run_are_recorded(standalone):
    status, output = await standalone.run("write the file", "-m", "replay/replay")
    assert status == 0, output

    spec = {"parameters": [{"name": "greeting", "path": "hello.txt"}, {"name": "none", "path": "n", "default": "d"}]}
    report = await standalone.record(OUTPUT_SPEC=json.dumps(spec))

    assert report["session"]["title"] == "the-title"
    assert report["session"]["cost"] == "0.000360"
    assert report["session"]["tokens"]["output"] == 30
    assert report["result"] == "The file is written."
    assert report["outputs"] == {"parameters": {"greeting": "hello", "none": "d"}}


async def test_what_a_sub_agent_used_is_in_the_record(standalone):
    status, output = await standalone.run("delegate it", "-m", "replay/replay")
    assert status == 0, output

    report = await standalone.record(TASK_TITLE="a title that the session does not have")

    assert report["session"]["tokens"]["input"] == 2300


async def test_a_refused_key_is_in_the_record_of_a_standalone_run(standalone):
    status, output = await standalone.run("hello", "-m", "replay/replay-401")
    assert status == 1, output

    report = await standalone.record()

    assert report["error"] == {
        "name": "APIError",
        "message": "Incorrect API key provided",
        "statusCode": 401,
    }


async def test_the_prompt_on_standard_input_is_taken_verbatim(standalone, model):
    status, output = await standalone.run('--help "me" $(now)\nwith it', "-m", "replay/replay")

    assert status == 0, output
    assert any('--help "me" $(now)\nwith it' in text for text in questions(model))


def questions(model):
    for request in model.requests:
        for message in request["messages"]:
            content = message["content"]
            if message["role"] == "user" and isinstance(content, str):
                yield content
            elif message["role"] == "user" and content:
                yield "".join(part.get("text", "") for part in content)
