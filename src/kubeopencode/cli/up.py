"""kubeoc up: the local plane, in the foreground or behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec

from kubeopencode import __version__
from kubeopencode.cli import planes

PORT = 6480
READY_SECONDS = 30.0

BANNER = """\
KubeOpenCode {version}: local plane at {server}
  one process, for one person, on this machine only; it is no production cluster
  data        {data}
  kubectl     export KUBECONFIG={kubeconfig}
  stop it     {stop}"""


@click.command("up")
@click.option("--detach", "-d", is_flag=True, help="Leave it running behind and come back when it is ready.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=PORT,
    show_default=True,
    help="Port on 127.0.0.1; 0 takes a free one.",
)
@click.option("--data", type=click.Path(path_type=Path), default=None, help="Folder for its data.")
@click.option("--share", multiple=True, type=click.Path(path_type=Path), help="Folder that Pods may mount as hostPath.")
@click.option(
    "--isolation",
    type=click.Choice(["bubblewrap", "none"]),
    default="bubblewrap",
    show_default=True,
    help="How Pods are kept apart from this machine. `none` gives agents all that you may do.",
)
def command(detach: bool, port: int, data: Path | None, share: tuple[Path, ...], isolation: str) -> None:
    """Start a local plane: Kubernetes' API and our controllers in one process, no cluster."""
    where = (data or planes.folder()).absolute()
    try:
        where.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise click.ClickException(f"{where} cannot be the folder for its data: {error.strerror}") from error
    if found := planes.read(where):
        raise click.ClickException(
            f"a plane runs on {where} already (process {found.pid}, {found.server}); `kubeoc down` ends it"
        )
    if detach:
        click.echo(banner(started(where, port, share, isolation), where, "kubeoc down"))
        return
    asyncio.run(_serve(where, port, share, isolation))


def started(where: Path, port: int, share: tuple[Path, ...], isolation: str = "bubblewrap") -> planes.State:
    """A plane running behind, ready.

    Raises:
        click.ClickException: it ended or was not ready in time; the message is its own.
    """
    where.mkdir(parents=True, exist_ok=True, mode=0o700)
    log = where / "plane.log"
    options = [f"--port={port}", f"--data={where}", f"--isolation={isolation}", *(f"--share={each}" for each in share)]
    with log.open("ab") as output:
        begin = output.tell()
        process = subprocess.Popen(
            [sys.executable, "-m", "kubeopencode.cli", "up", *options],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if state := planes.read(where):
            return state
        if process.poll() is not None:
            raise click.ClickException(_last_words(log, begin))
        time.sleep(0.05)
    raise click.ClickException(f"the plane was not ready after {READY_SECONDS:g} s; its log is {log}")


def banner(state: planes.State, data: Path, stop: str) -> str:
    """What a person has to know about a plane that is up."""
    return BANNER.format(version=state.version, server=state.server, data=data, kubeconfig=state.kubeconfig, stop=stop)


def _last_words(log: Path, begin: int) -> str:
    with log.open("rb") as file:
        file.seek(begin)
        said = file.read().decode(errors="replace").strip()
    return said.rpartition("Error: ")[2] or f"the plane ended at once; its log is {log}"


async def _serve(where: Path, port: int, share: tuple[Path, ...], isolation: str) -> None:
    from kubeopencode import plane

    settings = plane.PlaneSettings(
        where, port=port, isolation=isolation, share=tuple(each.absolute() for each in share)
    )
    running = plane.Plane(settings)
    stopping = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stopping.set)
    try:
        await running.start()
    except plane.StartError as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"the plane cannot start with its data in {where}: {error}") from error
    started = datetime.now(UTC).isoformat(timespec="seconds")
    state = planes.State(os.getpid(), running.url, str(running.socket), str(running.kubeconfig), started, __version__)
    _write(where / planes.STATE, state)
    click.echo(banner(state, where, "Ctrl-C"))
    try:
        await running.run(stopping)
    finally:
        with contextlib.suppress(FileNotFoundError):
            (where / planes.STATE).unlink()


def _write(path: Path, state: planes.State) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_bytes(msgspec.json.encode(state))
    fresh.replace(path)
