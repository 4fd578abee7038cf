"""PodPart, what one concern adds to a Pod, and `merge`, the only place where their lists meet."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

from kubeopencode.api.meta import Json


class Refused(Exception):  # noqa: N818  # a verdict for the user, not a fault of ours
    """What was asked for cannot be rendered. `reason` goes to the condition, the message says how to mend it."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class File:
    """A file that must be in place before the agent starts."""

    path: str
    content: str
    mode: int = 0o644
    origin: str = ""
    """Which field asked for it, for messages."""


@dataclass(frozen=True)
class PodPart:
    """What one concern adds to a Pod. Every list is in the order it shall appear."""

    files: tuple[File, ...] = ()
    volumes: tuple[Json, ...] = ()
    mounts: tuple[Json, ...] = ()
    """Mounts of the agent's container."""
    shared_mounts: tuple[Json, ...] = ()
    """Mounts of every container."""
    env: tuple[Json, ...] = ()
    """Variables of the agent's container."""
    shared_env: tuple[Json, ...] = ()
    """Variables of every container."""
    env_from: tuple[Json, ...] = ()
    init: tuple[Json, ...] = ()
    beside: tuple[Json, ...] = ()
    """Containers that run beside the agent's."""


def merge(parts: Iterable[PodPart]) -> PodPart:
    """All parts as one.

    Raises:
        Refused: two parts want the same file, volume, mount path or variable.
    """
    every = list(parts)
    whole = PodPart(
        **{each.name: tuple(item for part in every for item in getattr(part, each.name)) for each in fields(PodPart)}
    )
    _distinct("file", [file.path for file in whole.files])
    _distinct("volume", [volume["name"] for volume in whole.volumes])
    _distinct("mount path", [mount["mountPath"] for mount in (*whole.mounts, *whole.shared_mounts)])
    _distinct("environment variable", [variable["name"] for variable in (*whole.env, *whole.shared_env)])
    return whole


def _distinct(what: str, names: list[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise Refused(
                "ContextError", f"mount path conflict: the {what} {name!r} is wanted twice; each may be used once"
            )
        seen.add(name)


def variable(name: str, value: str) -> Json:
    """An environment variable whose value is meant literally: Kubernetes would expand `$(NAME)` and fold `$$`."""
    return {"name": name, "value": value.replace("$", "$$")}


def mount(volume: str, path: str, *, read_only: bool = False, sub_path: str = "") -> Json:
    """A volume mount."""
    result: Json = {"name": volume, "mountPath": path}
    if read_only:
        result["readOnly"] = True
    if sub_path:
        result["subPath"] = sub_path
    return result


def empty_dir(name: str) -> Json:
    """A volume that lives as long as the Pod."""
    return {"name": name, "emptyDir": {}}
