"""kubeoc stop: end a Task; its session on the server ends too, so spending stops."""

from __future__ import annotations

import click

from kubeopencode.cli import target, tasks
from kubeopencode.kube import plain

STOP = "kubeopencode.io/stop"


@click.command("stop")
@click.argument("names", nargs=-1, required=True)
@click.option("-n", "--namespace", default="", help="Namespace.")
def command(names: tuple[str, ...], namespace: str) -> None:
    """Stop Tasks that run or wait."""
    server = target.door()
    place = target.namespace(namespace, server)
    for name in names:
        stop(server, place, name.removeprefix("task/"))


def stop(server: plain.Door, namespace: str, name: str) -> None:
    """Ask for a Task's end."""
    patch = {"metadata": {"annotations": {STOP: "true"}}}
    path = tasks.TASK.path(namespace, name)
    found = server.request("PATCH", path, body=patch, kind="application/merge-patch+json")
    already = tasks.phase(found) in tasks.FINISHED
    click.echo(f"task/{name} had ended already ({tasks.phase(found)})" if already else f"task/{name} stopping")
