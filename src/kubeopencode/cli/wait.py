"""kubeoc wait: until a Task has ended. The exit code says how."""

from __future__ import annotations

import sys
import threading
from typing import Any

import click

from kubeopencode.cli import target, tasks
from kubeopencode.kube import plain


@click.command("wait")
@click.argument("names", nargs=-1, required=True)
@click.option("-n", "--namespace", default="", help="Namespace.")
@click.option("--timeout", type=float, default=0, help="Seconds to wait at most; no limit unless given.")
def command(names: tuple[str, ...], namespace: str, timeout: float) -> None:
    """Wait until Tasks have ended.

    Exit code: 0 all completed, 1 one failed, 3 one timed out (or --timeout passed), 4 one was stopped.
    """
    server = target.door()
    place = target.namespace(namespace, server)
    codes: list[int] = []
    if timeout:
        _alarm(timeout)
    for name in names:
        found = until_finished(server, place, name.removeprefix("task/"))
        click.echo(f"{found['metadata']['name']}: {tasks.why(found)}")
        codes.append(tasks.exit_code(found))
    sys.exit(max(codes))


def until_finished(server: plain.Door, namespace: str, name: str) -> Any:
    """The Task once it has ended; where a person looks on, every change of its state is told.

    Raises:
        click.ClickException: the Task was deleted meanwhile.
    """
    told = ""
    for found in tasks.changes(server, namespace, name):
        if tasks.phase(found) in tasks.FINISHED:
            return found
        now = tasks.why(found)
        if sys.stderr.isatty() and now != told:
            click.echo(f"{name}: {now}", err=True)
            told = now
    raise click.ClickException(f'the Task "{name}" was deleted')


def _alarm(seconds: float) -> None:
    import os

    def give_up() -> None:
        click.echo(f"Error: not done within {seconds:g} s", err=True)
        os._exit(tasks.TIMED_OUT)

    timer = threading.Timer(seconds, give_up)
    timer.daemon = True
    timer.start()
