"""One request at a time, without an event loop: for command lines, where starting quickly is what counts.

Nothing here is imported that costs more than a few milliseconds. Whoever follows, executes or watches many things takes
the asynchronous client instead.
"""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import msgspec

from kubeopencode.kube import errors

TIMEOUT = 60.0


@dataclass(frozen=True)
class Door:
    """Where a server is and what to show it."""

    server: str
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    tls: ssl.SSLContext | None = None
    socket: Path | None = None
    namespace: str = "default"
    name: str = ""
    """What people call this server."""

    def request(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Any = None, kind: str = ""
    ) -> Any:
        """The decoded answer. `kind` is the media type of the body, JSON unless given.

        Raises:
            errors.ApiError: the server refused; the message is the server's.
            errors.ConnectionFailed: the server could not be reached.
        """
        headers = {"Content-Type": kind or "application/json"} if body is not None else {}
        raw = msgspec.json.encode(body) if body is not None else None
        with self._answer(method, path, query, raw, headers) as answer:
            content = answer.read()
        return msgspec.json.decode(content) if content else None

    def table(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        """A collection or object as the server would print it."""
        accept = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}
        with self._answer("GET", path, query, None, accept) as answer:
            return msgspec.json.decode(answer.read())

    def lines(self, path: str, query: Mapping[str, str] | None = None) -> Iterator[bytes]:
        """An answer as it arrives, line by line: logs and watches."""
        with self._answer("GET", path, query, None, {}, timeout=None) as answer:
            yield from answer

    def _answer(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: bytes | None,
        headers: Mapping[str, str],
        timeout: float | None = TIMEOUT,
    ) -> http.client.HTTPResponse:
        connection = self._connection(timeout)
        target = path + ("?" + urlencode(query) if query else "")
        try:
            connection.request(
                method, target, body, {"Accept": "application/json", "Connection": "close", **self.headers, **headers}
            )
            answer = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            raise errors.ConnectionFailed(f"{self.name or self.server} cannot be reached: {error}") from error
        if answer.status >= 400:
            retry = answer.getheader("Retry-After")
            raise errors.from_response(answer.status, answer.read(), where=f"{method} {path}", retry_after=retry)
        return answer

    def _connection(self, timeout: float | None) -> http.client.HTTPConnection:
        if self.socket is not None:
            return _UnixConnection(self.socket, timeout)
        where = urlsplit(self.server)
        host = where.hostname or "localhost"
        if where.scheme == "https":
            return http.client.HTTPSConnection(host, where.port, timeout=timeout, context=self.tls)
        return http.client.HTTPConnection(host, where.port, timeout=timeout)


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path, timeout: float | None) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Open the socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))
