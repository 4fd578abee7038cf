"""Who we are to an API server: tokens, passwords, certificates and credential plugins.

A credential is asked for a ticket before every request and told when a ticket was refused. Nothing here logs or prints
a secret.
"""

from __future__ import annotations

import base64
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from kubeopencode.kube import errors

REREAD_SECONDS = 60.0
"""How long a token read from a file is trusted; the kubelet renews projected tokens well before they expire."""


@dataclass(frozen=True)
class Certificate:
    """A client certificate and its key, in PEM."""

    certificate: bytes
    key: bytes = field(repr=False)


@dataclass(frozen=True)
class Ticket:
    """What one request shows to the server."""

    authorization: str = field(default="", repr=False)
    certificate: Certificate | None = None


class Credentials(Protocol):
    """A source of tickets."""

    async def ticket(self) -> Ticket:
        """The ticket to show now. Raises `errors.ConfigError` when none can be had."""
        ...

    def refuse(self, ticket: Ticket) -> bool:
        """The server answered 401 to `ticket`: forget it. True when another try may go better."""
        ...


@dataclass(frozen=True)
class Fixed:
    """A ticket that never changes: a token, a password, a certificate, or nothing at all."""

    value: Ticket = Ticket()

    async def ticket(self) -> Ticket:
        """The same ticket every time."""
        return self.value

    def refuse(self, ticket: Ticket) -> bool:
        """Nothing better is to be had."""
        return False


class TokenFile:
    """A bearer token in a file that somebody renews; read again every minute and after a refusal."""

    def __init__(self, path: Path, certificate: Certificate | None = None) -> None:
        self._path = path
        self._certificate = certificate
        self._ticket: Ticket | None = None
        self._read_at = 0.0

    async def ticket(self) -> Ticket:
        """The token as the file has it, at most a minute old."""
        if self._ticket is None or time.monotonic() - self._read_at > REREAD_SECONDS:
            try:
                token = self._path.read_text().strip()
            except OSError as error:
                raise errors.ConfigError(f"the token file {self._path} cannot be read: {error.strerror}") from error
            self._ticket = bearer(token, self._certificate)
            self._read_at = time.monotonic()
        return self._ticket

    def refuse(self, ticket: Ticket) -> bool:
        """Read the file again before the next request."""
        self._ticket = None
        return True


def bearer(token: str, certificate: Certificate | None = None) -> Ticket:
    """A ticket with a bearer token. Raises `errors.ConfigError` for a token that cannot be a header."""
    if not token.isascii() or any(character.isspace() or not character.isprintable() for character in token):
        raise errors.ConfigError("the bearer token contains blanks or control characters; a single line is expected")
    return Ticket(f"Bearer {token}" if token else "", certificate)


def basic(username: str, password: str, certificate: Certificate | None = None) -> Ticket:
    """A ticket with a user name and a password, as RFC 7617 has it."""
    encoded = base64.b64encode(f"{username}:{password}".encode()).decode()
    return Ticket(f"Basic {encoded}", certificate)
