"""`context-init`: puts files of a ConfigMap and whole folders where the agent will look for them.

It runs before the agent, on a workspace that a cloned repository may already have filled, so nothing in the workspace
is trusted: no symbolic link is followed out of the folder that a path names. A copy that fails, fails the Pod.
"""

from __future__ import annotations

import json
import os
import stat
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from kubeopencode.pod import wire
from kubeopencode.pod.failure import Failure

DEFAULT_MODE = 0o644


@dataclass(frozen=True)
class _Mapping:
    """One entry of FILE_MAPPINGS or DIR_MAPPINGS."""

    source: Path
    target: Path
    label: str
    mode: int
    optional: bool


def main(arguments: list[str]) -> int:
    """Copy what FILE_MAPPINGS and DIR_MAPPINGS say, from CONFIGMAP_PATH.

    Raises:
        Failure: a mapping cannot be read or carried out; the message names the key and the target.
    """
    if arguments:
        raise Failure(f'"{arguments[0]}" is not expected; context-init is configured by its environment')
    workspace = _absolute("WORKSPACE_DIR", os.environ.get("WORKSPACE_DIR") or "/workspace")
    folder = Path(os.environ.get("CONFIGMAP_PATH") or "/configmap-files")
    files = [_file(each, folder, workspace) for each in _entries("FILE_MAPPINGS")]
    directories = [_directory(each, workspace) for each in _entries("DIR_MAPPINGS")]
    roots = _roots(workspace)
    for mapping in directories:
        _copy_directory(mapping, roots)
    for mapping in files:
        _copy_file(mapping, roots)
    _open_up(workspace)
    sys.stdout.write(f"context-init: {len(files)} files and {len(directories)} folders are in place\n")
    return 0


def _entries(name: str) -> list[dict[str, Any]]:
    text = os.environ.get(name) or "[]"
    try:
        entries: object = json.loads(text)
    except ValueError as error:
        raise Failure(f"{name} is not JSON: {error}") from None
    found = wire.objects(entries)
    if not isinstance(entries, list) or len(found) != len(cast("list[object]", entries)):
        raise Failure(f"{name}: a list of objects is expected")
    return found


def _file(entry: dict[str, Any], folder: Path, workspace: Path) -> _Mapping:
    key = _text("FILE_MAPPINGS", entry, "key")
    # ConfigMap keys have no slash; `..data` and its like are the kubelet's own machinery.
    if "/" in key or key.startswith(".."):
        raise Failure(f'FILE_MAPPINGS: the key "{key}" is no name of a file; letters, digits, "-", "_" and "." are')
    mode = entry.get("fileMode")
    if mode is None:
        mode = DEFAULT_MODE
    if not isinstance(mode, int) or not 0 <= mode <= 0o777:
        raise Failure(f'FILE_MAPPINGS: fileMode {mode!r} of the key "{key}" is not between 0 and 511')
    target = _target(_text("FILE_MAPPINGS", entry, "targetPath"), workspace)
    return _Mapping(folder / key, target, f'key "{key}"', mode, entry.get("optional") is True)


def _directory(entry: dict[str, Any], workspace: Path) -> _Mapping:
    source = _text("DIR_MAPPINGS", entry, "sourcePath")
    target = _target(_text("DIR_MAPPINGS", entry, "targetPath"), workspace)
    optional = entry.get("optional") is True
    return _Mapping(_absolute("sourcePath", source), target, f'folder "{source}"', DEFAULT_MODE, optional)


def _text(name: str, entry: dict[str, Any], field: str) -> str:
    value = entry.get(field)
    if not isinstance(value, str) or not value or "\0" in value:
        raise Failure(f"{name}: {field} is {value!r}; a text is expected")
    return value


def _absolute(name: str, text: str) -> Path:
    path = Path(text)
    if not path.is_absolute() or ".." in path.parts:
        raise Failure(f'{name}: "{text}" must be an absolute path without ".."')
    return path


def _target(text: str, workspace: Path) -> Path:
    """A relative target is below the workspace, as `mountPath` has it."""
    return _absolute("targetPath", text if text.startswith("/") else str(workspace / text))


def _roots(workspace: Path) -> tuple[Path, ...]:
    """Where files may go: the workspace and the volume of tools, or wherever else somebody mounted a folder."""
    return (workspace, Path("/tools"))


def _copy_file(mapping: _Mapping, roots: tuple[Path, ...]) -> None:
    # The kubelet shows a key as a link into its own folder, so the source is the one link that is followed.
    try:
        content = mapping.source.read_bytes()
    except FileNotFoundError:
        if mapping.optional:
            return
        raise Failure(f"{mapping.label} is not there, and {mapping.target} needs it") from None
    except OSError as error:
        raise Failure(f"{mapping.label} cannot be read for {mapping.target}: {error.strerror}") from None
    _write(mapping, mapping.target, content, roots)


def _copy_directory(mapping: _Mapping, roots: tuple[Path, ...]) -> None:
    if not mapping.source.is_dir():
        if mapping.optional:
            return
        raise Failure(f"{mapping.label} is not there, and {mapping.target} needs it")
    home = mapping.source.resolve()
    for folder, names, files in os.walk(mapping.source):
        names[:] = sorted(name for name in names if not name.startswith(".."))
        for name in sorted(files):
            source = Path(folder) / name
            if name.startswith("..") or not _stays_inside(source, home):
                continue
            target = mapping.target / source.relative_to(mapping.source)
            mode = DEFAULT_MODE | (source.stat().st_mode & 0o111)
            inner = _Mapping(source, target, f"{mapping.label}, file {name!r}", mode, optional=False)
            _copy_file(inner, roots)


def _stays_inside(source: Path, home: Path) -> bool:
    """Whether this is a regular file that does not lead out of the folder."""
    real = source.resolve()
    return real.is_file() and (real == home or home in real.parents)


def _write(mapping: _Mapping, target: Path, content: bytes, roots: tuple[Path, ...]) -> None:
    try:
        folder = _enter(target.parent, roots)
    except OSError as error:
        raise Failure(f"{mapping.label} cannot go to {target}: {error.strerror or error}") from None
    draft = f".{target.name[:64]}.{os.getpid()}"
    try:
        _draft(folder, draft, content, mapping.mode)
        os.rename(draft, target.name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError as error:
        with suppress(OSError):
            os.unlink(draft, dir_fd=folder)
        raise Failure(f"{mapping.label} cannot be written to {target}: {error.strerror}") from None
    finally:
        os.close(folder)


def _draft(folder: int, name: str, content: bytes, mode: int) -> None:
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=folder)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        os.fchmod(file.fileno(), mode)


def _enter(folder: Path, roots: tuple[Path, ...]) -> int:
    """A descriptor of the folder, made where it is missing. Below a root, no part of it may be a symbolic link."""
    root = next((each for each in roots if each == folder or each in folder.parents), Path("/"))
    if root != Path("/"):
        root.mkdir(parents=True, exist_ok=True)
    current = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    for part in folder.relative_to(root).parts:
        try:
            with suppress(FileExistsError):
                os.mkdir(part, 0o755, dir_fd=current)
            following = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=current)
        except NotADirectoryError:
            raise OSError(0, f'"{part}" on the way is a file or a symbolic link') from None
        finally:
            os.close(current)
        current = following
    return current


def _open_up(workspace: Path) -> None:
    """The agent may run as another user than this one: everything readable, folders passable, as upstream has it."""
    if not workspace.is_dir():
        return
    _widen(workspace, 0o755)
    for folder, names, files in os.walk(workspace):
        for name in names:
            _widen(Path(folder) / name, 0o755)
        for name in files:
            _widen(Path(folder) / name, 0o644)


def _widen(path: Path, bits: int) -> None:
    try:
        now = path.lstat()
        if not stat.S_ISLNK(now.st_mode) and now.st_mode & bits != bits:
            path.chmod(stat.S_IMODE(now.st_mode) | bits)
    except OSError:
        return  # files of another user, for example from a kept volume, stay as they are
