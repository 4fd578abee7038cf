"""Which server a command talks to.

A flag or a variable decides at once. Otherwise the running local plane and the current context of the user's kubeconfig
are both candidates; where there are both, the user has to say which, so that neither ever hides the other.
"""

from __future__ import annotations

import os
from pathlib import Path

import click
import msgspec

from kubeopencode.cli import planes
from kubeopencode.kube import plain

VARIABLE = "KUBEOPENCODE_KUBECONFIG"


class Choice(msgspec.Struct, frozen=True):
    """What the user said on the command line."""

    kubeconfig: str = ""
    context: str = ""
    local: bool = False
    namespace: str = ""


def choice() -> Choice:
    """What the user said, as the group of commands noted it."""
    found = click.get_current_context().find_object(Choice)
    return found or Choice()


def door() -> plain.Door:
    """The server to talk to.

    Raises:
        click.ClickException: there is none, or there are two and nobody said which.
    """
    said = choice()
    if said.local:
        return _local()
    explicit = said.kubeconfig or os.environ.get(VARIABLE, "")
    if explicit or said.context or os.environ.get("KUBECONFIG"):
        return _remote(explicit, said.context)
    default = Path.home() / ".kube" / "config"
    running = planes.running()
    if running and default.exists():
        raise click.ClickException(
            f"two servers are at hand: the local plane, and the current context of {default}. "
            f"Say which: --local, or --context NAME, or set {VARIABLE}"
        )
    if running:
        return _local()
    if default.exists():
        return _remote("", "")
    raise click.ClickException(
        "there is no server to talk to. `kubeoc up` starts a local plane; --kubeconfig names a cluster"
    )


def namespace(given: str, server: plain.Door) -> str:
    """The namespace of a command: what its flag says, else that of the context."""
    return given or choice().namespace or server.namespace


def _local() -> plain.Door:
    state = planes.read()
    if state is None:
        raise click.ClickException("the local plane is not running; `kubeoc up` starts it")
    return plain.Door(state.server, socket=Path(state.socket), name=f"local plane ({state.server})")


def _remote(path: str, context: str) -> plain.Door:
    import asyncio

    from kubeopencode.kube import config, errors

    try:
        settings = config.load([Path(part) for part in path.split(os.pathsep) if part], context)
        ticket = asyncio.run(settings.credentials.ticket())
    except errors.ConfigError as error:
        raise click.ClickException(str(error)) from error
    headers = dict(settings.impersonate.headers())
    if ticket.authorization:
        headers["Authorization"] = ticket.authorization
    tls = config.ssl_context(settings.tls, ticket.certificate) if settings.server.startswith("https") else None
    return plain.Door(settings.server, headers, tls, settings.socket, settings.namespace, settings.server)
