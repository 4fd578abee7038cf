"""The product as users meet it: a plane, the real OpenCode in real sandboxes, a model that answers from a script."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from kit.plane import RESOURCES
from kubeopencode import names
from kubeopencode.api import core, kinds
from kubeopencode.api.agent import Agent
from kubeopencode.api.meta import Json, Resource
from kubeopencode.api.task import FINISHED, Task
from kubeopencode.cli import planes
from kubeopencode.kube import client, errors
from kubeopencode.replay.server import ReplayServer

GROUP = "kubeopencode.io/v1alpha1"
PATIENCE = 60.0
"""Seconds; two Agents that start on two busy cores need some."""

OFFLINE = [{"name": "OPENCODE_DISABLE_MODELS_FETCH", "value": "1"}, {"name": "npm_config_offline", "value": "true"}]
KEY = "a-key-that-no-object-may-show"


async def until(check: Callable[[], Awaitable[Any]], what: str, seconds: float = PATIENCE) -> Any:
    """What `check` returns once it is true."""
    deadline = time.monotonic() + seconds
    while True:
        if found := await check():
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        await asyncio.sleep(0.03)


def configuration(model: ReplayServer, **more: Any) -> Json:
    """OpenCode's configuration with the scripted model as its only provider."""
    described = {"tool_call": True, "limit": {"context": 1_000_000, "output": 8192}, "cost": {"input": 1, "output": 2}}
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "options": {"baseURL": model.url, "apiKey": KEY},
        "models": dict.fromkeys(("replay", "other"), described),
    }
    chosen = {"model": "replay/replay", "small_model": "replay/replay", "enabled_providers": ["replay"]}
    return chosen | {"provider": {"replay": provider}} | more


@dataclass(frozen=True)
class Place:
    """A namespace of a plane, and what a test does and sees there."""

    api: client.Client
    model: ReplayServer
    namespace: str
    pods: Path
    """Where the node keeps its Pods."""

    def agent(self, name: str, **spec: Any) -> Json:
        """An Agent that asks the scripted model."""
        return self._object("Agent", name, self._shape(spec))

    def template(self, name: str, **spec: Any) -> Json:
        """An AgentTemplate that asks the scripted model."""
        return self._object("AgentTemplate", name, self._shape(spec))

    def task(self, name: str, description: str, **spec: Any) -> Json:
        """A Task."""
        return self._object("Task", name, {"description": description, **spec})

    def secret(self, name: str, **data: str) -> Json:
        """A Secret."""
        return self._plain("Secret", name) | {"stringData": data}

    def config_map(self, name: str, **data: str) -> Json:
        """A ConfigMap. Keys are written with `_` for the dot."""
        return self._plain("ConfigMap", name) | {"data": {key.replace("_", "."): text for key, text in data.items()}}

    async def apply(self, *objects: Json) -> None:
        """Create objects, in order."""
        for body in objects:
            await self.api.create(RESOURCES[body["kind"]], body, self.namespace)

    async def get(self, resource: Resource[Any], name: str) -> Any:
        """An object, or None."""
        try:
            return await self.api.get(resource, name, self.namespace)
        except errors.NotFound:
            return None

    async def ended(self, name: str, phase: str = "Completed") -> Task:
        """The Task once it has ended, and it ended like this."""

        async def over() -> Task | None:
            found = await self.api.get(kinds.TASKS, name, self.namespace)
            return found if found.status.phase in FINISHED else None

        found: Task = await until(over, f"the Task {name} ends")
        assert found.status.phase == phase, f"{name}: {why(found)}\n{await self.log(found.status.podName)}"
        return found

    async def run(self, name: str, description: str, phase: str = "Completed", **spec: Any) -> Task:
        """Apply a Task and wait for its end."""
        await self.apply(self.task(name, description, **spec))
        return await self.ended(name, phase)

    async def running(self, name: str) -> Task:
        """The Task once it runs."""

        async def runs() -> Task | None:
            found = await self.api.get(kinds.TASKS, name, self.namespace)
            return found if found.status.phase == "Running" else None

        found: Task = await until(runs, f"the Task {name} runs")
        return found

    async def queued(self, name: str, reason: str) -> Task:
        """The Task once it waits for that reason."""

        async def waits() -> Task | None:
            found = await self.api.get(kinds.TASKS, name, self.namespace)
            told = [each.reason for each in found.status.conditions if each.type == "Queued" and each.status == "True"]
            return found if reason in told else None

        found: Task = await until(waits, f"the Task {name} waits for {reason}")
        return found

    async def stop(self, name: str) -> None:
        """Ask the Task to stop, as `kubeoc stop` does."""
        patch = {"metadata": {"annotations": {names.ANNOTATION_STOP: "true"}}}
        await self.api.patch(kinds.TASKS, name, patch, self.namespace)

    async def ready(self, name: str) -> Agent:
        """The Agent once its server answers."""

        async def answers() -> Agent | None:
            found = await self.api.get(kinds.AGENTS, name, self.namespace)
            return found if found.status.ready else None

        found: Agent = await until(answers, f"the Agent {name} is ready")
        return found

    async def log(self, pod: str, container: str = "agent") -> str:
        """What a container of a Pod has printed so far."""
        try:
            pieces = [piece async for piece in self.api.logs(pod, self.namespace, container=container)]
        except errors.ApiError as error:
            return f"(no log: {error})"
        return b"".join(pieces).decode()

    async def server_pod(self, agent: str) -> core.Pod:
        """The Pod in which an Agent's server runs."""

        async def found() -> core.Pod | None:
            selector = f"{names.LABEL_AGENT}={agent}"
            pods = (await self.api.list(core.PODS, self.namespace, labels=selector)).items
            alive = [pod for pod in pods if pod.metadata.deletionTimestamp is None and pod.status.phase == "Running"]
            return alive[0] if alive else None

        pod: core.Pod = await until(found, f"the server of {agent} has a Pod")
        return pod

    async def ask(self, agent: str, path: str) -> Any:
        """What an Agent's server answers itself, by its own HTTP API."""
        pod = await self.server_pod(agent)
        secret = await self.api.get(core.SECRETS, names.server_password(agent), self.namespace)
        password = bytes(secret.data["password"]).decode()
        port = (await self.api.get(kinds.AGENTS, agent, self.namespace)).spec.port or 4096
        headers = {"Authorization": aiohttp.encode_basic_auth("opencode", password)}
        limit = aiohttp.ClientTimeout(total=10)
        async with (
            aiohttp.ClientSession(timeout=limit, headers=headers) as session,
            session.get(f"http://{pod.status.podIP}:{port}{path}") as response,
        ):
            assert response.status == 200, (path, response.status)
            return await response.json()

    def asked(self, words: str) -> list[Json]:
        """The requests for work whose last question has these words. Requests for a title are none."""
        return [
            request for request in self.model.requests if request.get("tools") and words in texts(request, role="user")
        ]

    async def until_asked(self, words: str) -> Json:
        """The first request with these words in its question."""

        async def found() -> list[Json]:
            return self.asked(words)

        requests: list[Json] = await until(found, f"the model is asked {words!r}")
        return requests[0]

    async def pods_of(self, task: str) -> list[core.Pod]:
        """The Pods of a Task."""
        return list((await self.api.list(core.PODS, self.namespace, labels=f"{names.LABEL_TASK}={task}")).items)

    async def until_quiet(self, uid: str) -> None:
        """No process of the Pod with this uid is left."""

        async def quiet() -> bool:
            return not processes(uid)

        await until(quiet, f"the processes of the Pod {uid} end: {processes(uid)}", 45)

    def _shape(self, spec: Json) -> Json:
        config = spec.pop("config", None) or configuration(self.model)
        pod = {"extraEnv": OFFLINE} | spec.pop("podSpec", {})
        return {"config": config, "podSpec": pod, **spec}

    def _object(self, kind: str, name: str, spec: Json) -> Json:
        return {"apiVersion": GROUP, "kind": kind, "metadata": {"name": name}, "spec": spec}

    def _plain(self, kind: str, name: str) -> Json:
        return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}}


@dataclass(frozen=True)
class Product:
    """A plane with the scripted model beside it."""

    api: client.Client
    model: ReplayServer
    pods: Path

    async def place(self, name: str) -> Place:
        """A fresh namespace."""
        await self.api.create(core.NAMESPACES, {"metadata": {"name": name}})
        return Place(self.api, self.model, name, self.pods)


def why(task: Task) -> str:
    """What a Task says about itself, for a failing assertion."""
    told = [f"{each.type}={each.status} {each.reason}: {each.message}" for each in task.status.conditions]
    return f"{task.status.phase} {told}"


def reasons(task: Task) -> list[tuple[str, str]]:
    """The types and reasons of a Task's conditions."""
    return [(each.type, each.reason) for each in task.status.conditions]


def texts(request: Json, role: str) -> str:
    """All words of one role in a request to the model."""
    said: list[str] = []
    for message in request["messages"]:
        if message["role"] != role:
            continue
        content = message["content"]
        parts = [content] if isinstance(content, str) else [part.get("text", "") for part in content or ()]
        said += [str(part) for part in parts]
    return "\n".join(said)


def processes(word: str) -> list[str]:
    """The live processes that work with files of that name: shims by their arguments, sandboxes by their mounts."""
    found: list[str] = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with suppress(OSError):
            state = re.search(r"^State:\s+(\w)", (entry / "status").read_text(), re.MULTILINE)
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            mounts = (entry / "mountinfo").read_text(errors="replace")
            if (word in command or word in mounts) and state and state[1] not in "ZX":
                found.append(f"{entry.name} {command[:120]}")
    return found


class Outside:
    """A plane in a process of its own, so that it can be killed."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self._process: subprocess.Popen[bytes] | None = None

    async def up(self) -> None:
        """`kubeoc up`, and it is ready."""
        command = [sys.executable, "-m", "kubeopencode.cli", "up", f"--data={self.data}", "--port=0"]
        with (self.data / "plane.log").open("ab") as output:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        started = self._process

        async def ready() -> planes.State | None:
            assert started.poll() is None, self.log()
            state = planes.read(self.data)
            return state if state and state.pid == started.pid else None

        self.state: planes.State = await until(ready, "the plane is up")

    def kill(self) -> None:
        """`kill -9`."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    async def down(self) -> str:
        """`kubeoc down`, and what it says."""
        command = [sys.executable, "-m", "kubeopencode.cli", "down", f"--data={self.data}"]
        ending = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
        said, _ = await ending.communicate()
        assert ending.returncode == 0
        assert self._process is not None
        self._process.wait()
        return said.decode()

    def clear(self) -> None:
        """End the plane and whatever it has left, however a test went."""
        self.kill()
        for line in processes(str(self.data)):
            with suppress(ProcessLookupError):
                os.kill(int(line.split()[0]), signal.SIGKILL)

    def log(self) -> str:
        """What the plane has printed, all its lives together."""
        return (self.data / "plane.log").read_text(errors="replace")
