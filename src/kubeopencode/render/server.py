"""A live Agent's objects: the server's Deployment, its Service, its files, its volumes and its password."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from kubeopencode import names
from kubeopencode.agents import opencode
from kubeopencode.api import core
from kubeopencode.api.agent import VolumeOptions
from kubeopencode.api.meta import Json, Key
from kubeopencode.render import contexts, credentials, git, images, network, pods, workspace
from kubeopencode.render.parts import File, PodPart, merge, mount, variable
from kubeopencode.render.setting import Setting, setting
from kubeopencode.world import Cluster, Profile

CONTAINER = "opencode-server"
SESSIONS = "/data/sessions"
SIZES = {"sessions": "1Gi", "workspace": "10Gi"}


def sources(profile: Profile) -> set[Key]:
    """The ConfigMaps whose content is needed to render this Agent."""
    return contexts.sources(profile.key.namespace, profile.shape.contexts)


def password(profile: Profile, value: str) -> Json:
    """The Secret with the server's password. It is only ever created: nobody of ours reads it back."""
    secret = _object(profile, "v1", "Secret", names.server_password(profile.key.name))
    return secret | {"type": "Opaque", "stringData": {"password": value}}


def desired(profile: Profile, cluster: Cluster, config_maps: Mapping[Key, core.ConfigMap | None]) -> tuple[Json, ...]:
    """All objects of a live Agent but the password.

    Raises:
        Refused: the Agent asks for something that cannot be; the message names the field.
    """
    assert profile.agent is not None
    place = setting(profile.shape, cluster, profile.workspace)
    content = contexts.read(profile.shape.contexts, profile.key.namespace, config_maps, place.workspace)
    config = pods.config(profile.shape)
    files = (*contexts.files(content, place.workspace), *config.files)
    parts = [
        workspace.base(place, _workspace_source(profile)),
        pods.tools(place),
        git.cloned(git.checkouts(profile.shape.contexts, place.workspace), place, pods.system_container(place)),
        contexts.mounted(content.directories),
        _sessions(profile),
        PodPart(files=files, env=(*_env(profile), *config.env, *pods.instructions(place, content))),
        credentials.credentials(profile.shape),
        network.proxy(profile.shape, cluster),
        network.ca_bundle(profile.shape),
        pods.extras(place),
    ]
    objects = [_service(profile), *_volumes(profile)]
    if files:
        labels = {"app": "kubeopencode", "app.kubernetes.io/component": "server"} | _selector(profile)
        name = names.server_context(profile.key.name)
        objects.append(workspace.config_map(name, profile.key.namespace, files, labels))
        parts.insert(3, workspace.copied(files, name, place, pods.system_container(place)))
    deployment = _deployment(profile, pods.spec(place, merge(parts), _container(profile, place)), files)
    return (*objects, deployment)


def _object(profile: Profile, api_version: str, kind: str, name: str) -> Json:
    metadata: Json = {
        "name": name,
        "namespace": profile.key.namespace,
        "labels": _labels(profile),
    }
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata}


def _selector(profile: Profile) -> dict[str, str]:
    return {names.LABEL_AGENT: names.label(profile.key.name)}


def _labels(profile: Profile) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": "kubeopencode-server",
        "app.kubernetes.io/instance": names.label(profile.key.name),
        "app.kubernetes.io/component": "server",
        "app.kubernetes.io/managed-by": "kubeopencode",
    } | _selector(profile)


def _env(profile: Profile) -> tuple[Json, ...]:
    secret = {"name": names.server_password(profile.key.name), "key": "password"}
    return (
        variable("OPENCODE_PORT", str(profile.port)),
        {"name": "OPENCODE_SERVER_PASSWORD", "valueFrom": {"secretKeyRef": secret}},
    )


def _container(profile: Profile, place: Setting) -> Json:
    _, executor = images.agent_images(profile.shape)
    # A probe over HTTP would need the password in the Pod's spec. The driver waits for the server's own health.
    probe: Json = {"tcpSocket": {"port": profile.port}, "timeoutSeconds": 5}
    ports = [{"name": "http", "containerPort": profile.port}]
    ports += [
        {"name": port.name, "containerPort": port.port, "protocol": port.protocol} for port in profile.shape.extraPorts
    ]
    return {
        "name": CONTAINER,
        **images.pulled(executor),
        "command": ["sh", "-c", opencode.SERVE_SCRIPT],
        "workingDir": place.workspace,
        "ports": ports,
        "startupProbe": probe | {"initialDelaySeconds": 1, "periodSeconds": 1, "failureThreshold": 60},
        "readinessProbe": probe | {"periodSeconds": 10, "failureThreshold": 3},
        "livenessProbe": probe | {"periodSeconds": 30, "failureThreshold": 3},
        "resources": pods.resources(profile.shape),
    }


def _deployment(profile: Profile, spec: Json, files: tuple[File, ...]) -> Json:
    assert profile.agent is not None
    options = profile.shape.podSpec
    labels = (options.labels if options else {}) | _labels(profile)
    annotations = {names.ANNOTATION_CONTEXT_HASH: _hash(files)}
    return _object(profile, "apps/v1", "Deployment", names.server(profile.key.name)) | {
        "spec": {
            "replicas": 0 if profile.agent.spec.suspend else 1,
            # Two servers on one database would corrupt it, and on a volume of one node they would wait for each other.
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": _selector(profile)},
            "template": {"metadata": {"labels": labels, "annotations": annotations}, "spec": spec},
        }
    }


def _hash(files: tuple[File, ...]) -> str:
    """Changes when a file changes, so that the server restarts with the new content."""
    facts = sorted((file.path, file.mode, file.content) for file in files)
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]


def _service(profile: Profile) -> Json:
    ports: list[Json] = [{"name": "http", "port": profile.port, "targetPort": profile.port, "protocol": "TCP"}]
    for port in profile.shape.extraPorts:
        ports.append({"name": port.name, "port": port.port, "targetPort": port.port, "protocol": port.protocol})
    service = _object(profile, "v1", "Service", names.service(profile.key.name))
    return service | {"spec": {"selector": _selector(profile), "ports": ports}}


def _kept(profile: Profile) -> dict[str, VolumeOptions]:
    """What is kept when the Pod restarts, by purpose."""
    persistence = profile.agent.spec.persistence if profile.agent else None
    if persistence is None:
        return {}
    wanted = {"sessions": persistence.sessions, "workspace": persistence.workspace}
    return {purpose: options for purpose, options in wanted.items() if options is not None}


def _claim(profile: Profile, purpose: str) -> Json:
    return {"persistentVolumeClaim": {"claimName": names.server_volume(profile.key.name, purpose)}}


def _workspace_source(profile: Profile) -> Json | None:
    return _claim(profile, "workspace") if "workspace" in _kept(profile) else None


def _sessions(profile: Profile) -> PodPart:
    if "sessions" not in _kept(profile):
        return PodPart()
    return PodPart(
        volumes=({"name": "sessions", **_claim(profile, "sessions")},),
        mounts=(mount("sessions", SESSIONS),),
        env=(variable("OPENCODE_DB", f"{SESSIONS}/{opencode.DATABASE}"),),
    )


def _volumes(profile: Profile) -> list[Json]:
    claims: list[Json] = []
    for purpose, options in _kept(profile).items():
        claim = _object(profile, "v1", "PersistentVolumeClaim", names.server_volume(profile.key.name, purpose))
        size = {"requests": {"storage": options.size or SIZES[purpose]}}
        spec: Json = {"accessModes": ["ReadWriteOnce"], "resources": size}
        if options.storageClassName is not None:
            spec["storageClassName"] = options.storageClassName
        claims.append(claim | {"spec": spec})
    return claims
