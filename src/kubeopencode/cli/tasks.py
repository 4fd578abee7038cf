"""What the verbs about one Task share: reading it, following its agent's words, waiting for its end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import click
import msgspec

from kubeopencode.cli import nouns
from kubeopencode.kube import errors, plain

TASK = nouns.NOUNS[0]
POD = next(noun for noun in nouns.NOUNS if noun.kind == "Pod")
FINISHED = ("Completed", "Failed")
MAIN_CONTAINER = "agent"

FAILED = 1
TIMED_OUT = 3
STOPPED = 4
"""Exit codes that scripts can use: the Task failed, was not done in time, was stopped."""


def changes(server: plain.Door, namespace: str, name: str) -> Iterator[Any]:
    """The Task now, and again whenever it changes. Ends when the Task is gone.

    Raises:
        errors.NotFound: there is no such Task.
    """
    while True:
        found = server.request("GET", TASK.path(namespace, name))
        yield found
        query = {
            "watch": "true",
            "fieldSelector": f"metadata.name={name}",
            "resourceVersion": found["metadata"]["resourceVersion"],
            "timeoutSeconds": "300",
        }
        try:
            for line in server.lines(TASK.path(namespace), query):
                event = msgspec.json.decode(line)
                if event["type"] == "DELETED":
                    return
                if event["type"] in ("ADDED", "MODIFIED"):
                    yield event["object"]
                if event["type"] == "ERROR":
                    break
        except (OSError, errors.ConnectionFailed, errors.Gone):
            time.sleep(0.5)


def phase(found: Any) -> str:
    """The phase of a Task; Pending where it has none yet."""
    return found.get("status", {}).get("phase") or "Pending"


def condition(found: Any, kind: str) -> Any | None:
    """A condition of a Task, if it has it."""
    listed = found.get("status", {}).get("conditions", ())
    return next((each for each in listed if each["type"] == kind), None)


def why(found: Any) -> str:
    """One line about a Task's state: its phase and the reason where there is one."""
    now = phase(found)
    interesting = {"Queued": "Queued", "Failed": "Ready", "Completed": "Stopped"}.get(now, "")
    told = condition(found, interesting)
    return f"{now}: {told['reason']}: {told['message']}" if told else now


def follow(server: plain.Door, found: Any, *, stay: bool, tail: int | None = None) -> Iterator[str]:
    """The words of a Task's agent, line by line.

    Raises:
        click.ClickException: the Task has no Pod, or its Pod is gone.
    """
    status = found.get("status", {})
    pod = status.get("podName")
    if not pod:
        raise click.ClickException(f"the Task has no Pod: {why(found)}")
    query = {"container": MAIN_CONTAINER}
    if stay:
        query["follow"] = "true"
    if tail is not None:
        query["tailLines"] = str(tail)
    namespace = found["metadata"]["namespace"]
    path = POD.path(status.get("podNamespace") or namespace, pod)
    told = ""
    while True:
        try:
            for line in server.lines(f"{path}/log", query):
                yield line.decode(errors="replace").rstrip("\n")
        except errors.NotFound:
            raise click.ClickException(f'the Pod "{pod}" is gone, and its words with it') from None
        except errors.BadRequest:
            # The container has not started yet, or never will.
            now = server.request("GET", TASK.path(namespace, found["metadata"]["name"]))
            state = why(now) if phase(now) in FINISHED else _hindrance(server, path) or why(now)
            if not stay or phase(now) in FINISHED:
                raise click.ClickException(f"the agent has said nothing: {state}") from None
            if state not in (told, why(now)):
                told = state
                click.echo(told, err=True)
            time.sleep(0.1)
        else:
            return


def _hindrance(server: plain.Door, path: str) -> str:
    """Why a Pod's containers do not start; empty where they only take their time."""
    try:
        status = server.request("GET", path).get("status", {})
    except errors.NotFound:
        return ""
    for each in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
        waiting = each.get("state", {}).get("waiting", {})
        if waiting.get("message"):
            return f"{waiting['reason']}: {waiting['message']}"
    return ""


def exit_code(found: Any) -> int:
    """What a script should learn from a Task's end."""
    if phase(found) == "Failed":
        return FAILED
    told = condition(found, "Stopped")
    if told and told["status"] == "True":
        return TIMED_OUT if told["reason"] == "Timeout" else STOPPED
    return 0


def summary(found: Any) -> str:
    """Tokens and cost of a Task, where they are known."""
    usage = found.get("status", {}).get("session", {}).get("summary", {})
    tokens = usage.get("tokenUsage")
    if not tokens:
        return ""
    parts = [f"{tokens.get('input', 0)} tokens in", f"{tokens.get('output', 0)} out", f"${usage.get('cost') or '0'}"]
    return ", ".join(parts)
