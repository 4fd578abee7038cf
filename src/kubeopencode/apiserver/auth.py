"""Who asks: a bearer token over TCP, or the local administrator over the Unix socket. One rule: users may do all."""

from __future__ import annotations

import hmac
import socket
from collections.abc import Mapping

from aiohttp import web

from kubeopencode.apiserver import status
from kubeopencode.apiserver.calls import User

LOCAL = User("local-admin")


def user_of(request: web.BaseRequest, tokens: Mapping[str, str]) -> User:
    """The user of a request; tokens map to user names. Raises Failure 401."""
    transport = request.transport
    peer = transport.get_extra_info("socket") if transport is not None else None
    if peer is not None and peer.family == socket.AF_UNIX:
        return LOCAL
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and (user := by_token(token.strip(), tokens)):
        return user
    raise status.Failure(401, "Unauthorized")


def by_token(token: str, tokens: Mapping[str, str]) -> User | None:
    """The user a token belongs to; every comparison takes the same time."""
    found: User | None = None
    for known, name in tokens.items():
        if hmac.compare_digest(known.encode(), token.encode()):
            found = User(name)
    return found
