"""kubeoc kubeconfig: how kubectl reaches the local plane."""

from __future__ import annotations

from pathlib import Path

import click

from kubeopencode.cli import planes


@click.command("kubeconfig")
@click.option("--path", is_flag=True, help="Print where the file is, not its content.")
def command(path: bool) -> None:
    """Print the local plane's kubeconfig: export KUBECONFIG=$(kubeoc kubeconfig --path)."""
    state = planes.read()
    if state is None:
        raise click.ClickException("the local plane is not running; `kubeoc up` starts it")
    click.echo(state.kubeconfig if path else Path(state.kubeconfig).read_text().rstrip())
