"""Git contexts: one init container a repository, and its tree where `mountPath` says.

A tree goes into the workspace by a mount of its own; at the workspace's root it is copied, because there it shares the
folder with what else lies there. Instructions win: the files of the Task are written after it.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass

from kubeopencode.api.context import ContextItem, GitSource
from kubeopencode.api.meta import Json
from kubeopencode.render import paths
from kubeopencode.render.parts import PodPart, Refused, empty_dir, mount, variable
from kubeopencode.render.setting import Setting

ROOT = "/git"
LINK = "repo"
SECRET_KEYS = {
    "GIT_USERNAME": "username",
    "GIT_PASSWORD": "password",
    "GIT_SSH_KEY": "ssh-privatekey",
    "GIT_SSH_KNOWN_HOSTS": "ssh-known-hosts",
}
"""Variables of the init container, and the keys of the Secret they come from; each may be missing."""


_REPOSITORY = re.compile(r"(?:https?|ssh)://[!-~]+|[A-Za-z0-9._-]+@[A-Za-z0-9.-]+:(?!-)[!-~]+")
_CREDENTIALS = re.compile(r"^[a-z]+://[^/@]*:[^/@]*@")
_REF = re.compile(r"(?!-)[A-Za-z0-9._/@+-]+")


@dataclass(frozen=True)
class Checkout:
    """One repository and where its tree goes."""

    source: GitSource
    path: str


def checkouts(items: Iterable[ContextItem], workspace: str) -> tuple[Checkout, ...]:
    """The repositories among the contexts.

    Raises:
        Refused: a path cannot be used.
    """
    found: list[Checkout] = []
    for index, item in enumerate(items):
        if item.git is None or item.type != "Git":
            continue
        where = f"spec.contexts[{index}]"
        if not item.mountPath:
            raise Refused("ContextError", f"{where}.mountPath: a Git context needs a folder, such as source")
        _check(where, item.git)
        if item.git.path:
            paths.target(paths.Wish(f"{where}.git.path", item.git.path), ROOT)
        found.append(Checkout(item.git, paths.folder(paths.Wish(f"{where}.mountPath", item.mountPath), workspace)))
    return tuple(found)


def _check(where: str, source: GitSource) -> None:
    """Addresses and names come from users and end on git's command line, so each must be what it is meant to be."""
    if _CREDENTIALS.search(source.repository):
        raise Refused(
            "ContextError", f"{where}.git.repository: the address holds a password; put it into git.secretRef"
        )
    if not _REPOSITORY.fullmatch(source.repository):
        expected = "https://, http://, ssh:// or user@host:path is expected"
        raise Refused("ContextError", f"{where}.git.repository: {source.repository!r} is no address; {expected}")
    if source.ref and (not _REF.fullmatch(source.ref) or ".." in source.ref):
        expected = "a branch, tag or commit is expected"
        raise Refused("ContextError", f"{where}.git.ref: {source.ref!r} is no name that git allows; {expected}")


def cloned(found: Iterable[Checkout], place: Setting, container: Json) -> PodPart:
    """The init containers that fetch the repositories, and the mounts of their trees."""
    volumes: list[Json] = []
    mounts: list[Json] = []
    init: list[Json] = []
    for index, checkout in enumerate(found):
        volume = f"git-context-{index}"
        volumes.append(empty_dir(volume))
        merged = checkout.path == place.workspace
        if not merged:
            tree = posixpath.normpath(posixpath.join(LINK, checkout.source.path.strip("/")))
            mounts.append(mount(volume, checkout.path, sub_path=tree))
        init.append(_container(container, checkout, place, merged=merged) | {"name": f"git-init-{index}"})
        init[-1]["volumeMounts"] = [mount(volume, ROOT), mount("home", paths.HOME)]
        if merged:
            init[-1]["volumeMounts"].append(place.workspace_mount)
    if volumes:
        mounts.append(mount("git-context-0", f"{ROOT}/.gitconfig", sub_path=".gitconfig", read_only=True))
    env = (variable("GIT_CONFIG_GLOBAL", f"{ROOT}/.gitconfig"),) if volumes else ()
    return PodPart(volumes=tuple(volumes), mounts=tuple(mounts), env=env, init=tuple(init))


def _container(container: Json, checkout: Checkout, place: Setting, *, merged: bool) -> Json:
    source = checkout.source
    values = {
        "HOME": paths.HOME,
        "GIT_REPO": source.repository,
        "GIT_REF": source.ref or "HEAD",
        "GIT_DEPTH": str(1 if source.depth is None else source.depth),
        "GIT_ROOT": ROOT,
        "GIT_LINK": LINK,
    }
    if source.recurseSubmodules:
        values["GIT_RECURSE_SUBMODULES"] = "true"
    if merged:
        values |= {"GIT_WORKSPACE_DIR": place.workspace, "GIT_REPO_SUBPATH": source.path}
    env = [variable(name, value) for name, value in values.items() if value]
    if source.secretRef is not None:
        env += [_from_secret(name, source.secretRef.name, key) for name, key in SECRET_KEYS.items()]
    return container | {"command": ["/kubeopencode", "git-init"], "env": env}


def _from_secret(name: str, secret: str, key: str) -> Json:
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key, "optional": True}}}
