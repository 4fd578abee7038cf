"""kubeoc describe: one object and what happened to it."""

from __future__ import annotations

from typing import Any

import click

from kubeopencode.cli import nouns, output, target
from kubeopencode.kube import plain

HIDDEN = ("managedFields", "selfLink")


@click.command("describe")
@click.argument("what")
@click.argument("name", required=False, default="")
@click.option("-n", "--namespace", default="", help="Namespace.")
def command(what: str, name: str, namespace: str) -> None:
    """Show one object and its events."""
    server = target.door()
    if "/" in what and not name:
        what, _, name = what.partition("/")
    if not name:
        raise click.UsageError("give a kind and a name, such as: kubeoc describe task fix-it")
    noun = nouns.find(server, what)
    place = target.namespace(namespace, server)
    found = server.request("GET", noun.path(place, name))
    for field in HIDDEN:
        found["metadata"].pop(field, None)
    click.echo(output.as_yaml(found), nl=False)
    _print_events(_events(server, found))


def _events(server: plain.Door, found: Any) -> list[Any]:
    meta = found["metadata"]
    namespace = meta.get("namespace", "default")
    query = {"fieldSelector": f"involvedObject.uid={meta['uid']}"}
    listed: Any = server.request("GET", f"/api/v1/namespaces/{namespace}/events", query=query)
    return sorted(listed["items"], key=_when)


def _when(event: Any) -> str:
    return event.get("eventTime") or event.get("lastTimestamp") or event["metadata"]["creationTimestamp"]


def _print_events(events: list[Any]) -> None:
    if not events:
        click.echo("events: none")
        return
    click.echo("events:")
    rows = [
        [output.age(_when(each)), each.get("type", ""), each.get("reason", ""), each.get("message", "")]
        for each in events
    ]
    output.print_rows(["AGE", "TYPE", "REASON", "MESSAGE"], rows)
