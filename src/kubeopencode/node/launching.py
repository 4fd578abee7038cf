"""From a container's spec to something that can be started: image, environment, volumes, identity.

Reads ConfigMaps, Secrets and claims through the API; starts nothing.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from kubeopencode.api import core, meta
from kubeopencode.kube import client, errors
from kubeopencode.node import catalogue, environment, sandbox, volumes
from kubeopencode.node.runner import ContainerId, Identity, Launch, Mount

T = TypeVar("T", bound=meta.Object)

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\Z")
"""Names of containers and volumes become names of directories: the API's rule is checked once more."""
LISTEN = "KUBEOPENCODE_LISTEN"
"""The variable that tells every container the address its servers must listen on: the Pod's own."""


@dataclass
class Home:
    """Where a Pod lives on this host: its directory and its address."""

    directory: Path
    ip: str
    volumes: dict[str, Path] | None = None
    refreshed_at: float = 0.0

    @property
    def hosts(self) -> Path:
        """The Pod's hosts file."""
        return self.directory / "etc" / "hosts"


@dataclass(frozen=True)
class Launcher:
    """Prepares containers. `claims` is the directory that holds those of PersistentVolumeClaims."""

    connection: client.Client
    catalogue: catalogue.Catalogue
    claims: Path
    node: str
    shared: tuple[Path, ...] = ()

    async def launch(self, pod: core.Pod, container: core.Container, attempt: int, home: Home) -> Launch:
        """All that a container needs to start.

        Raises `catalogue.UnknownImage`, `environment.ConfigError`, `volumes.VolumeError` and the API's errors.
        """
        for name in (container.name, *(volume.name for volume in pod.spec.volumes)):
            if not _LABEL.match(name):
                raise environment.ConfigError(f'name "{name}" is not a DNS label of lower-case letters, digits and "-"')
        image = self.catalogue.find(container.image)
        place = environment.Place(self.node, home.ip)
        if home.volumes is None:
            home.volumes = await self._volumes(pod, home, place)
        sources = await self._sources(pod.metadata.namespace, *environment.wanted(container))
        env = environment.resolve(pod, container, self._base(pod, image, home), sources, place)
        mounts = [*image.mounts, Mount(home.hosts, "/etc/hosts", True)]
        mounts += volumes.mounts(pod, container, home.volumes, env)
        return Launch(
            id=ContainerId(pod.metadata.uid, container.name, attempt),
            argv=command(container, image, env),
            env=env,
            cwd=container.workingDir or image.working_dir,
            hostname=hostname(pod),
            identity=identity(pod, container, image),
            mounts=tuple(mounts),
            message_path=container.terminationMessagePath,
            read_only_root=bool(container.securityContext and container.securityContext.readOnlyRootFilesystem),
            memory=int(environment.quantity(container.resources.limits.get("memory", 0))),
        )

    async def refresh(self, pod: core.Pod, home: Home) -> None:
        """Bring changed ConfigMaps and Secrets to the volumes of a running Pod; what cannot be had stays as it was."""
        maps, secrets, _ = volumes.wanted(pod.spec)
        sources = await self._sources(pod.metadata.namespace, maps, secrets)
        context = volumes.Context(pod, sources, environment.Place(self.node, home.ip), home.directory.joinpath)
        with contextlib.suppress(volumes.VolumeError):
            volumes.refresh(context, home.directory / "volumes")

    def _base(self, pod: core.Pod, image: catalogue.Image, home: Home) -> dict[str, str]:
        base = {"PATH": catalogue.PATH, "HOME": sandbox.HOME, "HOSTNAME": hostname(pod), LISTEN: home.ip}
        return {**base, **image.env}

    async def _volumes(self, pod: core.Pod, home: Home, place: environment.Place) -> dict[str, Path]:
        maps, secrets, claims = volumes.wanted(pod.spec)
        sources = await self._sources(pod.metadata.namespace, maps, secrets)
        directories = {name: await self._claim(pod.metadata.namespace, name) for name in claims}
        context = volumes.Context(pod, sources, place, directories.__getitem__, self.shared)
        return volumes.materialise(context, home.directory / "volumes")

    async def _claim(self, namespace: str, name: str) -> Path:
        found = await self._find(core.PVCS, namespace, name)
        if found is None or found.metadata.deletionTimestamp:
            raise volumes.VolumeError(f'persistentvolumeclaim "{name}" not found')
        directory = claim_directory(self.claims, found)
        directory.mkdir(parents=True, exist_ok=True)
        return directory

    async def _sources(self, namespace: str, maps: set[str], secrets: set[str]) -> environment.Sources:
        found_maps = {name: await self._find(core.CONFIGMAPS, namespace, name) for name in maps}
        found_secrets = {name: await self._find(core.SECRETS, namespace, name) for name in secrets}
        return environment.Sources(_present(found_maps), _present(found_secrets))

    async def _find(self, resource: meta.Resource[T], namespace: str, name: str) -> T | None:
        try:
            return await self.connection.get(resource, name, namespace)
        except errors.NotFound:
            return None


def claim_directory(claims: Path, claim: core.PersistentVolumeClaim) -> Path:
    """Where a claim's data is; a claim made anew under an old name does not inherit the old one's data."""
    return claims / claim.metadata.namespace / f"{claim.metadata.name}-{claim.metadata.uid}"


def hostname(pod: core.Pod) -> str:
    """A Pod's host name: its own wish, or its name; at most 63 characters."""
    return (pod.spec.hostname or pod.metadata.name)[:63].rstrip("-.")


def command(container: core.Container, image: catalogue.Image, env: dict[str, str]) -> tuple[str, ...]:
    """What runs: the container's words before the image's. Raises `environment.ConfigError` when nobody says."""
    args = container.args or (() if container.command else image.args)
    words = (*(container.command or image.entrypoint), *args)
    if not words:
        raise environment.ConfigError(f'no command specified: image "{container.image}" has no entrypoint')
    return tuple(environment.expand(word, env) for word in words)


def identity(pod: core.Pod, container: core.Container, image: catalogue.Image) -> Identity:
    """As whom a container runs. Raises `environment.ConfigError` for root where root is refused."""
    own = container.securityContext or core.SecurityContext()
    shared = pod.spec.securityContext or core.PodSecurityContext()
    user = own.runAsUser if own.runAsUser is not None else shared.runAsUser
    group = own.runAsGroup if own.runAsGroup is not None else shared.runAsGroup
    chosen = image.user if user is None else user
    not_root = own.runAsNonRoot if own.runAsNonRoot is not None else shared.runAsNonRoot
    if not_root and chosen == 0:
        raise environment.ConfigError("container has runAsNonRoot and image will run as root")
    return Identity(chosen, chosen if group is None else group)


def _present(found: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if value is not None}
