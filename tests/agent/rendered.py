"""A rendered Pod in the sandboxes of the local plane: its init containers one after the other, then its agent.

The objects come from `render` and the launches from the node. Bubblewrap is started here and not by the node, so that
the agent's command is the first process as it is in a cluster, its standard input stays open, and its network can be
taken away.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import msgspec

from kubeopencode.api import core
from kubeopencode.api.meta import Json, Resource
from kubeopencode.kube import errors
from kubeopencode.node import catalogue, launching, sandbox
from kubeopencode.node.runner import Launch, Mount

OPEN = ("env",)
REFUSING = ("unshare", "--map-root-user", "--net", "sh", "-c", 'ip link set lo up; exec "$@"', "sh")
DROPPING = (*REFUSING[:5], 'ip link set lo up; ip route add default dev lo; exec "$@"', "sh")
"""Networks: the machine's own; none, where every connection is refused at once; and one where no packet arrives."""

SYSTEM_IMAGE = "quay.io/kubeopencode/kubeopencode:latest"


class Objects:
    """The API as far as a node asks it: what was put here."""

    def __init__(self, objects: tuple[Json, ...]) -> None:
        self.objects = {(each["kind"], each["metadata"]["name"]): each for each in objects}

    async def get(self, resource: Resource[Any], name: str, _namespace: str = "") -> Any:
        """An object. Raises `NotFound`."""
        if found := self.objects.get((resource.kind, name)):
            return msgspec.convert(found, resource.type)
        raise errors.NotFound(errors.Status(code=404, reason="NotFound", message=name))


@dataclass
class Running:
    """The agent's container. `first` is its first process, seen from outside."""

    process: asyncio.subprocess.Process
    output: Path
    first: int
    space: int
    """The number of its process namespace."""
    status: IO[bytes]
    """Bubblewrap's words; it would not survive that nobody listens."""

    async def end(self, seconds: float = 40.0) -> int:
        """Its exit status."""
        async with asyncio.timeout(seconds):
            return await self.process.wait()

    def terminate(self) -> None:
        """What a kubelet does first."""
        os.kill(self.first, signal.SIGTERM)

    def kill(self) -> None:
        """What a kubelet does in the end."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.first, signal.SIGKILL)

    def left(self) -> list[int]:
        """The processes that are left of it."""
        return [pid for pid in _pids() if _space(pid) == self.space]

    @property
    def said(self) -> str:
        """What it has printed so far."""
        return self.output.read_text(errors="replace")


class Pod:
    """One Pod with everything that it mounts, in a folder of its own."""

    def __init__(self, folder: Path, program: Path, pod: Json, objects: tuple[Json, ...] = ()) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.pod = msgspec.convert(pod | {"metadata": pod["metadata"] | {"uid": "a-uid"}}, core.Pod)
        self.images = catalogue.Catalogue(folder / "programs", program)
        self.home = launching.Home(folder, "127.0.0.1")
        self.home.hosts.parent.mkdir()
        self.home.hosts.write_text("127.0.0.1 localhost solo.team.svc.cluster.local\n")
        api: Any = Objects(objects)
        self.launcher = launching.Launcher(api, self.images, folder / "claims", "node")
        self.started: list[Running] = []

    def volume(self, name: str) -> Path:
        """Where one of its volumes lies."""
        assert self.home.volumes is not None
        return self.home.volumes[name]

    async def prepare(self) -> None:
        """Run the init containers that come to an end."""
        for container in self.pod.spec.initContainers:
            if container.restartPolicy != "Always":
                running = await self._run(await self._launch(container))
                assert (status := await running.end()) == 0, (container.name, status, running.said)

    async def start(self) -> Running:
        """Start the agent in the machine's network."""
        return await self._run(await self._launch(self._main))

    async def start_alone(self, network: tuple[str, ...], socket: Path, port: int) -> Running:
        """Start the agent in another network, where 127.0.0.1:`port` leads to `socket` outside."""
        return await self._run(self._bridged(await self._launch(self._main), socket, port), network)

    def _bridged(self, launch: Launch, socket: Path, port: int) -> Launch:
        script = Path(__file__).with_name("bridge.py")
        targets = {each.target for each in launch.mounts}
        mounts = [each for each in self.images.find(SYSTEM_IMAGE).mounts if each.target not in targets]
        mounts += [Mount(script, "/bridge.py", True), Mount(socket.parent, "/bridge")]
        python = os.path.realpath(sys.executable)
        argv = (python, "-I", "-S", "/bridge.py", f"/bridge/{socket.name}", str(port), *launch.argv)
        return replace(launch, argv=argv, mounts=(*launch.mounts, *mounts))

    async def stop(self) -> None:
        """End whatever still runs."""
        for running in self.started:
            running.kill()
            await running.process.wait()
            running.status.close()

    @property
    def _main(self) -> core.Container:
        (main,) = (each for each in self.pod.spec.containers if each.name in ("agent", "opencode-server"))
        return main

    async def _launch(self, container: core.Container) -> Launch:
        return await self.launcher.launch(self.pod, container, 0, self.home)

    async def _run(self, launch: Launch, network: tuple[str, ...] = OPEN) -> Running:
        name = launch.id.name
        files = sandbox.Files(*(self.folder / f"{name}.{each}" for each in ("passwd", "group", "nsswitch", "message")))
        for path, content in zip((files.passwd, files.group), sandbox.accounts(launch), strict=True):
            path.write_text(content)
        files.nsswitch.write_text(sandbox.NSSWITCH)
        files.message.touch()
        reader, writer = os.pipe()
        output = self.folder / f"{name}.output"
        with output.open("wb") as file:
            process = await asyncio.create_subprocess_exec(
                *(*network, "bwrap", *sandbox.arguments(launch, files), "--as-pid-1", "--json-status-fd", str(writer)),
                *("--", *launch.argv),
                stdin=subprocess.PIPE,
                stdout=file,
                stderr=subprocess.STDOUT,
                pass_fds=(writer,),
            )
        os.close(writer)
        status = os.fdopen(reader, "rb")
        told = await asyncio.to_thread(status.readline)
        assert told, output.read_text()
        first = int(msgspec.json.decode(told)["child-pid"])
        self.started.append(Running(process, output, first, _space(first), status))
        return self.started[-1]


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _space(pid: int) -> int:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/ns/pid").stat().st_ino
    return 0
