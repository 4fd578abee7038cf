"""kubeoc run: a Task in words."""

from __future__ import annotations

import sys
from typing import Any

import click

from kubeopencode.cli import target, tasks, wait
from kubeopencode.kube import plain


class _Words(click.Command):
    """Says how to give a text that looks like an option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except (click.NoSuchOption, click.MissingParameter) as error:
            hint = "a text that begins with a dash comes last, after two dashes: kubeoc run -- TEXT"
            raise click.UsageError(f"{error.format_message()} {hint}", ctx) from error


@click.command("run", cls=_Words)
@click.argument("text")
@click.option("--agent", default="", help="Agent to run with; `default` unless given.")
@click.option("--template", default="", help="AgentTemplate to run with, in a Pod of its own.")
@click.option("--name", default="", help="Name of the Task; made up unless given.")
@click.option("--timeout", default="", help="End the Task after this long, for example 30m.")
@click.option("-n", "--namespace", default="", help="Namespace.")
@click.option("--wait/--no-wait", "stay", default=True, help="Follow the agent and wait for the end (the default).")
@click.option(
    "-o", "--output", "how", type=click.Choice(["", "name"]), default="", help="name: print only the Task's name."
)
def command(
    text: str, agent: str, template: str, name: str, timeout: str, namespace: str, stay: bool, how: str
) -> None:
    """Give an agent a task in words. `-` as text reads it from standard input.

    Exit code: 0 completed, 1 failed, 3 timed out, 4 stopped.
    """
    if agent and template:
        raise click.UsageError("give --agent or --template, not both")
    server = target.door()
    place = target.namespace(namespace, server)
    spec: dict[str, Any] = {"description": sys.stdin.read() if text == "-" else text}
    if agent:
        spec["agentRef"] = {"name": agent}
    if template:
        spec["templateRef"] = {"name": template}
    if timeout:
        spec["timeout"] = timeout
    made = create(server, place, name, spec)
    label = made["metadata"]["name"]
    click.echo(f"task/{label}" if how == "name" else f"task/{label} created on {server.name or server.server}")
    if stay and not how:
        sys.exit(watch(server, place, label))


def create(server: plain.Door, namespace: str, name: str, spec: dict[str, Any]) -> Any:
    """A Task with this spec; without a name the server makes one up."""
    meta = {"name": name} if name else {"generateName": "task-"}
    body = {"apiVersion": "kubeopencode.io/v1alpha1", "kind": "Task", "metadata": meta, "spec": spec}
    return server.request("POST", tasks.TASK.path(namespace), body=body)


def watch(server: plain.Door, namespace: str, name: str) -> int:
    """Print the agent's words as they come and say how it ended; the exit code for it."""
    told = ""
    for found in tasks.changes(server, namespace, name):
        if found.get("status", {}).get("podName"):
            for line in tasks.follow(server, found, stay=True):
                click.echo(line)
            break
        if tasks.phase(found) in tasks.FINISHED:
            break
        if tasks.why(found) != told:
            told = tasks.why(found)
            click.echo(told, err=True)
    ended = wait.until_finished(server, namespace, name)
    usage = tasks.summary(ended)
    click.echo(f"task/{name} {tasks.why(ended)}" + (f" ({usage})" if usage else ""), err=True)
    return tasks.exit_code(ended)
