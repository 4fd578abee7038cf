"""Where things may lie inside a Pod. Paths come from users, so each is checked before it is used."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass

from kubeopencode.render.parts import Refused

TOOLS = "/tools"
HOME = "/tmp"  # noqa: S108  # a path inside the Pod, on a volume of its own
CONFIG = "/tools/opencode.json"
CONTEXT_FILE = ".kubeopencode/context.md"
TASK_FILE = "task.md"

_ALLOWED = re.compile(r"/[A-Za-z0-9._/@%+=:, -]*")
_SYSTEM = (
    "/",
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/lib",
    "/lib32",
    "/lib64",
    "/opt",
    "/proc",
    "/run",
    "/sbin",
    "/sys",
    "/tools",
    "/usr",
    "/var",
)


def workspace(path: str) -> str:
    """The workspace folder.

    Raises:
        Refused: it would hide the system's own folders, or has characters that no folder here may have.
    """
    return folder(Wish("spec.workspaceDir", path, "AgentError"), "/")


@dataclass(frozen=True)
class Wish:
    """A path as a user wrote it: in which field, and which reason a refusal has."""

    field: str
    path: str
    reason: str = "ContextError"


def folder(wish: Wish, below: str) -> str:
    """Where a whole folder goes: below `below` when relative.

    Raises:
        Refused: as `target`, or the folder would hide one of the system's own.
    """
    clean = target(wish, below)
    if clean in _SYSTEM or clean.startswith(("/proc/", "/sys/", "/dev/")):
        raise Refused(wish.reason, f"{wish.field}: {wish.path!r} is a folder of the system; use one such as /workspace")
    return clean


def target(wish: Wish, below: str) -> str:
    """Where something goes: below `below` when relative.

    Raises:
        Refused: the path contains `..` or characters that no path here may have.
    """
    path = wish.path if wish.path.startswith("/") else posixpath.join(below, wish.path)
    if not _ALLOWED.fullmatch(path):
        allowed = "letters, digits, blanks and . _ @ % + = : , - / are allowed"
        raise Refused(
            wish.reason, f"{wish.field}: {wish.path!r} has characters that a path here may not have; {allowed}"
        )
    if ".." in path.split("/"):
        raise Refused(wish.reason, f"{wish.field}: {wish.path!r} contains '..'; give the folder itself")
    # normpath keeps two leading slashes, which mean the same as one.
    return "/" + posixpath.normpath(path).lstrip("/")


def inside(path: str, folder: str) -> bool:
    """`path` is `folder` or lies below it."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")
