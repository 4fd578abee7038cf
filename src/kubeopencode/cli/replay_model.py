"""kubeoc replay-model: a model that answers from a script, for tests and demos of real agents."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from kubeopencode.replay import server


@click.command("replay-model")
@click.option(
    "--script", type=click.Path(path_type=Path, exists=True), default=None, help="The script; the demo's unless given."
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=int, default=18080, show_default=True, help="Port; 0 takes a free one.")
@click.option("--api-key", default="", envvar="REPLAY_API_KEY", help="Demand this key; taken from REPLAY_API_KEY too.")
def command(script: Path | None, host: str, port: int, api_key: str) -> None:
    """Serve an OpenAI-compatible model that answers from a script. It costs nothing and needs no network."""
    from kubeopencode import replay
    from kubeopencode.replay import script as scripts
    from kubeopencode.replay import server

    path = script or Path(replay.__file__).parent / "demo.yaml"
    try:
        parsed = scripts.parse(path.read_text())
    except scripts.ScriptError as error:
        raise click.ClickException(f"{path}: {error}") from error
    asyncio.run(_serve(server.ReplayServer(parsed, host=host, port=port, api_key=api_key)))


async def _serve(wanted: server.ReplayServer) -> None:
    stopping = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stopping.set)
    async with wanted as model:
        click.echo(f"replay model at {model.url}")
        await stopping.wait()
