"""Where things may lie inside a Pod. Paths come from users, so each is checked before it is used."""

from __future__ import annotations

import posixpath
import re

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
    clean = _checked("spec.workspaceDir", path, "AgentError")
    if clean in _SYSTEM or clean.startswith(("/proc/", "/sys/", "/dev/")):
        raise Refused(
            "AgentError", f"spec.workspaceDir: {path!r} is a folder of the system; use one such as /workspace"
        )
    return clean


def target(field: str, path: str, workspace_dir: str) -> str:
    """Where a context goes: below the workspace when relative.

    Raises:
        Refused: the path leaves the workspace by `..` or has characters that no path here may have.
    """
    return _checked(field, path if path.startswith("/") else posixpath.join(workspace_dir, path), "ContextError")


def inside(path: str, folder: str) -> bool:
    """`path` is `folder` or lies below it."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _checked(field: str, path: str, reason: str) -> str:
    if not _ALLOWED.fullmatch(path):
        raise Refused(
            reason,
            f"{field}: {path!r} has characters that a path here may not have; letters, digits and . _ - / are allowed",
        )
    if ".." in path.split("/"):
        raise Refused(reason, f"{field}: {path!r} contains '..'; give the folder itself")
    return posixpath.normpath(path)
