"""Contexts: texts become one file for the agent to read, files and folders go where `mountPath` says.

Content without a `mountPath` is wrapped in XML tags and joined, the Agent's before the Task's. Source: KubeOpenCode,
"Content Aggregation".
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from kubeopencode.api import core
from kubeopencode.api.context import ContextItem
from kubeopencode.api.meta import Json, Key
from kubeopencode.render import paths
from kubeopencode.render.parts import File, PodPart, Refused, mount

RUNTIME_PROMPT = """\
You work inside a Pod of KubeOpenCode, a Kubernetes system that runs AI coding agents.

- The task is in the file named task.md of the workspace folder. The workspace folder is in $WORKSPACE_DIR.
- The Task object is named $TASK_NAME in the namespace $TASK_NAMESPACE.
- Nobody watches the terminal: finish the task without asking questions, and end with a short report of what you did.
- Write results only below the workspace folder. What lies elsewhere is gone when the Pod ends."""


@dataclass(frozen=True)
class Directory:
    """A whole ConfigMap as a folder."""

    config_map: str
    path: str
    optional: bool
    mode: int | None = None


@dataclass(frozen=True)
class Content:
    """What a list of contexts comes to, before it is decided how it travels."""

    text: str = ""
    """The aggregated blocks, empty when there are none."""
    files: tuple[File, ...] = ()
    directories: tuple[Directory, ...] = field(default=())


def sources(namespace: str, items: Iterable[ContextItem]) -> set[Key]:
    """The ConfigMaps whose content must be known to render these contexts."""
    return {
        Key(namespace, item.configMap.name)
        for item in items
        if item.configMap and (item.configMap.key or not item.mountPath)
    }


def folders(namespace: str, items: Iterable[ContextItem]) -> set[Key]:
    """The ConfigMaps that are wanted as folders. Only a Pod elsewhere needs their content."""
    return {Key(namespace, item.configMap.name) for item in items if item.configMap and not item.configMap.key}


def read(
    items: Iterable[ContextItem], namespace: str, config_maps: Mapping[Key, core.ConfigMap | None], workspace: str
) -> Content:
    """The contexts of one namespace, in order. Repositories are none of its business.

    Raises:
        Refused: a source is missing, or a path cannot be used.
    """
    blocks: list[str] = []
    files: list[File] = []
    directories: list[Directory] = []
    for index, item in enumerate(items):
        where = f"spec.contexts[{index}]"
        if item.type == "Git":
            continue
        _supported(item, where)
        if item.mountPath and item.configMap and not item.configMap.key:
            directories.append(_directory(item, where, workspace))
            continue
        content = _content(item, where, namespace, config_maps)
        if content is None:
            continue
        if item.mountPath and item.type != "Runtime":
            mode = item.fileMode if item.fileMode is not None else 0o644
            files.append(File(_file_path(item, where, workspace), content, mode, where))
        else:
            blocks.append(_block(item, namespace, content))
    return Content("\n\n".join(blocks), tuple(files), tuple(directories))


def _directory(item: ContextItem, where: str, workspace: str) -> Directory:
    assert item.configMap is not None
    path = paths.folder(paths.Wish(f"{where}.mountPath", item.mountPath), workspace)
    return Directory(item.configMap.name, path, item.configMap.optional or item.optional, item.fileMode)


def _file_path(item: ContextItem, where: str, workspace: str) -> str:
    path = paths.target(paths.Wish(f"{where}.mountPath", item.mountPath), workspace)
    if item.mountPath.endswith("/") or paths.inside(workspace, path):
        raise Refused(
            "ContextError",
            f"{where}.mountPath: {item.mountPath!r} is a folder; this content is one file, give its path",
        )
    return path


def unfolded(content: Content, namespace: str, config_maps: Mapping[Key, core.ConfigMap | None]) -> Content:
    """The same with each file of a folder by itself, for a Pod elsewhere: it could only mount what is beside it.

    Raises:
        Refused: the ConfigMap of a folder is missing.
    """
    files = list(content.files)
    for directory in content.directories:
        found = config_maps.get(Key(namespace, directory.config_map))
        if found is None and not directory.optional:
            raise Refused(
                "ContextError",
                f'spec.contexts: there is no ConfigMap "{directory.config_map}" in the namespace "{namespace}"',
            )
        mode = directory.mode if directory.mode is not None else 0o644
        for key, text in sorted(found.data.items()) if found else ():
            files.append(File(posixpath.join(directory.path, key), text, mode, f"ConfigMap {directory.config_map}"))
    return Content(content.text, tuple(files))


def joined(first: Content, second: Content) -> Content:
    """Two lists of contexts as one."""
    text = "\n\n".join(part for part in (first.text, second.text) if part)
    return Content(text, (*first.files, *second.files), (*first.directories, *second.directories))


def files(content: Content, workspace: str) -> tuple[File, ...]:
    """The content as files: the aggregated text, then each file of its own."""
    if not content.text:
        return content.files
    return (File(posixpath.join(workspace, paths.CONTEXT_FILE), content.text, origin="spec.contexts"), *content.files)


def mounted(directories: Iterable[Directory]) -> PodPart:
    """Whole ConfigMaps as read-only folders."""
    volumes: list[Json] = []
    mounts: list[Json] = []
    for index, directory in enumerate(directories):
        name = f"dir-mount-{index}"
        source: Json = {"name": directory.config_map, "optional": directory.optional}
        if directory.mode is not None:
            source["defaultMode"] = directory.mode
        volumes.append({"name": name, "configMap": source})
        mounts.append(mount(name, directory.path, read_only=True))
    return PodPart(volumes=tuple(volumes), mounts=tuple(mounts))


def _supported(item: ContextItem, where: str) -> None:
    if item.type == "URL":
        message = f"{where}.type: URL contexts are not carried out by this version; the others are"
        raise Refused("ContextError", message)


def _content(
    item: ContextItem, where: str, namespace: str, config_maps: Mapping[Key, core.ConfigMap | None]
) -> str | None:
    if item.type == "Runtime":
        return RUNTIME_PROMPT
    if item.configMap is None:
        return item.text or ""
    source = item.configMap
    found = config_maps.get(Key(namespace, source.name))
    optional = source.optional or item.optional
    if found is None:
        if optional:
            return None
        raise Refused(
            "ContextError",
            f'{where}.configMap.name: there is no ConfigMap "{source.name}" in the namespace "{namespace}"',
        )
    if not source.key:
        return "\n".join(f'<file name="{key}">\n{value}\n</file>' for key, value in sorted(found.data.items()))
    if source.key not in found.data:
        if optional:
            return None
        has = ", ".join(sorted(found.data)) or "none"
        raise Refused(
            "ContextError",
            f'{where}.configMap.key: the ConfigMap "{source.name}" has no key "{source.key}"; it has: {has}',
        )
    return found.data[source.key]


def _block(item: ContextItem, namespace: str, content: str) -> str:
    name = item.name or ("runtime" if item.type == "Runtime" else "context")
    return f'<context name="{_attribute(name)}" namespace="{namespace}" type="{item.type}">\n{content}\n</context>'


def _attribute(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
