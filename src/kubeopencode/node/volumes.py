"""A Pod's volumes as directories of the host, and its mounts as host paths.

Writes below the directories it is given and nowhere else. ConfigMaps and Secrets are materialised once, whole.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from kubeopencode.api import core, volumes
from kubeopencode.node import environment
from kubeopencode.node.runner import Mount

UNSUPPORTED = ("csi", "ephemeral", "image", "nfs")


class VolumeError(Exception):
    """A volume cannot be made; the text is what the kubelet says."""


@dataclass(frozen=True)
class Context:
    """What volumes are made from.

    `claim` gives the directory of a PersistentVolumeClaim or raises `VolumeError`; `shared` are the only folders of
    this machine that a hostPath may name.
    """

    pod: core.Pod
    sources: environment.Sources
    place: environment.Place
    claim: Callable[[str], Path]
    shared: tuple[Path, ...] = ()


def wanted(spec: core.PodSpec) -> tuple[set[str], set[str], set[str]]:
    """The names of the ConfigMaps, Secrets and claims that a Pod's volumes read."""
    maps: set[str] = set()
    secrets: set[str] = set()
    claims: set[str] = set()
    for volume in spec.volumes:
        projections = volume.projected.sources if volume.projected else ()
        maps |= {found.name for found in (volume.configMap, *(part.configMap for part in projections)) if found}
        parts = (volume.secret, *(part.secret for part in projections))
        secrets |= {found.secretName or found.name for found in parts if found}
        claims |= {volume.persistentVolumeClaim.claimName} if volume.persistentVolumeClaim else set()
    return maps, secrets, claims


def materialise(context: Context, root: Path) -> dict[str, Path]:
    """The directory of each volume of a Pod; what exists already stays as it is. Raises `VolumeError`."""
    root.mkdir(parents=True, exist_ok=True)
    return {volume.name: _one(context, volume, root / volume.name) for volume in context.pod.spec.volumes}


def refresh(context: Context, root: Path) -> None:
    """Bring ConfigMaps and Secrets that have changed to their volumes, file by file. Raises `VolumeError`.

    The directory stays the same one, because running containers have it mounted; what they mounted by subPath keeps
    its content, as with a kubelet.
    """
    for volume in context.pod.spec.volumes:
        home = root / volume.name
        if _copied(volume) and home.is_dir():
            _update(list(_files(context, volume)), home)


def refreshable(spec: core.PodSpec) -> bool:
    """Whether a Pod has volumes whose content can change."""
    return any(_copied(volume) for volume in spec.volumes)


def mounts(pod: core.Pod, container: core.Container, found: Mapping[str, Path], env: Mapping[str, str]) -> list[Mount]:
    """A container's mounts as host paths. Raises `VolumeError`."""
    kinds = {volume.name: volume for volume in pod.spec.volumes}
    result: list[Mount] = []
    for mount in container.volumeMounts:
        if mount.name not in found:
            raise VolumeError(f'volumeMount "{mount.mountPath}" names the volume "{mount.name}", which the Pod lacks')
        if not mount.mountPath.startswith("/") or ".." in PurePosixPath(mount.mountPath).parts:
            raise VolumeError(f'mountPath "{mount.mountPath}" is not an absolute path without ".."')
        sub = environment.expand(mount.subPathExpr, env) if mount.subPathExpr else mount.subPath
        source = _inside(found[mount.name], sub) if sub else found[mount.name]
        result.append(Mount(source, mount.mountPath, mount.readOnly or _fixed(kinds[mount.name])))
    return result


def remove(directory: Path) -> None:
    """Remove a directory and all below it, also what a container has made read-only."""

    def insist(function: Callable[[str], object], path: str, _: object) -> None:
        with contextlib.suppress(OSError):
            Path(path).parent.chmod(0o700)
            function(path)

    for _ in range(2):  # a directory that could not be listed is empty-handed at the first try
        shutil.rmtree(directory, onerror=insist)
        if not directory.exists():
            return
        with contextlib.suppress(OSError):
            directory.chmod(0o700)


def _fixed(volume: core.Volume) -> bool:
    """Whether Kubernetes mounts this kind of volume read-only whatever the Pod says."""
    claim = volume.persistentVolumeClaim
    return _copied(volume) or bool(claim and claim.readOnly)


def _copied(volume: core.Volume) -> bool:
    sources = (volume.configMap, volume.secret, volume.projected, volume.downwardAPI)
    return any(source is not None for source in sources)


def _one(context: Context, volume: core.Volume, home: Path) -> Path:
    for kind in UNSUPPORTED:
        if getattr(volume, kind) is not None:
            raise VolumeError(f'volume "{volume.name}": {kind} is not supported by this node; use a PVC or an emptyDir')
    if volume.persistentVolumeClaim:
        return context.claim(volume.persistentVolumeClaim.claimName)
    if volume.hostPath is not None:
        return _host_path(volume, context.shared)
    if home.exists():
        return home
    files = list(_files(context, volume))
    if not files and volume.emptyDir is not None:
        home.mkdir()
        home.chmod(0o777)
        return home
    _publish(files, home)
    return home


def _host_path(volume: core.Volume, shared: tuple[Path, ...]) -> Path:
    """A folder of this machine, if its owner shares it. Links are followed first: where they lead is what counts."""
    assert volume.hostPath is not None
    path = Path(str(volume.hostPath.get("path", ""))).resolve()
    if not any(path.is_relative_to(folder.resolve()) for folder in shared):
        listed = ", ".join(str(folder) for folder in shared) or "none"
        raise VolumeError(
            f'volume "{volume.name}": hostPath {path} is not shared with Pods; shared are: {listed}. '
            "Start the plane with --share FOLDER to share another"
        )
    if volume.hostPath.get("type") == "DirectoryOrCreate":
        path.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        raise VolumeError(f'volume "{volume.name}": hostPath {path} does not exist')
    return path


@dataclass(frozen=True)
class _File:
    path: str
    content: bytes
    mode: int


def _files(context: Context, volume: core.Volume) -> Iterator[_File]:
    try:
        if volume.configMap:
            yield from _config_map(context, volume.configMap, volume.configMap.defaultMode)
        elif volume.secret:
            yield from _secret(context, volume.secret, volume.secret.defaultMode)
        elif volume.downwardAPI:
            yield from _downward(context, volume.downwardAPI, volume.downwardAPI.defaultMode)
        elif volume.projected:
            for part in volume.projected.sources:
                yield from _projection(context, part, volume.projected.defaultMode)
    except (environment.ConfigError, VolumeError) as error:
        raise VolumeError(f'MountVolume.SetUp failed for volume "{volume.name}" : {error}') from error


def _projection(context: Context, part: volumes.Projection, mode: int | None) -> Iterator[_File]:
    if part.configMap:
        yield from _config_map(context, part.configMap, mode)
    if part.secret:
        yield from _secret(context, part.secret, mode)
    if part.downwardAPI:
        yield from _downward(context, part.downwardAPI, mode)
    if part.serviceAccountToken:
        raise VolumeError("serviceAccountToken is not supported by this node; mount a Secret instead")


def _config_map(context: Context, source: volumes.ConfigMapSource, mode: int | None) -> Iterator[_File]:
    found = context.sources.config_maps.get(source.name)
    if found is None:
        if source.optional:
            return
        raise VolumeError(f'configmap "{source.name}" not found')
    content = {name: text.encode() for name, text in found.data.items()} | found.binaryData
    yield from _selected(content, source.items, mode, source.optional, f'configmap "{source.name}"')


def _secret(context: Context, source: volumes.SecretSource, mode: int | None) -> Iterator[_File]:
    name = source.secretName or source.name
    found = context.sources.secrets.get(name)
    if found is None:
        if source.optional:
            return
        raise VolumeError(f'secret "{name}" not found')
    yield from _selected(found.data, source.items, mode, source.optional, f'secret "{name}"')


def _selected(
    content: Mapping[str, bytes], items: tuple[volumes.KeyToPath, ...], mode: int | None, optional: bool, owner: str
) -> Iterator[_File]:
    default = 0o644 if mode is None else mode
    if not items:
        for name, value in content.items():
            yield _File(name, value, default)
    for item in items:
        if item.key not in content:
            if optional:
                continue
            raise VolumeError(f"{owner} references non-existent key: {item.key}")
        yield _File(item.path, content[item.key], default if item.mode is None else item.mode)


def _downward(context: Context, source: volumes.DownwardSource, mode: int | None) -> Iterator[_File]:
    default = 0o644 if mode is None else mode
    for item in source.items:
        text = ""
        if item.fieldRef:
            text = environment.downward(context.pod, item.fieldRef.fieldPath, context.place)
        elif item.resourceFieldRef:
            ref = item.resourceFieldRef
            owner = next((each for each in context.pod.spec.containers if each.name == ref.containerName), None)
            text = environment.resource(owner, ref.resource, ref.divisor) if owner else ""
        yield _File(item.path, text.encode(), default if item.mode is None else item.mode)


def _publish(files: list[_File], home: Path) -> None:
    """Write all files beside the volume and move them into place in one step."""
    scratch = home.with_name(f".{home.name}.new")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    for file in files:
        target = scratch / _relative(file.path)
        target.parent.mkdir(parents=True, exist_ok=True)
        _write(file, target)
    scratch.rename(home)


def _update(files: list[_File], home: Path) -> None:
    """Replace what differs and remove what is gone."""
    wanted = {_relative(file.path): file for file in files}
    for path in [found for found in home.rglob("*") if found.is_file()]:
        if PurePosixPath(path.relative_to(home)) not in wanted:
            path.unlink()
    for path, file in wanted.items():
        target = home / path
        if target.is_file() and target.read_bytes() == file.content:
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = target.with_name(f".{target.name}.new")
        _write(file, scratch)
        scratch.replace(target)


def _write(file: _File, target: Path) -> None:
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as handle:
        handle.write(file.content)
    target.chmod(file.mode & 0o777)


def _relative(path: str) -> PurePosixPath:
    found = PurePosixPath(path)
    if found.is_absolute() or ".." in found.parts or not found.parts:
        raise VolumeError(f'path "{path}" is not a relative path without ".."')
    return found


def _inside(volume: Path, sub: str) -> Path:
    """A path below a volume, made a directory if absent. A link that leads out of the volume is refused."""
    path = PurePosixPath(sub)
    if path.is_absolute() or ".." in path.parts:
        raise VolumeError(f'subPath "{sub}" is not a relative path without ".."')
    root = volume.resolve()
    target = (root / path).resolve()
    if not target.is_relative_to(root):
        raise VolumeError(f'subPath "{sub}" leads out of its volume')
    if not target.exists():
        target.mkdir(parents=True)
    return target
