"""A person's machine for tests: a home of its own, a plane in a process of its own, and the programs a person types."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import yaml
from click import testing

from kubeopencode.cli import __main__ as program
from kubeopencode.cli import planes
from kubeopencode.kube import errors, plain

PATIENCE = 20.0
GROUP = "/apis/kubeopencode.io/v1alpha1"
OLD_KUBECTL = "1.20"

STAND_IN = """\
#!/bin/sh
# Stands in for OpenCode where a test needs none: its server listens, its run repeats what it was told.
case "$1" in
serve) exec /usr/bin/python3 -m http.server "$3" --bind "$5" ;;
run)
  echo "worked on: $*"
  cat
  mkdir -p .outputs && echo https://github.com/org/repo/pull/1 > .outputs/pr-url
  ;;
esac
"""


@dataclass(frozen=True)
class Ran:
    """What came of a command."""

    command: str
    code: int
    out: str
    err: str

    def well(self) -> str:
        """Its output; the test fails where the command did."""
        assert self.code == 0, f"{self.command}: exit code {self.code}\n{self.out}\n{self.err}"
        return self.out

    @property
    def refusal(self) -> str:
        """What it said when it refused: one message, never a traceback."""
        assert self.code != 0, f"{self.command} was expected to refuse\n{self.out}"
        assert "Traceback" not in self.err, self.err
        return self.err.strip()


class Machine:
    """A home, a data folder and the programs. Nothing of the real user's home is seen or touched."""

    def __init__(self, folder: Path, opencode: Path | None = None, data: Path | None = None) -> None:
        self.home = folder / "home"
        self.data = data or folder / "data"
        self.home.mkdir(parents=True)
        self.data.mkdir(exist_ok=True)
        self.env = {"HOME": str(self.home), "KUBEOPENCODE_DATA": str(self.data), "LC_ALL": "C.UTF-8"}
        self.env |= {"OPENCODE_BIN": str(opencode or folder / "no-opencode"), "PATH": os.environ["PATH"]}
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def kubeconfig(self) -> Path:
        """Where the plane tells kubectl how to reach it."""
        return self.data / "kubeconfig"

    @property
    def door(self) -> plain.Door:
        """The plane's API, past all programs."""
        state = planes.read(self.data)
        assert state is not None, self.log()
        return plain.Door(state.server, socket=Path(state.socket), name="plane")

    def up(self, *options: str) -> planes.State:
        """`kubeoc up`, and it is ready."""
        started = self.start(*options)

        def ready() -> planes.State | None:
            assert started.poll() is None, self.log()
            state = planes.read(self.data)
            return state if state and state.pid == started.pid else None

        return until(ready, "the plane is up")

    def start(self, *options: str) -> subprocess.Popen[bytes]:
        """`kubeoc up` in a process of its own."""
        command = [sys.executable, "-m", "kubeopencode.cli", "up", "--data", str(self.data), "--port", "0", *options]
        with (self.home / "plane.log").open("ab") as output:
            self.process = subprocess.Popen(
                command, env=self.env, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        return self.process

    def kill(self) -> None:
        """`kill -9`; what the plane's Pods run goes on."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def down(self) -> None:
        """The plane ends in order, whoever has started it."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(PATIENCE)
        elif state := planes.read(self.data):
            os.kill(state.pid, signal.SIGTERM)
            until(lambda: not planes.alive(state.pid), "the plane ends")

    def log(self) -> str:
        """What the plane has printed, all its lives together."""
        return (self.home / "plane.log").read_text(errors="replace")

    def kubectl(self, *arguments: str, stdin: str = "", binary: str = "kubectl") -> Ran:
        """kubectl with the plane's kubeconfig."""
        return self.run(binary, *arguments, stdin=stdin, env={"KUBECONFIG": str(self.kubeconfig)})

    def shell(self, line: str, namespace: str) -> Ran:
        """A line of a document, as it is typed in a shell whose context has this namespace."""
        return self.run("sh", "-c", line, env={"KUBECONFIG": str(self.context(namespace))})

    def context(self, namespace: str) -> Path:
        """A kubeconfig whose context has this namespace."""
        path = self.home / f"kubeconfig-{namespace}"
        if not path.exists():
            made = json.loads(self.kubeconfig.read_text())
            made["contexts"][0]["context"]["namespace"] = namespace
            path.write_text(json.dumps(made))
        return path

    def kubeoc_process(self, *arguments: str, stdin: str = "", env: Mapping[str, str] | None = None) -> Ran:
        """kubeoc in a process of its own."""
        return self.run(sys.executable, "-m", "kubeopencode.cli", *arguments, stdin=stdin, env=env)

    def run(self, *command: str, stdin: str = "", env: Mapping[str, str] | None = None) -> Ran:
        """Any program in this home."""
        done = subprocess.run(
            command,
            input=stdin,
            env=self.env | dict(env or {}),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return Ran(" ".join(command), done.returncode, done.stdout, done.stderr)

    def kubeoc(self, *arguments: str, stdin: str = "", env: Mapping[str, str] | None = None) -> Ran:
        """kubeoc from its first line to its exit code, in this process because starting Python takes longest."""
        code = 0
        # click unsets the variables that are None.
        given: dict[str, str | None] = dict.fromkeys(("KUBECONFIG", "KUBEOPENCODE_KUBECONFIG", "XDG_DATA_HOME"))
        given |= self.env | dict(env or {})
        with (
            testing.CliRunner().isolation(stdin, given) as streams,
            mock.patch.object(sys, "argv", ["kubeoc", *arguments]),
        ):
            try:
                program.run()
            except SystemExit as ended:
                code = ended.code if isinstance(ended.code, int) else int(bool(ended.code))
            sys.stdout.flush()
            sys.stderr.flush()
            out, err = (stream.getvalue().decode() for stream in streams[:2])
        return Ran(f"kubeoc {' '.join(arguments)}", code, out, err)

    def request(self, method: str, path: str, body: Any = None) -> Any:
        """The API's answer, past all programs; None when what is asked for is not there."""
        try:
            return self.door.request(method, path, body=body)
        except errors.NotFound:
            return None

    def attempt(self, method: str, path: str, body: Any = None) -> tuple[Any, str]:
        """The API's answer, or what it said when it refused."""
        try:
            return self.door.request(method, path, body=body), ""
        except errors.ApiError as error:
            return None, error.message

    def get(self, plural: str, name: str = "", namespace: str = "default") -> Any:
        """An object of ours; None when it is not there."""
        where = f"/namespaces/{namespace}" if namespace else ""
        return self.request("GET", f"{GROUP}{where}/{plural}/{name}".rstrip("/"))

    def namespace(self, name: str) -> str:
        """A fresh namespace."""
        self.request("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        return name

    def ended(self, name: str, namespace: str = "default") -> Any:
        """A Task once it has ended."""
        return self.task_is(("Completed", "Failed"), name, namespace)

    def task_is(self, phases: tuple[str, ...], name: str, namespace: str = "default") -> Any:
        """A Task once it is in one of these phases."""

        def reached() -> Any:
            found = self.get("tasks", name, namespace)
            return found if found and found.get("status", {}).get("phase") in phases else None

        return until(reached, f"the Task {name} is {' or '.join(phases)}")

    def said(self, task: str, words: str, namespace: str = "default") -> str:
        """What a Task's agent has said, once the words are in it."""

        def heard() -> str:
            log = self.kubeoc("logs", task, "-n", namespace)
            return log.out if words in log.out else ""

        return until(heard, f"the agent of {task} says {words!r}")


@dataclass(frozen=True)
class Desk:
    """A namespace of a machine's plane, and kubeoc working in it."""

    machine: Machine
    namespace: str

    def kubeoc(self, *arguments: str, stdin: str = "") -> Ran:
        """kubeoc in this namespace."""
        return self.machine.kubeoc("-n", self.namespace, *arguments, stdin=stdin)

    def task(self, template: str, *options: str) -> str:
        """The name of a Task that has just been given to a template."""
        made = self.kubeoc("run", "do it", "--template", template, "-o", "name", *options)
        return made.well().strip().removeprefix("task/")

    def get(self, plural: str, name: str = "") -> Any:
        """An object of ours; None when it is not there."""
        return self.machine.get(plural, name, self.namespace)

    def ended(self, name: str) -> Any:
        """A Task once it has ended."""
        return self.machine.ended(name, self.namespace)


def manifest(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    """An object of ours."""
    return {"apiVersion": "kubeopencode.io/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def written(path: Path, *objects: dict[str, Any]) -> str:
    """The path of a file with these objects."""
    path.write_text(yaml.safe_dump_all(objects))
    return str(path)


def until(check: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    """What `check` returns once it is true."""
    deadline = time.monotonic() + seconds
    while True:
        if found := check():
            return found
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.02)


def reasons(found: Any) -> dict[str, str]:
    """The reasons of an object's true and false conditions by their types."""
    return {each["type"]: each["reason"] for each in found["status"].get("conditions", ())}


def slug(words: str) -> str:
    """A name that Kubernetes accepts, from a test's name."""
    return re.sub(r"[^a-z0-9]+", "-", words.lower())[-50:].strip("-")


def stand_in(folder: Path) -> Path:
    """A program that takes OpenCode's place."""
    path = folder / "opencode"
    path.write_text(STAND_IN)
    path.chmod(0o755)
    return path


@contextmanager
def running(folder: Path, opencode: Path | None = None) -> Iterator[Machine]:
    """A machine with a plane that is up."""
    machine = Machine(folder, opencode)
    machine.up()
    try:
        yield machine
    finally:
        machine.down()


def needs(name: str) -> str:
    """A program of this machine, or the test is skipped. CI must never pass for that reason."""
    found = shutil.which(name)
    if found is None:
        missing(f"{name} is not installed")
    return str(found)


def missing(why: str) -> None:
    """Without the real thing there is nothing to test."""
    if os.environ.get("CI") == "true":
        pytest.fail(why)
    pytest.skip(why)


def old_kubectl() -> str:
    """The oldest kubectl that people still have: Debian's. It is downloaded once and kept."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kubeopencode"
    kept = base / f"kubectl-{OLD_KUBECTL}"
    if not kept.is_file():
        needs("apt-get")
        needs("dpkg")
        with tempfile.TemporaryDirectory() as folder:
            _unpack(Path(folder), kept)
    return str(kept)


def _unpack(folder: Path, kept: Path) -> None:
    got = subprocess.run(
        ["apt-get", "download", "kubernetes-client"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    package = next(folder.glob(f"kubernetes-client_{OLD_KUBECTL}*.deb"), None)
    if package is None:
        pytest.skip(
            f"kubectl {OLD_KUBECTL} cannot be had here: {got.stderr.strip()[-200:] or 'another version is offered'}"
        )
    subprocess.run(["dpkg", "-x", package, folder / "root"], check=True, capture_output=True)
    kept.parent.mkdir(parents=True, exist_ok=True)
    fresh = kept.with_suffix(f".{os.getpid()}")
    shutil.copy(folder / "root" / "usr" / "bin" / "kubectl", fresh)
    fresh.replace(kept)
