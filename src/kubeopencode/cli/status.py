"""kubeoc status: the local plane and what runs on it."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from kubeopencode.cli import nouns, output, planes
from kubeopencode.kube import plain


@click.command("status")
def command() -> None:
    """Show the local plane and what runs on it. Exit code 1 when it is not running."""
    state = planes.read()
    if state is None:
        click.echo("the local plane is not running; `kubeoc up` starts it")
        sys.exit(1)
    server = plain.Door(state.server, socket=Path(state.socket), name="local plane")
    facts = {
        "server": state.server,
        "version": state.version,
        "process": str(state.pid),
        "up for": output.age(state.started),
        "kubeconfig": state.kubeconfig,
        "tasks": _counted(server, "Task", _phase),
        "agents": _counted(server, "Agent", _readiness),
        "pods": _counted(server, "Pod", _phase),
    }
    for name, value in facts.items():
        click.echo(f"{name:<11} {value}")


def _phase(found: Any) -> str:
    return found.get("status", {}).get("phase") or "Pending"


def _readiness(found: Any) -> str:
    return "ready" if found.get("status", {}).get("ready") else "not ready"


def _counted(server: plain.Door, kind: str, state: Callable[[Any], str]) -> str:
    noun = next(noun for noun in nouns.NOUNS if noun.kind == kind)
    items = server.request("GET", noun.path(""))["items"]
    counts = Counter(state(each) for each in items)
    detail = ", ".join(f"{count} {word}" for word, count in sorted(counts.items()))
    return f"{len(items)} ({detail})" if items else "none"
