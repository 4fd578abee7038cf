"""Secrets as environment variables or files. Their values are never seen here, only their names."""

from __future__ import annotations

from kubeopencode.api.agent import AgentShape, Credential
from kubeopencode.api.meta import Json
from kubeopencode.render import paths
from kubeopencode.render.parts import PodPart, Refused, merge, mount

MODE = 0o600


def credentials(shape: AgentShape) -> PodPart:
    """The credentials of an Agent or template.

    A single key goes to `mountPath` as a file (mode 0600 unless `fileMode` says otherwise) or into `env`; a whole
    Secret becomes a folder, or all its keys become variables when no path is given. Source: KubeOpenCode, "Agent
    Configuration".

    Raises:
        Refused: a credential says neither how nor where it is wanted.
    """
    return merge(_one(index, credential) for index, credential in enumerate(shape.credentials))


def _one(index: int, credential: Credential) -> PodPart:
    secret, key = credential.secretRef.name, credential.secretRef.key
    where = f"spec.credentials[{index}]"
    if key is None and credential.env:
        raise Refused("AgentError", f"{where}.env: a whole Secret cannot go into one variable; name its secretRef.key")
    if key is None and not credential.mountPath:
        return PodPart(env_from=({"secretRef": {"name": secret}},))
    if key is not None and not credential.env and not credential.mountPath:
        raise Refused("AgentError", f"{where}: neither env nor mountPath says where the key {key!r} shall go")
    env: tuple[Json, ...] = ()
    if credential.env:
        env = ({"name": credential.env, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}},)
    if not credential.mountPath:
        return PodPart(env=env)
    wish = paths.Wish(f"{where}.mountPath", credential.mountPath, "AgentError")
    path = paths.target(wish, "/") if key is not None else paths.folder(wish, "/")
    mode = credential.fileMode if credential.fileMode is not None else MODE
    volume = f"credential-{index}"
    source: Json = {"secretName": secret, "defaultMode": mode}
    if key is None:
        return PodPart(
            env=env, volumes=({"name": volume, "secret": source},), mounts=(mount(volume, path, read_only=True),)
        )
    source["items"] = [{"key": key, "path": "secret-file", "mode": mode}]
    mounts = (mount(volume, path, read_only=True, sub_path="secret-file"),)
    return PodPart(env=env, volumes=({"name": volume, "secret": source},), mounts=mounts)
