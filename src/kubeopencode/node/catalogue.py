"""Images are names: which programs of this host an image reference stands for.

Built-in entries cover the images that the product itself names; a user's `images.yaml` adds to them and wins. Starts
nothing and pulls nothing.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import msgspec
import yaml

from kubeopencode.node.runner import Mount

OPENCODE = "/opt/kubeopencode/opencode"
"""Where every agent image has the OpenCode binary."""
PACKAGE = "/opt/kubeopencode/pod-package"
LAUNCHER = "/kubeopencode"
"""The system image's program."""

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_BRING_OPENCODE = f'mkdir -p "${{TOOLS_DIR:=/tools}}" && ln -sf {OPENCODE} "$TOOLS_DIR/opencode"'
_ECHO = (
    'cd "${WORKSPACE_DIR:-.}" && echo "=== Task Content ===" && find . -type f | sort | while IFS= read -r file;'
    ' do cat -- "$file"; echo; done; echo "=== Task Completed ==="'
)


class UnknownImage(Exception):  # noqa: N818 - the kubelet's ErrImagePull is what it becomes
    """No program stands for an image; the message names the image, the catalogue and the way out."""


@dataclass(frozen=True)
class Image:
    """What an image contributes to a container."""

    entrypoint: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    mounts: tuple[Mount, ...] = ()
    working_dir: str = "/"
    user: int = 1000


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of `images.yaml`."""

    entrypoint: tuple[str, ...] = ()
    """The command a container runs when it names none."""
    host: str = ""
    """Instead of `entrypoint`: a command of the host's PATH, bound into the sandbox at its own path."""
    args: tuple[str, ...] = ()
    """The arguments used when a container names neither command nor args."""
    env: dict[str, str] = {}
    """Variables every container of this image gets."""
    binds: dict[str, str] = {}
    """Further host paths, read-only: path in the sandbox -> absolute path on the host."""
    workingDir: str = "/"
    """Where a container starts when it does not say."""
    user: int = 1000
    """As whom a container runs when it does not say."""


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    images: dict[str, Entry] = {}


class Catalogue:
    """Looks images up. `opencode` is the OpenCode binary on this host, `programs` a directory of ours for launchers."""

    def __init__(self, programs: Path, opencode: Path | None = None, file: Path | None = None) -> None:
        self._programs = programs
        self._opencode = opencode
        self._file = file
        self._entries: dict[str, Entry] = {}
        self._read_at = 0

    def find(self, reference: str) -> Image:
        """What an image reference stands for. Raises `UnknownImage`."""
        self._read()
        repository = _repository(reference)
        for name in (reference, repository):
            if name in self._entries:
                return self._of_entry(reference, self._entries[name])
        name = _product_name(repository)
        if name == "kubeopencode":
            return self._system
        if name == "kubeopencode-agent-echo":
            return Image(("/bin/sh", "-c", _ECHO), working_dir="/workspace")
        if name:
            return self._agent(reference, name)
        raise UnknownImage(self._unknown(reference))

    def names(self) -> tuple[str, ...]:
        """Every image there is a program for."""
        self._read()
        return (*sorted(self._entries), *(f"quay.io/kubeopencode/{name}" for name in _PRODUCT))

    def _agent(self, reference: str, name: str) -> Image:
        if self._opencode is None or not self._opencode.is_file():
            where = f" at {self._opencode}" if self._opencode else ""
            raise UnknownImage(
                f'image "{reference}" needs the OpenCode binary, which is not installed{where}; run `kubeoc doctor`'
            )
        mounts = (Mount(self._opencode.resolve(), OPENCODE, read_only=True),)
        if name == "kubeopencode-agent-opencode":
            return Image(("/bin/sh", "-c", _BRING_OPENCODE), mounts=mounts)
        return Image(("/bin/bash",), mounts=mounts, working_dir="/workspace")

    @cached_property
    def _system(self) -> Image:
        """The system image: the package that runs inside Pods, with the interpreter we run on ourselves."""
        package = Path(__file__).parents[1] / "pod"
        python = os.path.realpath(sys.executable)
        launcher = self._programs / "kubeopencode"
        code = f"import sys, runpy; sys.path.insert(0, {PACKAGE!r}); "
        code += "runpy.run_module('kubeopencode.pod', run_name='__main__', alter_sys=True)"
        text = f'#!/bin/sh\nexec "{python}" -I -S -c "{code}" "$@"\n'
        if not launcher.exists() or launcher.read_text() != text:
            self._programs.mkdir(parents=True, exist_ok=True)
            launcher.write_text(text)
            launcher.chmod(0o755)
        mounts = [Mount(launcher, LAUNCHER, True), Mount(package, f"{PACKAGE}/kubeopencode/pod", True)]
        base = Path(sys.base_prefix).resolve()
        if not base.is_relative_to("/usr"):
            mounts.append(Mount(base, str(base), True))
        return Image((LAUNCHER,), env={"PYTHONDONTWRITEBYTECODE": "1"}, mounts=tuple(mounts))

    def _of_entry(self, reference: str, entry: Entry) -> Image:
        mounts = [Mount(Path(source), target, True) for target, source in entry.binds.items()]
        entrypoint = entry.entrypoint
        if entry.host:
            found = shutil.which(entry.host)
            if found is None:
                raise UnknownImage(
                    f'image "{reference}" stands for the command "{entry.host}", which is not on the PATH; install it'
                )
            entrypoint = (found,)
            mounts += _bound(Path(found))
        for mount in mounts:
            if not mount.source.exists():
                raise UnknownImage(f'image "{reference}" binds {mount.source}, which does not exist; mend {self._file}')
        return Image(entrypoint, entry.args, entry.env, tuple(mounts), entry.workingDir, entry.user)

    def _read(self) -> None:
        """Read the user's file when it has changed; a broken one counts as the last good one, said loudly."""
        if self._file is None:
            return
        try:
            changed = self._file.stat().st_mtime_ns
        except FileNotFoundError:
            self._entries = {}
            return
        if changed == self._read_at:
            return
        try:
            self._entries = msgspec.convert(yaml.safe_load(self._file.read_text()) or {}, _File).images
        except (yaml.YAMLError, msgspec.ValidationError) as error:
            raise UnknownImage(f"the image catalogue {self._file} cannot be read: {error}") from error
        self._read_at = changed

    def _unknown(self, reference: str) -> str:
        where = self._file or "images.yaml in the data directory"
        return (
            f'no program on this host stands for image "{reference}"; add it to {where}. '
            f"Known images: {', '.join(self.names())}"
        )


_PRODUCT = (
    "kubeopencode",
    "kubeopencode-agent-attach",
    "kubeopencode-agent-code-server",
    "kubeopencode-agent-devbox",
    "kubeopencode-agent-echo",
    "kubeopencode-agent-opencode",
)


def _repository(reference: str) -> str:
    """A reference without digest and tag; a colon before the last slash is a port."""
    name = reference.partition("@")[0]
    head, slash, tail = name.rpartition("/")
    return head + slash + tail.partition(":")[0]


def _product_name(repository: str) -> str:
    """The name of one of our own images, whichever registry it is to come from; empty for all others."""
    parts = repository.split("/")
    if len(parts) == 1 or parts[-2] == "kubeopencode":
        return parts[-1] if parts[-1] in _PRODUCT else ""
    return ""


def _bound(program: Path) -> list[Mount]:
    """A host command and what its link leads to, where they lie outside what every sandbox has."""
    mounts: list[Mount] = []
    for path in (program, program.resolve()):
        if not path.is_relative_to("/usr") and not path.is_relative_to("/bin"):
            mounts.append(Mount(program.resolve(), str(path), True))
    return mounts
