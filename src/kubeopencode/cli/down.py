"""kubeoc down: the local plane ends, and everything it runs."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import click

from kubeopencode.cli import planes

PATIENCE = 40.0


@click.command("down")
@click.option("--data", type=click.Path(path_type=Path), default=None, help="Folder of its data.")
def command(data: Path | None) -> None:
    """Stop the local plane and everything it runs. What it knows is kept for the next `kubeoc up`."""
    where = (data or planes.folder()).absolute()
    state = planes.read(where)
    if state is None:
        left = end_leftovers(where)
        ended = f"; {left} containers that it had left were ended" if left else ""
        click.echo(f"the local plane is not running{ended}")
        return
    stop(state)
    click.echo("the local plane has stopped")


def end_leftovers(where: Path) -> int:
    """End the containers of a plane that was killed, which outlive it so that the next plane can go on with them."""
    from kubeopencode.node import processes, runner

    root = where / "node" / "pods"
    containers = processes.ProcessRunner(root)
    left = [each for home in root.glob("*") for each in containers.known(home.name)]
    left = [each for each in left if isinstance(containers.state(each), runner.Running)]
    for each in left:
        containers.kill(each)
    deadline = time.monotonic() + PATIENCE
    while any(isinstance(containers.state(each), runner.Running) for each in left) and time.monotonic() < deadline:
        time.sleep(0.05)
    return len(left)


def stop(state: planes.State) -> None:
    """End a plane and wait for it.

    Raises:
        click.ClickException: it does not end.
    """
    os.kill(state.pid, signal.SIGTERM)
    deadline = time.monotonic() + PATIENCE
    while planes.alive(state.pid):
        if time.monotonic() > deadline:
            raise click.ClickException(f"the plane (process {state.pid}) does not end; kill -9 {state.pid} is safe")
        time.sleep(0.05)
