"""Logs, exec, port-forward and proxy: what the API server only carries between a client and the kubelet."""

from __future__ import annotations

from aiohttp import web

from kubeopencode.apiserver import status
from kubeopencode.apiserver.calls import Call
from kubeopencode.apiserver.gateway import Kubelet
from kubeopencode.apiserver.storage import Storage
from kubeopencode.apiserver.writes import Target


async def log(call: Call, storage: Storage, target: Target, kubelet: Kubelet | None) -> web.StreamResponse:
    """`pods/{name}/log`."""
    raise status.no_such_path()


execute = forward = proxy = log
