"""Answers: JSON with a code and, where something was odd, Warning headers."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from kubeopencode.apiserver import objects
from kubeopencode.apiserver.status import Failure


def raw(body: bytes, code: int = 200) -> web.Response:
    """Bytes that are JSON already."""
    return web.Response(body=body, status=code, content_type="application/json")


def json(value: Any, code: int = 200, warnings: list[str] | None = None) -> web.Response:
    """Any value as JSON."""
    response = raw(objects.encode(value), code)
    for warning in warnings or ():
        quoted = warning.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
        response.headers.add("Warning", f'299 - "{quoted}"')
    return response


def failure(error: Failure) -> web.Response:
    """A refusal."""
    response = json(error.status(), error.code)
    if error.code == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def text(body: str, code: int = 200) -> web.Response:
    """Plain text."""
    return web.Response(text=body, status=code)
