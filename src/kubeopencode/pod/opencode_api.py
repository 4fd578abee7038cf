"""The HTTP API of an OpenCode server, as far as a Task needs it.

Every request has its own timeout, because a server that just began to listen may never answer its first connection.
Proxies of the environment are not used: the server is a Service inside the cluster.
"""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from kubeopencode.pod.failure import Failure

REQUEST_SECONDS = 10.0
"""For one request; a history of many megabytes takes a while on a busy server."""

HEALTH_SECONDS = 2.0
"""For a question of health: short, because the first connection to a new server may stay without an answer."""

STREAM_SECONDS = 25.0
"""Silence after which an event stream is given up; a living server says something every ten seconds."""


class Unreachable(Exception):  # noqa: N818  # it reads as what it is
    """The server did not answer, or not in HTTP. Asking again may help."""


class Refused(Failure):
    """The server answered with an error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Server:
    """One OpenCode server, seen from one directory. Without a directory, the server's own."""

    def __init__(self, url: str, *, username: str, password: str, directory: str = "") -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
            raise Failure(f'--attach: "{_bare(url)}" is no address of a server; http://NAME:PORT is expected')
        try:
            self._address = (parts.hostname, parts.port or (443 if parts.scheme == "https" else 80))
        except ValueError:
            raise Failure(f'--attach: "{_bare(url)}" has no usable port') from None
        self.url = f"{parts.scheme}://{parts.netloc}"
        self.directory = directory
        self._secure = parts.scheme == "https"
        self._prefix = parts.path.rstrip("/")
        self._headers = {"Accept": "application/json"}
        if password:
            token = base64.b64encode(f"{username}:{password}".encode()).decode()
            self._headers["Authorization"] = f"Basic {token}"

    def get(self, path: str) -> Any:
        """What is at this path.

        Raises:
            Unreachable: no answer.
            Refused: an answer that says no.
        """
        return self.request("GET", path)

    def post(self, path: str, body: Any = None) -> Any:
        """Send a body; raises as `get` does."""
        return self.request("POST", path, body)

    def check_health(self) -> None:
        """Return when the server is ready; raises as `get` does."""
        self.request("GET", "/global/health", seconds=HEALTH_SECONDS)

    def request(self, method: str, path: str, body: Any = None, *, seconds: float = REQUEST_SECONDS) -> Any:
        """One request and its decoded answer; raises as `get` does."""
        content = None if body is None else json.dumps(body).encode()
        headers = dict(self._headers)
        if content is not None:
            headers["Content-Type"] = "application/json"
        try:
            with closing(self._connection(seconds)) as connection:
                connection.request(method, self._path(path), content, headers)
                response = connection.getresponse()
                return self._decoded(response, response.read(), f"{method} {path}")
        except (OSError, HTTPException) as error:
            raise Unreachable(f"{type(error).__name__}: {error}") from None

    def events(self) -> Iterator[dict[str, Any]]:
        """The server's events from now on, until the stream breaks; raises as `get` does."""
        headers = {**self._headers, "Accept": "text/event-stream"}
        try:
            with closing(self._connection(STREAM_SECONDS)) as connection:
                connection.request("GET", self._path("/event"), headers=headers)
                response = connection.getresponse()
                if response.status != 200:
                    self._decoded(response, response.read(), "GET /event")
                yield from _decoded_events(response)
        except (OSError, HTTPException) as error:
            raise Unreachable(f"{type(error).__name__}: {error}") from None

    def _connection(self, timeout: float) -> HTTPConnection:
        host, port = self._address
        if self._secure:
            return HTTPSConnection(host, port, timeout=timeout, context=ssl.create_default_context())
        return HTTPConnection(host, port, timeout=timeout)

    def _path(self, path: str) -> str:
        query = "?" + urlencode({"directory": self.directory}) if self.directory else ""
        return self._prefix + quote(path) + query

    def _decoded(self, response: HTTPResponse, content: bytes, what: str) -> Any:
        if response.status == 401:
            raise Refused(401, f"{self.url} refuses the password in OPENCODE_SERVER_PASSWORD (401)")
        # A question may be asked again; an order that broke the server is not given twice.
        if response.status in (502, 503, 504) or (response.status >= 500 and what.startswith("GET ")):
            raise Unreachable(f"{what}: status {response.status}")
        if response.status >= 400:
            said = content[:300].decode("utf-8", "replace")
            raise Refused(response.status, f"{self.url} answered {what} with status {response.status}: {said}")
        if not content:
            return None
        try:
            return json.loads(content)
        except ValueError:
            raise Refused(response.status, f"{self.url} is no OpenCode server: {what} is not JSON") from None


def _decoded_events(response: HTTPResponse) -> Iterator[dict[str, Any]]:
    lines: list[bytes] = []
    while line := response.readline():
        line = line.rstrip(b"\r\n")
        if line.startswith(b"data:"):
            lines.append(line[5:].strip())
        elif not line and lines:
            try:
                event = json.loads(b"\n".join(lines))
            except ValueError:
                event = None
            lines = []
            if isinstance(event, dict):
                yield event


def _bare(url: str) -> str:
    """The address without a password that somebody may have put into it."""
    return url.rpartition("@")[2][:200]
