"""A Pod from its parts: the frame that Task Pods and live servers share."""

from __future__ import annotations

import json
import posixpath
import re
from typing import Any

from kubeopencode.agents import opencode
from kubeopencode.api.agent import AgentShape
from kubeopencode.api.meta import Json
from kubeopencode.render import contexts, images, paths, security
from kubeopencode.render.parts import File, PodPart, Refused, mount, variable
from kubeopencode.render.setting import Setting

SYSTEM_CONTAINERS = {"opencode-init": "openCodeInit", "context-init": "contextInit", "git-init": "gitInit"}
"""Our containers, and the field of `podSpec.systemContainers` that has the owner's settings for each."""

_LAST_WORDS: Json = {"terminationMessagePolicy": "FallbackToLogsOnError"}
"""Why one of our own containers failed shall be read in the Task. Not so for the agent's: it may print anything."""

RESOURCES: Json = {"requests": {"memory": "512Mi"}, "limits": {"memory": "4Gi"}}


def tools(place: Setting) -> PodPart:
    """The init container that brings the agent's program to /tools."""
    init_image, _ = images.agent_images(place.shape)
    container: Json = {
        "name": "opencode-init",
        **images.pulled(init_image),
        "env": [variable("TOOLS_DIR", paths.TOOLS)],
        "volumeMounts": [mount("tools", paths.TOOLS)],
        "securityContext": security.CONTAINER,
        **_LAST_WORDS,
    }
    return PodPart(init=(container,))


def extras(place: Setting) -> PodPart:
    """The owner's further volumes and mounts. They are merged like ours, so that a collision is told."""
    options = place.shape.podSpec
    if options is None:
        return PodPart()
    _complete("extraVolumes", options.extraVolumes, "name")
    _complete("extraVolumeMounts", options.extraVolumeMounts, "mountPath")
    _complete("extraEnv", options.extraEnv, "name")
    return PodPart(volumes=options.extraVolumes, mounts=tuple(place.extra_mounts))


def _complete(field: str, entries: tuple[Json, ...], needed: str) -> None:
    for index, entry in enumerate(entries):
        if not entry.get(needed):
            raise Refused("AgentError", f"spec.podSpec.{field}[{index}]: {needed} is missing")


def system_container(place: Setting) -> Json:
    """The beginning of a container that runs one of our own programs."""
    return {**images.system(place.cluster), "securityContext": security.CONTAINER, **_LAST_WORDS}


def config(shape: AgentShape) -> PodPart:
    """OpenCode's configuration as a file, and the variables that go with it.

    Raises:
        Refused: the configuration is not JSON.
    """
    env = [variable(name, value) for name, value in opencode.ENVIRONMENT.items()]
    if not shape.trustWorkspaceConfig:
        env += [variable(name, value) for name, value in opencode.UNTRUSTED_WORKSPACE.items()]
    parsed: dict[str, Any] = {}
    files: tuple[File, ...] = ()
    if shape.config is not None:
        try:
            parsed = opencode.parse(shape.config)
        except ValueError as error:
            raise Refused("ContextError", f"spec.config: {error}") from None
        files = (File(paths.CONFIG, json.dumps(parsed, indent=2), origin="spec.config"),)
        env.append(variable("OPENCODE_CONFIG", paths.CONFIG))
    if (allowed := opencode.permission(parsed)) is not None:
        env.append(variable("OPENCODE_PERMISSION", allowed))
    return PodPart(files=files, env=tuple(env))


def instructions(place: Setting, content: contexts.Content) -> tuple[Json, ...]:
    """The variable that makes OpenCode read the aggregated contexts besides the repository's own AGENTS.md."""
    wanted = [] if place.shape.trustWorkspaceConfig else [opencode.AGENTS_FILE]
    wanted += [paths.CONTEXT_FILE] if content.text else []
    if not wanted:
        return ()
    found = [posixpath.join(place.workspace, path) for path in wanted]
    return (variable("OPENCODE_CONFIG_CONTENT", opencode.instructions(found)),)


def spec(place: Setting, whole: PodPart, main: Json) -> Json:
    """The Pod spec: `main` with everything that the parts add, and the settings of the whole Pod."""
    shape = place.shape
    options = shape.podSpec
    extra_env = list(options.extraEnv) if options else []
    container: Json = main | {
        "env": _overridden([*main.get("env", []), *whole.env, *whole.shared_env], extra_env),
        "volumeMounts": [*main.get("volumeMounts", []), *whole.mounts, *whole.shared_mounts],
        "securityContext": security.main_container(shape),
    }
    if whole.env_from:
        container["envFrom"] = list(whole.env_from)
    if options and options.lifecycle:
        container["lifecycle"] = options.lifecycle
    result: Json = {
        "initContainers": [_adjusted(shape, _shared(each, whole, extra_env)) for each in whole.init],
        "containers": [container, *(_shared(each, whole, extra_env) for each in whole.beside)],
        "volumes": list(whole.volumes),
        "securityContext": security.pod(shape),
        "automountServiceAccountToken": shape.automountServiceAccountToken,
        "enableServiceLinks": False,
    }
    return result | _placement(shape)


def _shared(container: Json, whole: PodPart, extra_env: list[Json]) -> Json:
    env = _overridden([*container.get("env", []), *whole.shared_env], extra_env)
    return container | {"env": env, "volumeMounts": [*container.get("volumeMounts", []), *whole.shared_mounts]}


def _adjusted(shape: AgentShape, container: Json) -> Json:
    """A container of ours with the owner's settings for it on top."""
    settings = shape.podSpec.systemContainers if shape.podSpec else None
    kind = re.sub(r"-[0-9]+$", "", container["name"])
    theirs = settings and getattr(settings, SYSTEM_CONTAINERS.get(kind, ""), None)
    if not theirs:
        return container
    env = _overridden(container.get("env", []), theirs.get("env", []))
    fixed = {name: container[name] for name in ("name", "command", "volumeMounts") if name in container}
    return container | theirs | fixed | {"env": env}


def _overridden(ours: list[Json], theirs: list[Json]) -> list[Json]:
    """The owner's variables replace ours of the same name, in place; others come after."""
    wanted = {variable.get("name", ""): variable for variable in theirs}
    return [wanted.pop(variable["name"], variable) for variable in ours] + list(wanted.values())


def _placement(shape: AgentShape) -> Json:
    """Settings that decide where and under whom the Pod runs."""
    result: Json = {}
    if shape.serviceAccountName:
        result["serviceAccountName"] = shape.serviceAccountName
    if shape.imagePullSecrets:
        result["imagePullSecrets"] = [{"name": secret.name} for secret in shape.imagePullSecrets]
    options = shape.podSpec
    if options is None:
        return result
    if options.runtimeClassName:
        result["runtimeClassName"] = options.runtimeClassName
    if options.scheduling:
        scheduling = options.scheduling
        chosen = {
            "nodeSelector": scheduling.nodeSelector,
            "tolerations": list(scheduling.tolerations),
            "affinity": scheduling.affinity,
        }
        result |= {name: value for name, value in chosen.items() if value}
    return result


def resources(shape: AgentShape) -> Json:
    """Requests and limits of the agent's container."""
    return (shape.podSpec and shape.podSpec.resources) or RESOURCES
