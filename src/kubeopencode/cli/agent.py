"""kubeoc agent suspend, kubeoc agent resume."""

from __future__ import annotations

import click

from kubeopencode.cli import nouns, target

AGENT = next(noun for noun in nouns.NOUNS if noun.kind == "Agent")


@click.group("agent")
def command() -> None:
    """Suspend or resume an Agent."""


@command.command("suspend")
@click.argument("name")
@click.option("-n", "--namespace", default="", help="Namespace.")
def suspend(name: str, namespace: str) -> None:
    """Stop an Agent's live server; its Tasks wait."""
    _set(name, namespace, suspended=True)


@command.command("resume")
@click.argument("name")
@click.option("-n", "--namespace", default="", help="Namespace.")
def resume(name: str, namespace: str) -> None:
    """Start an Agent's live server again."""
    _set(name, namespace, suspended=False)


def _set(name: str, namespace: str, *, suspended: bool) -> None:
    server = target.door()
    path = AGENT.path(target.namespace(namespace, server), name)
    server.request("PATCH", path, body={"spec": {"suspend": suspended}}, kind="application/merge-patch+json")
    click.echo(f"agent/{name} {'suspended' if suspended else 'resumed'}")
