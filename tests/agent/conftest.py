"""A real OpenCode server with a scripted model, and the driver as a program of its own, as in a Pod."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from kubeopencode.node import programs
from kubeopencode.replay import script
from kubeopencode.replay.server import ReplayServer

PASSWORD = "a-password-nobody-prints"
SOURCES = Path(__file__).resolve().parents[2] / "src"

OFFLINE_ENV = {
    "OPENCODE_DISABLE_MODELS_FETCH": "1",
    "OPENCODE_DISABLE_AUTOUPDATE": "1",
    "OPENCODE_DISABLE_SHARE": "1",
    "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
    "npm_config_offline": "true",
}

SCRIPT = """
models: [replay]
title: A title
replies:
  - when: {contains: "write the file"}
    usage: {input: 100, output: 10}
    steps:
      - text: "I write it now."
        tool: {name: write, args: {filePath: "{workspace}/hello.txt", content: "hello\\n"}}
      - tool: {name: bash, args: {command: "cat hello.txt", description: Read it}}
      - text: "The file is written."
  - when: {contains: "patience"}
    steps:
      - {text: "It worked after all.", fault: "429", times: 1, retry_after: 1}
  - when: {contains: "wait for the file"}
    steps:
      - tool: {name: bash, args: {command: "until [ -e go ]; do sleep 0.05; done", description: Wait}}
      - text: "The file came."
  - when: {contains: "sleep for ever"}
    steps:
      - tool: {name: bash, args: {command: "echo $$ > pid; exec sleep 300", description: Sleep, timeout: 400000}}
      - text: "Never said."
  - when: {contains: "delegate"}
    steps:
      - tool: {name: task, args: {description: Do it, prompt: "write the file", subagent_type: general}}
      - text: "It was done for me."
  - when: {contains: "search the house"}
    steps:
      - tool: {name: skill, args: {name: finding}}
      - tool: {name: glob, args: {pattern: "**/hay*.txt"}}
      - tool: {name: grep, args: {pattern: "needle"}}
      - tool: {name: read, args: {filePath: /etc/hosts}}
      - text: "It is found."
  - when: {contains: "refuse me"}
    steps: [{fault: "401"}]
  - when: {any: true}
    steps:
      - text: "Very well."
"""


def opencode() -> str:
    """The real program. Without it there is nothing to test, and CI must never pass for that reason."""
    found = programs.opencode()
    if found is None:
        why = "the opencode program is not here; `make setup` installs it, or set OPENCODE_BIN"
        if os.environ.get("CI") == "true":
            pytest.fail(why)
        pytest.skip(why)
    return str(found)


def environment(home: Path, model: ReplayServer) -> dict[str, str]:
    """A fresh home and nothing of the caller's but the search path."""
    for name in ("home", "tmp"):
        (home / name).mkdir(exist_ok=True)
    base = {"PATH": os.environ["PATH"], "HOME": str(home / "home"), "TMPDIR": str(home / "tmp")}
    config = home / "opencode.json"
    config.write_text(json.dumps(configuration(model)))
    return base | OFFLINE_ENV | {"OPENCODE_CONFIG": str(config)}


def configuration(model: ReplayServer) -> dict[str, object]:
    described = {"tool_call": True, "limit": {"context": 128000, "output": 8192}, "cost": {"input": 1, "output": 2}}
    names = ("replay", "replay-401", "replay-429", "replay-500", "replay-stall", "replay-cut")
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "options": {"baseURL": model.url, "apiKey": "a-key"},
        "models": dict.fromkeys(names, described),
    }
    return {
        "model": "replay/replay",
        "small_model": "replay/replay",
        "enabled_providers": ["replay"],
        "provider": {"replay": provider},
        "permission": "allow",
    }


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.05)


@dataclass
class AgentServer:
    url: str
    folder: Path
    environment: dict[str, str]
    process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        port = self.url.rpartition(":")[2]
        self.process = await asyncio.create_subprocess_exec(
            *(opencode(), "serve", "--port", port, "--hostname", "127.0.0.1"),
            cwd=self.folder,
            env=self.environment | {"OPENCODE_SERVER_PASSWORD": PASSWORD},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        await until(self.healthy)

    async def stop(self) -> None:
        if self.process and self.process.returncode is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            await self.process.wait()

    async def healthy(self) -> bool:
        try:
            return bool((await self.get("/global/health", timeout=1.0))["healthy"])
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False

    async def get(self, path: str, *, timeout: float = 10.0) -> Any:
        token = base64.b64encode(f"opencode:{PASSWORD}".encode()).decode()
        limit = aiohttp.ClientTimeout(total=timeout)
        async with (
            aiohttp.ClientSession(timeout=limit, headers={"Authorization": f"Basic {token}"}) as client,
            client.get(self.url + path) as response,
        ):
            return await response.json()


@dataclass
class Run:
    """One run of the driver."""

    process: asyncio.subprocess.Process
    log: Path
    lines: list[str] = field(default_factory=list)

    async def line(self, wanted: str, seconds: float = 20.0) -> str:
        """The next line of the transcript with these words."""
        assert self.process.stdout
        async with asyncio.timeout(seconds):
            while raw := await self.process.stdout.readline():
                self.lines.append(raw.decode().rstrip("\n"))
                if wanted in self.lines[-1]:
                    return self.lines[-1]
        raise AssertionError(f"{wanted!r} is not in {self.lines}")

    async def end(self, seconds: float = 30.0) -> int:
        assert self.process.stdout
        async with asyncio.timeout(seconds):
            rest = await self.process.stdout.read()
            self.lines += rest.decode().splitlines()
            return await self.process.wait()

    @property
    def transcript(self) -> str:
        return "\n".join(self.lines)

    @property
    def report(self) -> dict[str, Any]:
        return json.loads(self.log.read_text())


class Driver:
    """Starts `task-run` as a Pod would, each time with its own termination log."""

    def __init__(self, folder: Path, url: str, workspace: Path) -> None:
        self.folder = folder
        self.url = url
        self.workspace = workspace
        self.runs: list[Run] = []
        self.numbers = itertools.count()

    async def start(self, prompt: str, *options: str, **env: str) -> Run:
        number = next(self.numbers)
        task, log = self.folder / f"task-{number}.md", self.folder / f"log-{number}"
        task.write_text(prompt)
        given = {option.partition("=")[0]: option for option in options}
        title = f"{self.folder.name} {number}"
        defaults = {"--attach": self.url, "--title": title, "--file": str(task), "--directory": str(self.workspace)}
        arguments = [f"{name}={value}" for name, value in defaults.items() if name not in given]
        environment = {"PYTHONPATH": str(SOURCES), "OPENCODE_SERVER_PASSWORD": PASSWORD, "TERMINATION_LOG": str(log)}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-S", "-m", "kubeopencode.pod", "task-run", *arguments, *options),
            env=environment | env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            limit=1 << 20,
        )
        self.runs.append(Run(process, log))
        return self.runs[-1]

    async def stop(self) -> None:
        for run in self.runs:
            if run.process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    run.process.kill()
                await run.process.wait()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def model() -> AsyncIterator[ReplayServer]:
    async with ReplayServer(script.parse(SCRIPT)) as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def agent(
    tmp_path_factory: pytest.TempPathFactory, model: ReplayServer, unused_tcp_port_factory: Callable[[], int]
) -> AsyncIterator[AgentServer]:
    """One server for a whole file of tests, as one Agent serves many Tasks; each test has its own directory."""
    folder = tmp_path_factory.mktemp("agent")
    server = AgentServer(f"http://127.0.0.1:{unused_tcp_port_factory()}", folder, environment(folder, model))
    try:
        await server.start()
        yield server
    finally:
        await server.stop()


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    folder.mkdir()
    return folder


@pytest_asyncio.fixture(loop_scope="module")
async def driver(tmp_path: Path, agent: AgentServer, workspace: Path) -> AsyncIterator[Driver]:
    starter = Driver(tmp_path, agent.url, workspace)
    yield starter
    await starter.stop()


@pytest.fixture(scope="module")
def binary() -> str:
    return opencode()


@pytest.fixture(scope="module")
def provider(model: ReplayServer) -> dict[str, object]:
    """An agent's configuration with the scripted model as its provider."""
    return configuration(model)


@pytest.fixture
def settings(model: ReplayServer) -> Callable[[Path], dict[str, str]]:
    """The environment of an agent that lives in a folder."""
    return lambda folder: environment(folder, model)
