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
        click.echo("the local plane is not running")
        return
    stop(state)
    click.echo("the local plane has stopped")


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
