"""kubeoc task stop, kubeoc task logs: the older spelling of `stop` and `logs`."""

from __future__ import annotations

import click

from kubeopencode.cli import logs, stop


@click.group("task")
def command() -> None:
    """Stop or read one Task."""


command.add_command(stop.command)
command.add_command(logs.command)
