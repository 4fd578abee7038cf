"""kubeoc logs: what a Task's agent says."""

from __future__ import annotations

import time

import click

from kubeopencode.cli import target, tasks


@click.command("logs")
@click.argument("name")
@click.option("-f", "--follow", is_flag=True, help="Stay until the Task has ended.")
@click.option("--tail", type=int, default=None, help="Only the last lines.")
@click.option("-n", "--namespace", default="", help="Namespace.")
def command(name: str, follow: bool, tail: int | None, namespace: str) -> None:
    """Print what a Task's agent says; with -f, wait for its Pod and stay until the end."""
    server = target.door()
    name = name.removeprefix("task/")
    place = target.namespace(namespace, server)
    for found in tasks.changes(server, place, name):
        if not follow or found.get("status", {}).get("podName"):
            for line in tasks.follow(server, found, stay=follow, tail=tail):
                click.echo(line)
            return
        if tasks.phase(found) in tasks.FINISHED:
            raise click.ClickException(tasks.why(found))
        click.echo(tasks.why(found), err=True)
        time.sleep(0.1)
