"""kubeoc delete: objects by name, or those of a file."""

from __future__ import annotations

import click

from kubeopencode.cli import apply, nouns, target
from kubeopencode.kube import errors, plain


@click.command("delete")
@click.argument("what", required=False, default="")
@click.argument("names", nargs=-1)
@click.option("-f", "--filename", "files", multiple=True, help="Delete the objects of this file or folder.")
@click.option("-n", "--namespace", default="", help="Namespace.")
@click.option("--ignore-not-found", is_flag=True, help="What is not there is no error.")
def command(what: str, names: tuple[str, ...], files: tuple[str, ...], namespace: str, ignore_not_found: bool) -> None:
    """Delete objects: `kubeoc delete task fix-it`, `kubeoc delete -f task.yaml`."""
    server = target.door()
    place = target.namespace(namespace, server)
    if what and not names and "/" in what:
        what, _, name = what.partition("/")
        names = (name,)
    if bool(files) == bool(what and names):
        raise click.UsageError("give either a kind and names, or -f FILE")
    wanted: list[tuple[nouns.Noun, str, str]] = []
    if files:
        for document in (each for name in files for each in apply.read(name)):
            noun = nouns.of_kind(server, document["apiVersion"], document["kind"])
            wanted.append((noun, document["metadata"].get("namespace") or place, document["metadata"]["name"]))
    else:
        noun = nouns.find(server, what)
        wanted = [(noun, place, name) for name in names]
    for noun, where, name in wanted:
        _delete(server, noun.path(where, name), f"{noun.kind.lower()}/{name}", missing_is_fine=ignore_not_found)


def _delete(server: plain.Door, path: str, label: str, *, missing_is_fine: bool) -> None:
    try:
        server.request("DELETE", path, body={"apiVersion": "v1", "kind": "DeleteOptions"})
    except errors.NotFound:
        if not missing_is_fine:
            raise
        return
    click.echo(f"{label} deleted")
