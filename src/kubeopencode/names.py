"""Every derived name, label and annotation. Deterministic; shortened with a hash where Kubernetes has a limit."""

from __future__ import annotations

import hashlib
import re

LABEL_AGENT = "kubeopencode.io/agent"
LABEL_AGENT_TEMPLATE = "kubeopencode.io/agent-template"
LABEL_TASK = "kubeopencode.io/task"
LABEL_TASK_NAMESPACE = "kubeopencode.io/task-namespace"
LABEL_TASK_UID = "kubeopencode.io/task-uid"

ANNOTATION_STOP = "kubeopencode.io/stop"
ANNOTATION_TASK = "kubeopencode.io/task-name"
ANNOTATION_CONTEXT_HASH = "kubeopencode.io/context-hash"

ANNOTATION_CONNECTED = "kubeopencode.io/last-connection-active"

FINALIZER = "kubeopencode.io/task-cleanup"
DEFAULT_AGENT = "default"

MAX_NAME = 253
MAX_LABEL = 63

_SERVICE = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")


def fit(name: str, limit: int) -> str:
    """`name` when it is short enough, else its beginning and eight characters of its hash."""
    if len(name) <= limit:
        return name
    return f"{name[: limit - 9].rstrip('-.')}-{digest(name)}"


def digest(text: str) -> str:
    """Eight characters that stand for `text`."""
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def label(value: str) -> str:
    """A label value for a name, which may be longer than a label."""
    return fit(value, MAX_LABEL)


def pod(task: str) -> str:
    """The Pod of a Task in the Task's own namespace."""
    return fit(f"{task}-pod", MAX_NAME)


def foreign_pod(namespace: str, task: str) -> str:
    """The Pod of a Task that runs in its Agent's namespace."""
    return fit(f"{namespace}-{task}-{digest(f'{namespace}/{task}')}-pod", MAX_NAME)


def context(task: str) -> str:
    """The ConfigMap with a Task's files, in the Task's own namespace."""
    # The Agent "x" has a ConfigMap "x-server-context", which the Task "x-server" would want too.
    own = f"{task}-{digest(task)}" if task.endswith("-server") else task
    return fit(f"{own}-context", MAX_NAME)


def foreign_context(namespace: str, task: str) -> str:
    """The ConfigMap with the files of a Task that runs in its Agent's namespace."""
    return fit(f"{namespace}-{task}-{digest(f'{namespace}/{task}')}-context", MAX_NAME)


def server(agent: str) -> str:
    """The Deployment of a live Agent."""
    return fit(f"{agent}-server", MAX_LABEL)


def service(agent: str) -> str:
    """The Service of a live Agent: the Agent's own name wherever DNS allows it."""
    if len(agent) <= MAX_LABEL and _SERVICE.fullmatch(agent):
        return agent
    return fit("a-" + re.sub(r"[^-a-z0-9]", "-", agent), MAX_LABEL - 9).rstrip("-") + "-" + digest(agent)


def server_context(agent: str) -> str:
    """The ConfigMap with a live Agent's files."""
    return fit(f"{agent}-server-context", MAX_NAME)


def server_password(agent: str) -> str:
    """The Secret with the password of a live Agent's server."""
    return fit(f"{agent}-server-password", MAX_NAME)


def server_volume(agent: str, purpose: str) -> str:
    """A PersistentVolumeClaim of a live Agent; `purpose` is `sessions` or `workspace`."""
    return fit(f"{agent}-server-{purpose}", MAX_NAME)


def session_id(task_uid: str) -> str:
    """The id under which a Task's session is made, so that a second attempt finds the first."""
    return "ses_" + task_uid.replace("-", "")


def session_title(namespace: str, task: str, task_uid: str) -> str:
    """The title of a Task's session, as the systems before us wrote it."""
    return f"kubeopencode/{namespace}/{task}/{task_uid[:8]}"


def file_key(path: str) -> str:
    """The ConfigMap key of a file: its path with dashes, and a hash where that would be ambiguous or not allowed."""
    plain = path.lstrip("/").replace("/", "-")
    if "-" in path or plain.startswith("..") or not re.fullmatch(r"[-._a-zA-Z0-9]+", plain) or len(plain) > MAX_NAME:
        safe = re.sub(r"[^-._a-zA-Z0-9]", "_", plain)[: MAX_NAME - 9]
        safe = "_" + safe.lstrip(".") if safe.startswith("..") else safe
        return f"{safe}-{digest(path)}"
    return plain
