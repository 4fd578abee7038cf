"""kubeoc version: ours, and the server's where there is one."""

from __future__ import annotations

import click

from kubeopencode import __version__
from kubeopencode.cli import target
from kubeopencode.kube import errors


@click.command("version")
def command() -> None:
    """Print the version of kubeoc and of the server."""
    click.echo(f"kubeoc {__version__}")
    try:
        server = target.door()
        answer = server.request("GET", "/version")
    except (click.ClickException, errors.KubeError):
        click.echo("server: none")
        return
    click.echo(f"server: {answer['gitVersion']} at {server.name or server.server}")
