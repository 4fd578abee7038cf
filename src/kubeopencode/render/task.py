"""A Task's objects: the ConfigMap with its files, and the Pod that does the work or hands it to the live server."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, replace

import msgspec

from kubeopencode import names
from kubeopencode.agents import opencode, shell
from kubeopencode.api.agent import AgentShape
from kubeopencode.api.meta import Json, Key
from kubeopencode.api.outputs import OutputSpec
from kubeopencode.render import contexts, credentials, git, images, network, paths, pods, workspace
from kubeopencode.render.parts import File, PodPart, Refused, empty_dir, merge, mount, variable
from kubeopencode.render.setting import Setting, setting
from kubeopencode.world import Observed, Profile

RECORD_FOLDER = "/record"
RECORDER = "output-collector"
MAIN = "agent"

_RECORD = f"""\
trap 'touch {RECORD_FOLDER}/done' TERM INT
/kubeopencode record &
child=$!
while kill -0 "$child" 2>/dev/null; do wait "$child"; code=$?; done
exit "$code"
"""
# An agent may end before the recorder has come up, and the signal that says so would be lost or deadly. The shell is
# there at once and leaves word.

_THEN_TELL = shell.supervised('"$@"', then=f"touch {RECORD_FOLDER}/done")

_FILES = "/task"
"""Where an attached Task's files lie; the workspace itself is on the server."""


@dataclass(frozen=True)
class _Frame:
    """What the pieces of one Task's Pod share."""

    seen: Observed
    profile: Profile
    place: Setting
    files: tuple[File, ...]
    directories: tuple[contexts.Directory, ...] = ()
    checkouts: tuple[git.Checkout, ...] = ()
    env: tuple[Json, ...] = ()
    """What the agent is told about its Task and its configuration."""

    @property
    def shape(self) -> AgentShape:
        """The configuration in use."""
        return self.profile.shape


def pod_key(seen: Observed) -> Key:
    """Where the Task's Pod is: beside the Task, or with its Agent."""
    meta = seen.task.metadata
    if seen.foreign and seen.profile:
        return Key(seen.profile.key.namespace, names.foreign_pod(meta.namespace, meta.name))
    return Key(meta.namespace, names.pod(meta.name))


def context_key(seen: Observed) -> Key:
    """Where the Task's ConfigMap is: always beside its Pod."""
    meta = seen.task.metadata
    if seen.foreign and seen.profile:
        return Key(seen.profile.key.namespace, names.foreign_context(meta.namespace, meta.name))
    return Key(meta.namespace, names.context(meta.name))


def sources(seen: Observed) -> set[Key]:
    """The ConfigMaps whose content is needed to render this Task."""
    wanted = contexts.sources(seen.task.metadata.namespace, seen.spec.contexts)
    if seen.foreign:
        wanted |= contexts.folders(seen.task.metadata.namespace, seen.spec.contexts)
    if seen.profile and not seen.attached:
        wanted |= contexts.sources(seen.profile.key.namespace, seen.profile.shape.contexts)
    return wanted


def desired(seen: Observed) -> tuple[Json, ...]:
    """All objects of a Task that runs.

    Raises:
        Refused: the Task or its Agent asks for something that cannot be; the message names the field.
    """
    assert seen.profile is not None
    frame = _frame(seen, seen.profile)
    key = context_key(seen)
    config_map = workspace.config_map(key.name, key.namespace, frame.files, _labels(seen))
    spec = _attached(frame) if seen.attached else _standalone(frame)
    return (config_map, _pod(frame, spec))


def _frame(seen: Observed, profile: Profile) -> _Frame:
    place = setting(profile.shape, seen.cluster, profile.workspace)
    own = contexts.read(seen.spec.contexts, seen.task.metadata.namespace, seen.config_maps, place.workspace)
    if seen.attached:
        return _Frame(seen, profile, place, _files(seen, place, own), env=_task_env(seen))
    if seen.foreign:
        own = contexts.unfolded(own, seen.task.metadata.namespace, seen.config_maps)
    base = contexts.read(profile.shape.contexts, profile.key.namespace, seen.config_maps, place.workspace)
    content = contexts.joined(base, own)
    config = pods.config(profile.shape)
    env = (*_task_env(seen), *config.env, *pods.instructions(place, content))
    files = (*_files(seen, place, content), *config.files)
    return _Frame(seen, profile, place, files, content.directories, _checkouts(seen, profile, place), env)


def _checkouts(seen: Observed, profile: Profile, place: Setting) -> tuple[git.Checkout, ...]:
    for index, item in enumerate(seen.spec.contexts):
        if seen.foreign and item.git and item.git.secretRef:
            # The Pod runs where the Agent is, and there the name would mean a Secret of the Agent's owner.
            where = f"spec.contexts[{index}].git.secretRef"
            raise Refused("ContextError", f"{where}: a Task cannot bring a Secret to an Agent of another namespace")
    own = git.checkouts(seen.spec.contexts, place.workspace)
    return (*git.checkouts(profile.shape.contexts, place.workspace), *own)


def _files(seen: Observed, place: Setting, content: contexts.Content) -> tuple[File, ...]:
    task = File(
        posixpath.join(place.workspace, paths.TASK_FILE), seen.spec.description or "", origin="spec.description"
    )
    return (task, *contexts.files(content, place.workspace))


def _task_env(seen: Observed) -> tuple[Json, ...]:
    meta = seen.task.metadata
    title = names.session_title(meta.namespace, meta.name, meta.uid)
    values = {"TASK_NAME": meta.name, "TASK_NAMESPACE": meta.namespace, "TASK_TITLE": title}
    return tuple(variable(name, value) for name, value in values.items())


def _labels(seen: Observed) -> dict[str, str]:
    meta = seen.task.metadata
    result = {"app": "kubeopencode", names.LABEL_TASK: names.label(meta.name)}
    if seen.foreign:
        result[names.LABEL_TASK_NAMESPACE] = names.label(meta.namespace)
    return result


def _pod(frame: _Frame, spec: Json) -> Json:
    key = pod_key(frame.seen)
    options = frame.shape.podSpec
    meta = frame.seen.task.metadata
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": key.name,
            "namespace": key.namespace,
            "labels": (options.labels if options else {}) | _labels(frame.seen),
            "annotations": {names.ANNOTATION_TASK: f"{meta.namespace}/{meta.name}"},
        },
        "spec": spec | {"restartPolicy": "Never"},
    }


def _standalone(frame: _Frame) -> Json:
    """A Pod that does the work by itself."""
    place = frame.place
    system = pods.system_container(place)
    whole = merge(
        (
            workspace.base(place),
            pods.tools(place),
            git.cloned(frame.checkouts, place, system),
            workspace.copied(frame.files, context_key(frame.seen).name, place, system),
            contexts.mounted(frame.directories),
            _record(frame),
            PodPart(files=frame.files, env=frame.env),
            credentials.credentials(frame.shape),
            network.proxy(frame.shape, frame.seen.cluster),
            network.ca_bundle(frame.shape),
            pods.extras(place),
        )
    )
    _, executor = images.agent_images(frame.shape)
    main: Json = {
        "name": MAIN,
        **images.pulled(executor),
        "command": _command(frame),
        "workingDir": place.workspace,
        "resources": pods.resources(frame.shape),
    }
    return pods.spec(place, whole, main)


def _record(frame: _Frame) -> PodPart:
    """The sidecar that reads usage and results once the agent has ended, and leaves them in its last message."""
    wanted = frame.seen.outputs or OutputSpec()
    database = variable("OPENCODE_DB", posixpath.join(RECORD_FOLDER, opencode.DATABASE))
    container = pods.system_container(frame.place) | {
        "name": RECORDER,
        "command": ["sh", "-c", _RECORD],
        "env": [
            variable("WORKSPACE_DIR", frame.place.workspace),
            variable("OUTPUT_SPEC", msgspec.json.encode(wanted).decode()),
            *(each for each in frame.env if each["name"] == "TASK_TITLE"),
            database,
        ],
        "volumeMounts": [mount("record", RECORD_FOLDER), frame.place.workspace_mount | {"readOnly": True}],
    }
    part = PodPart(volumes=(empty_dir("record"),), mounts=(mount("record", RECORD_FOLDER),), env=(database,))
    if frame.seen.cluster.native_sidecars:
        return replace(part, init=(container | {"restartPolicy": "Always"},))
    return replace(part, beside=(container,))


def _command(frame: _Frame) -> list[str]:
    """What runs in the agent's container. Where nothing else tells the recorder of its end, the command does."""
    command = list(frame.shape.command) or ["sh", "-c", opencode.RUN_SCRIPT]
    return command if frame.seen.cluster.native_sidecars else ["sh", "-c", _THEN_TELL, "sh", *command]


def _attached(frame: _Frame) -> Json:
    """A small Pod that hands the Task to the Agent's live server and follows it."""
    here = frame.place.workspace
    items = [_projected(file, here) for file in frame.files]
    config_map = {"name": context_key(frame.seen).name, "items": [item for item, _ in items]}
    volume: Json = {"name": workspace.FILES_VOLUME, "configMap": config_map}
    files = PodPart(
        files=frame.files,
        volumes=(volume, empty_dir("home")),
        mounts=(mount(workspace.FILES_VOLUME, _FILES, read_only=True), mount("home", paths.HOME)),
        env=(*workspace.environment(here), *frame.env, *_server_env(frame)),
    )
    proxy = network.proxy(frame.shape, frame.seen.cluster)
    certificates = network.ca_bundle(frame.shape)
    main: Json = {
        "name": MAIN,
        **images.system(frame.seen.cluster),
        "command": ["/kubeopencode", "task-run", *_driver_arguments(frame)],
        "resources": {"requests": {"memory": "32Mi"}, "limits": {"memory": "256Mi"}},
    }
    return pods.spec(frame.place, merge((files, proxy, certificates)), main)


def _driver_arguments(frame: _Frame) -> list[str]:
    meta = frame.seen.task.metadata
    task, *others = frame.files
    context = posixpath.join(frame.place.workspace, paths.CONTEXT_FILE)
    arguments = [
        f"--attach={frame.profile.url(frame.seen.cluster)}",
        f"--title={names.session_title(meta.namespace, meta.name, meta.uid)}",
        f"--session={names.session_id(meta.uid)}",
        f"--directory={frame.place.workspace}",
        f"--file={_FILES}/{_relative(task, frame.place.workspace)}",
    ]
    for file in others:
        option = "--context" if file.path == context else "--attachment"
        arguments.append(f"{option}={_FILES}/{_relative(file, frame.place.workspace)}")
    return arguments


def _projected(file: File, here: str) -> tuple[Json, str]:
    path = _relative(file, here)
    return {"key": names.file_key(file.path), "path": path, "mode": file.mode}, path


def _relative(file: File, here: str) -> str:
    """Where a file lies below the folder of files: as in the workspace, or by its whole path below `root`."""
    return posixpath.relpath(file.path, here) if paths.inside(file.path, here) else "root" + file.path


def _server_env(frame: _Frame) -> tuple[Json, ...]:
    secret = {"name": names.server_password(frame.profile.key.name), "key": "password"}
    return (
        variable("OPENCODE_URL", frame.profile.url(frame.seen.cluster)),
        {"name": "OPENCODE_SERVER_PASSWORD", "valueFrom": {"secretKeyRef": secret}},
    )
