"""The workspace and what lies in it before the agent starts."""

from __future__ import annotations

import json
from collections.abc import Sequence

from kubeopencode import names
from kubeopencode.api.meta import Json
from kubeopencode.render import paths
from kubeopencode.render.parts import File, PodPart, Refused, empty_dir, mount, variable
from kubeopencode.render.setting import WORKSPACE_VOLUME, Setting

MAX_CONFIG_MAP = 1_000_000
"""Bytes of text in one ConfigMap; Kubernetes refuses more than 1 MiB with everything around it."""

FILES_VOLUME = "context-files"
FILES_FOLDER = "/configmap-files"
SEARCH_PATH = "/tools:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def base(place: Setting, storage: Json | None = None) -> PodPart:
    """Tools, workspace and a writable home; `storage` is the volume source of a workspace that is kept."""
    volumes = [empty_dir("tools"), empty_dir("home")]
    if place.own_workspace is None:
        volumes.append({"name": WORKSPACE_VOLUME, **storage} if storage else empty_dir(WORKSPACE_VOLUME))
    return PodPart(
        volumes=tuple(volumes),
        mounts=(mount("tools", paths.TOOLS), place.workspace_mount, mount("home", paths.HOME)),
        env=environment(place.workspace),
    )


def environment(workspace: str) -> tuple[Json, ...]:
    """What every agent finds in its environment."""
    values = {"HOME": paths.HOME, "SHELL": "/bin/bash", "PATH": SEARCH_PATH, "WORKSPACE_DIR": workspace}
    return tuple(variable(name, value) for name, value in values.items())


def config_map(name: str, namespace: str, files: Sequence[File], labels: dict[str, str]) -> Json:
    """The ConfigMap that carries the files.

    Raises:
        Refused: together they are larger than a ConfigMap may be.
    """
    size = sum(len(file.content.encode()) for file in files)
    if size > MAX_CONFIG_MAP:
        largest = max(files, key=lambda file: len(file.content))
        raise Refused(
            "ContextError",
            f"the texts come to {size} bytes together, and {MAX_CONFIG_MAP} are allowed; the largest is "
            f"{largest.origin or largest.path}. Put large content into the repository or a volume",
        )
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "data": {names.file_key(file.path): file.content for file in files},
    }


def copied(files: Sequence[File], config_map_name: str, place: Setting, container: Json) -> PodPart:
    """Files that an init container writes into the workspace and the tools, where they may be changed later.

    Files elsewhere are mounted read-only, each by itself, so nothing that the image has beside them is hidden.
    """
    here = [f for f in files if paths.inside(f.path, place.workspace) or paths.inside(f.path, paths.TOOLS)]
    elsewhere = [file for file in files if file not in here]
    volume: Json = {
        "name": FILES_VOLUME,
        "configMap": {"name": config_map_name, "items": [_item(file) for file in files]},
    }
    mappings = [{"key": names.file_key(file.path), "targetPath": file.path, "fileMode": file.mode} for file in here]
    init = container | {
        "name": "context-init",
        "command": ["/kubeopencode", "context-init"],
        "env": [
            variable("HOME", paths.HOME),
            variable("WORKSPACE_DIR", place.workspace),
            variable("CONFIGMAP_PATH", FILES_FOLDER),
            variable("FILE_MAPPINGS", json.dumps(mappings, separators=(",", ":"))),
        ],
        "volumeMounts": [
            mount(FILES_VOLUME, FILES_FOLDER, read_only=True),
            place.workspace_mount,
            mount("tools", paths.TOOLS),
            mount("home", paths.HOME),
        ],
    }
    mounts = tuple(
        mount(FILES_VOLUME, file.path, read_only=True, sub_path=names.file_key(file.path)) for file in elsewhere
    )
    return PodPart(volumes=(volume,), mounts=mounts, init=(init,))


def _item(file: File) -> Json:
    key = names.file_key(file.path)
    return {"key": key, "path": key, "mode": file.mode}
