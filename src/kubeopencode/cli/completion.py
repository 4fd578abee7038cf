"""kubeoc completion: the script that lets a shell complete verbs and options."""

from __future__ import annotations

import click
from click import shell_completion


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the completion script: source <(kubeoc completion bash)."""
    kind = shell_completion.get_completion_class(shell)
    root = click.get_current_context().find_root().command
    assert kind is not None
    click.echo(kind(root, {}, "kubeoc", "_KUBEOC_COMPLETE").source())
