"""Where local planes live on disk and what a running one says of itself."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

STATE = "plane.json"


class State(msgspec.Struct, frozen=True):
    """A running plane, as it wrote it down."""

    pid: int
    server: str
    socket: str
    kubeconfig: str
    started: str
    version: str


def folder() -> Path:
    """The folder of the user's plane: $KUBEOPENCODE_DATA, else `kubeopencode` in the user's data folder."""
    if given := os.environ.get("KUBEOPENCODE_DATA"):
        return Path(given)
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "kubeopencode"


def read(where: Path | None = None) -> State | None:
    """What the plane in that folder says of itself; None when it is not running."""
    try:
        state = msgspec.json.decode(((where or folder()) / STATE).read_bytes(), type=State)
    except (OSError, msgspec.DecodeError):
        return None
    return state if alive(state.pid) else None


def running() -> bool:
    """The user's plane is up."""
    return read() is not None


def alive(pid: int) -> bool:
    """There is a process with that number which is a plane of ours."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        return b"kubeoc" in command or b"kubeopencode" in command
    except OSError:
        return False
