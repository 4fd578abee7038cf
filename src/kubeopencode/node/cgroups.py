"""Memory and process limits by control groups, where this user may make them; elsewhere there is no memory limit.

An address-space limit (RLIMIT_AS) is no substitute: Bun and V8 reserve far more than they use.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

PIDS = 8192
"""How many processes and threads one container may have."""


@dataclass(frozen=True)
class Group:
    """The directories of one container, one for each hierarchy, and the files that tell of memory kills."""

    directories: tuple[Path, ...] = ()
    oom_files: tuple[Path, ...] = ()

    @property
    def procs(self) -> tuple[Path, ...]:
        """Where a process writes its pid to join."""
        return tuple(directory / "cgroup.procs" for directory in self.directories)


def create(name: str, memory: int, mount: Path = Path("/sys/fs/cgroup")) -> Group:
    """A group for one container with a limit of `memory` bytes (0 for none); an empty one where that is not allowed."""
    own = _own()
    if (mount / "cgroup.controllers").exists():
        return _unified(mount / own.get("", "").lstrip("/"), name, memory)
    found = Group()
    if memory:
        found = _legacy(mount / "memory" / own.get("memory", "").lstrip("/"), name, "memory.limit_in_bytes", memory)
    pids = _legacy(mount / "pids" / own.get("pids", "").lstrip("/"), name, "pids.max", PIDS)
    return Group(found.directories + pids.directories, found.oom_files)


def _own() -> dict[str, str]:
    """Our own group in each hierarchy, by controller; the unified one has no controller's name."""
    found: dict[str, str] = {}
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            found |= dict.fromkeys(controllers.split(","), path)
    return found


def _legacy(base: Path, name: str, limit: str, value: int) -> Group:
    directory = base / name
    try:
        directory.mkdir(exist_ok=True)
        (directory / limit).write_text(str(value))
    except OSError:
        with contextlib.suppress(OSError):
            directory.rmdir()
        return Group()
    return Group((directory,), (directory / "memory.oom_control",) if limit.startswith("memory") else ())


def _unified(own: Path, name: str, memory: int) -> Group:
    # A group with processes may not hand controllers to children: ours becomes a sibling of the one we live in.
    directory = own.parent / name
    try:
        if "memory" not in (own.parent / "cgroup.subtree_control").read_text().split():
            return Group()
        directory.mkdir(exist_ok=True)
        if memory:
            (directory / "memory.max").write_text(str(memory))
            (directory / "memory.oom.group").write_text("1")
        with contextlib.suppress(OSError):
            (directory / "pids.max").write_text(str(PIDS))
    except OSError:
        with contextlib.suppress(OSError):
            directory.rmdir()
        return Group()
    return Group((directory,), (directory / "memory.events",))
