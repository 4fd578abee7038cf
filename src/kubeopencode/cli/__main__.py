"""kubeoc: the group of commands. Each verb is a module of its own, imported only when it is used."""

from __future__ import annotations

import importlib
import sys

import click

from kubeopencode import __version__
from kubeopencode.cli import target

COMMANDS = {
    "up": "Start a local plane: Kubernetes' API and our controllers in one process, no cluster.",
    "down": "Stop the local plane and everything it runs.",
    "status": "Show the local plane and what runs on it.",
    "doctor": "Check what is missing on this machine, with the command that mends it.",
    "demo": "Run the main job: a real agent mends a small repository.",
    "apply": "Create or change objects from YAML.",
    "run": "Give an agent a task in words.",
    "get": "List objects.",
    "describe": "Show one object and its events.",
    "logs": "Print what a Task's agent says.",
    "wait": "Wait until a Task has ended.",
    "stop": "Stop a Task.",
    "delete": "Delete objects.",
    "task": "Stop or read one Task (the older spelling).",
    "agent": "Suspend or resume an Agent.",
    "kubeconfig": "Print the local plane's kubeconfig, for kubectl.",
    "operator": "Run the controllers against a cluster.",
    "replay-model": "Serve a model that answers from a script.",
    "version": "Print the version.",
    "completion": "Print the completion script for your shell.",
}


class Verbs(click.Group):
    """Finds a verb's module by its name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The verbs, in the order people meet them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb, imported now."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"kubeopencode.cli.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in `--help`, without importing a single verb."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.option("--kubeconfig", default="", help="Path of the kubeconfig to use.")
@click.option("--context", default="", help="Context of the kubeconfig.")
@click.option("--local", is_flag=True, help="Use the local plane.")
@click.option("-n", "--namespace", default="", help="Namespace to work in.")
@click.version_option(__version__, prog_name="kubeoc", message="%(prog)s %(version)s")
@click.pass_context
def main(ctx: click.Context, kubeconfig: str, context: str, local: bool, namespace: str) -> None:
    """Run AI coding agents as Kubernetes resources, on a laptop without a cluster and on any cluster."""
    ctx.obj = target.Choice(kubeconfig, context, local, namespace)


def run() -> None:
    """The program: errors of the server become one line, not a traceback."""
    from kubeopencode.kube import errors

    try:
        main(prog_name="kubeoc")
    except errors.ApiError as error:
        # The server's own words; the request behind them is nothing that a person has typed.
        click.echo(f"Error: {error.message}", err=True)
        sys.exit(1)
    except errors.KubeError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)
    except BrokenPipeError:
        sys.exit(0)


if __name__ == "__main__":
    run()
