"""Requests and answers, and the wire they travel on.

A `Transport` turns a request into an answer of any status. `Middleware` wraps one: it may count, delay, refuse, lose or
repeat what passes, which is how metrics, read-your-writes and fault injection are built without the client knowing.
`Wire` is the innermost transport: one aiohttp session to one server, with credentials and TLS.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias, cast

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from kubeopencode.kube import auth, config, errors

READS = frozenset({"GET", "HEAD"})
"""The methods that change nothing."""


@dataclass(frozen=True)
class Request:
    """One request on its way out. `verb` and `resource` (plural, or plural.group) are for whoever looks on."""

    method: str
    path: str
    query: Mapping[str, str] | tuple[tuple[str, str], ...] = field(default_factory=dict[str, str])
    body: bytes | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    verb: str = "raw"
    resource: str = ""
    idempotent: bool = False

    @property
    def writes(self) -> bool:
        """Whether the request may change something."""
        return self.method not in READS


@dataclass(frozen=True)
class Answer:
    """What the server said, whatever it said."""

    status: int
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


Transport: TypeAlias = Callable[[Request], Awaitable[Answer]]
Middleware: TypeAlias = Callable[[Request, Transport], Awaitable[Answer]]


def wrap(transport: Transport, middleware: Iterable[Middleware]) -> Transport:
    """`transport` seen through each middleware; the first is the outermost."""
    for layer in reversed(tuple(middleware)):
        transport = _through(layer, transport)
    return transport


def _through(layer: Middleware, inner: Transport) -> Transport:
    def send(request: Request) -> Awaitable[Answer]:
        return layer(request, inner)

    return send


class Wire:
    """One server, one connection pool. Opens on first use; `close` it."""

    def __init__(self, settings: config.Config) -> None:
        self.settings = settings
        self._session: aiohttp.ClientSession | None = None
        self._contexts: dict[tuple[auth.Certificate | None, int], ssl.SSLContext] = {}

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def send(self, request: Request) -> Answer:
        """The server's answer, read whole. Raises `errors.ConnectionFailed`, `errors.ConfigError`."""
        async with self.open(request, aiohttp.ClientTimeout(total=60, connect=15)) as response:
            try:
                return Answer(response.status, await response.read(), response.headers)
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                raise self.failed(request, error) from error

    @asynccontextmanager
    async def open(
        self, request: Request, timeout: aiohttp.ClientTimeout
    ) -> AsyncGenerator[aiohttp.ClientResponse, None]:
        """The server's answer with its body still to come; a 401 is tried once more with a new ticket."""
        ticket = await self.settings.credentials.ticket()
        response = await self._start(request, timeout, ticket)
        if response.status == 401 and self.settings.credentials.refuse(ticket):
            response.release()
            response = await self._start(request, timeout, await self.settings.credentials.ticket())
        try:
            yield response
        finally:
            # Closing, not releasing: an unread stream must not go back to the pool. A body read to its end already has.
            response.close()

    async def websocket(self, request: Request, protocols: tuple[str, ...]) -> aiohttp.ClientWebSocketResponse[bool]:
        """A WebSocket to `request.path`. Raises `errors.ApiError` when refused, `errors.ConnectionFailed`."""
        ticket = await self.settings.credentials.ticket()
        arguments = self._arguments(request, ticket)
        arguments.pop("data")
        try:
            session: Any = self._open_session()
            socket = await session.ws_connect(self._url(request), protocols=protocols, max_msg_size=0, **arguments)
            return cast("aiohttp.ClientWebSocketResponse[bool]", socket)
        except aiohttp.WSServerHandshakeError as error:
            if error.status == 401:
                self.settings.credentials.refuse(ticket)
            raise errors.from_response(error.status, b"", where=self.where(request)) from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise self.failed(request, error) from error

    def where(self, request: Request) -> str:
        """`METHOD server/path`, the opening of every message about a request."""
        server = f"unix:{self.settings.socket}" if self.settings.socket else self.settings.server
        return f"{request.method} {server}{request.path}"

    def failed(self, request: Request, error: BaseException) -> errors.ConnectionFailed:
        """The error for a connection that gave no answer."""
        told = str(error) or type(error).__name__
        return errors.ConnectionFailed(f"{self.where(request)}: {told}")

    async def _start(
        self, request: Request, timeout: aiohttp.ClientTimeout, ticket: auth.Ticket
    ) -> aiohttp.ClientResponse:
        try:
            return await self._open_session().request(
                request.method,
                self._url(request),
                timeout=timeout,
                allow_redirects=False,
                **self._arguments(request, ticket),
            )
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise self.failed(request, error) from error

    def _arguments(self, request: Request, ticket: auth.Ticket) -> dict[str, Any]:
        headers: CIMultiDict[str] = CIMultiDict(request.headers)
        if ticket.authorization:
            headers["Authorization"] = ticket.authorization
        if not self.settings.compress or self.settings.socket:
            headers["Accept-Encoding"] = "identity"
        for name, value in self.settings.impersonate.headers():
            headers.add(name, value)
        arguments: dict[str, Any] = {"headers": headers, "data": request.body}
        if self.settings.proxy:
            arguments["proxy"] = self.settings.proxy
        if self.settings.server.startswith("https:"):
            arguments["ssl"] = self._context(ticket.certificate)
            arguments["server_hostname"] = self.settings.tls.server_name or None
        return arguments

    def _context(self, certificate: auth.Certificate | None) -> ssl.SSLContext:
        """TLS settings are dear to make, so they are kept until the client certificate or the CA file is renewed."""
        file = self.settings.tls.ca_file
        try:
            written = file.stat().st_mtime_ns if file is not None else 0
        except OSError as error:
            raise errors.ConfigError(f"the CA file {file} cannot be read: {error.strerror}") from error
        if (certificate, written) not in self._contexts:
            # What was renewed makes its predecessor useless.
            self._contexts.clear()
            self._contexts[certificate, written] = config.ssl_context(self.settings.tls, certificate)
        return self._contexts[certificate, written]

    def _url(self, request: Request) -> URL:
        url = URL(self.settings.server + request.path, encoded=True)
        query = request.query.items() if isinstance(request.query, Mapping) else request.query
        return url.with_query([(name, value) for name, value in query]) if query else url

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = (
                aiohttp.UnixConnector(str(self.settings.socket), limit=0)
                if self.settings.socket
                else aiohttp.TCPConnector(limit=0)
            )
            self._session = aiohttp.ClientSession(
                connector=connector, read_bufsize=1 << 18, headers={"User-Agent": "kubeopencode"}
            )
        return self._session
