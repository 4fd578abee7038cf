"""From a URL to a handler: resource paths are read by hand, everything else is a table of documents.

No handler lives here; a refusal of any kind becomes a `Status`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from kubeopencode.apiserver import auth, calls, metrics, patching, responses, reviews, scale, status, streams
from kubeopencode.apiserver.calls import Call
from kubeopencode.apiserver.deletion import Deleter, read_options
from kubeopencode.apiserver.discovery import Documents
from kubeopencode.apiserver.reads import Reader
from kubeopencode.apiserver.registry import Registry
from kubeopencode.apiserver.settings import Settings
from kubeopencode.apiserver.status import Failure
from kubeopencode.apiserver.writes import Target, Writer

_LOG = logging.getLogger(__name__)
_OPEN = ("/healthz", "/livez", "/readyz")
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}

Handler = Callable[[Call, Target], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Parts:
    """What the routes connect."""

    registry: Registry
    reader: Reader
    writer: Writer
    deleter: Deleter
    documents: Documents
    metrics: metrics.Metrics
    settings: Settings


class Router:
    """The one request handler of the server."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._subresources: dict[str, Handler] = {
            "status": self._object,
            "scale": self._scale,
            "log": self._log,
            "exec": self._exec,
            "portforward": self._forward,
            "finalize": self._finalize,
            "token": self._token,
        }

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        started = time.perf_counter()
        verb, resource = request.method.lower(), ""
        response: web.StreamResponse
        try:
            if request.path in _OPEN:
                return responses.text("ok")
            call = Call(request, auth.user_of(request, self._parts.settings.tokens), calls.read_query(request))
            target = self.target(request.path)
            if target is None:
                response = await self._document(call)
            else:
                verb, resource = self._verb(call, target), target.kind.plural
                response = await self._serve(call, target)
        except Failure as error:
            response = responses.failure(error)
        except asyncio.CancelledError:
            raise
        except Exception:
            _LOG.exception("the request %s %s failed", request.method, request.path)
            response = responses.failure(Failure(500, "Internal error occurred: the server's log says more"))
        self._parts.metrics.count(verb, resource, response.status, time.perf_counter() - started)
        return response

    def target(self, path: str) -> Target | None:
        """What a path is about; None for documents. Raises Failure 404 for a resource nobody knows."""
        parts = path.strip("/").split("/")
        if parts[0] == "api" and len(parts) > 2:
            group, version, rest = "", parts[1], parts[2:]
        elif parts[0] == "apis" and len(parts) > 3:
            group, version, rest = parts[1], parts[2], parts[3:]
        else:
            return None
        namespace = ""
        if rest[0] == "namespaces" and len(rest) > 2 and not (group == "" and rest[2] in ("status", "finalize")):
            namespace, rest = rest[1], rest[2:]
        kind = self._parts.registry.find(group, version, rest[0])
        if kind is None:
            if (group, rest[0]) in reviews.PATHS:
                return None
            raise status.no_such_path()
        if len(rest) > 1 and kind.namespaced and not namespace:
            raise status.no_such_path()
        return Target(kind, namespace, rest[1] if len(rest) > 1 else "", "/".join(rest[2:]))

    def _verb(self, call: Call, target: Target) -> str:
        if call.request.method == "GET":
            if target.name:
                return "get"
            return "watch" if call.flag("watch") else "list"
        return _VERBS.get(call.request.method, call.request.method.lower())

    async def _serve(self, call: Call, target: Target) -> web.StreamResponse:
        if not target.name:
            return await self._collection(call, target)
        if not target.subresource:
            return await self._object(call, target)
        handler = self._subresources.get(target.subresource.partition("/")[0])
        if handler is None:
            raise status.no_such_path()
        return await handler(call, target)

    async def _collection(self, call: Call, target: Target) -> web.StreamResponse:
        method = call.request.method
        if method == "GET":
            if call.flag("watch"):
                return await self._parts.reader.watch(call, target)
            return self._parts.reader.list(call, target)
        if method == "POST":
            if target.kind.namespaced and not target.namespace:
                raise status.Failure(405, "the server does not allow this method on the requested resource")
            options = call.options()
            body = calls.as_object(await call.body())
            created = self._parts.writer.create(target, body, options)
            return responses.json(created, 201, options.warnings)
        if method == "DELETE":
            return await self._delete_all(call, target)
        raise _not_allowed()

    async def _delete_all(self, call: Call, target: Target) -> web.StreamResponse:
        options = read_options(await call.body(), call.query)
        found = self._parts.deleter.delete_all(target, call.selector(target.kind), options)
        kind = target.kind
        meta = {"resourceVersion": str(self._parts.reader.storage.version)}
        return responses.json(
            {"kind": kind.list_kind, "apiVersion": kind.api_version, "metadata": meta, "items": found}
        )

    async def _object(self, call: Call, target: Target) -> web.StreamResponse:
        method = call.request.method
        if target.subresource == "status" and not target.kind.status:
            raise status.no_such_path()
        if method == "GET":
            if call.flag("watch"):
                raise status.bad_request("watch one object through its list with fieldSelector=metadata.name=...")
            return self._parts.reader.get(call, target)
        options = call.options(target.subresource)
        if method == "PUT":
            body = calls.as_object(await call.body())
            return responses.json(self._parts.writer.update(target, body, options), 200, options.warnings)
        if method == "PATCH":
            result, code = await patching.run(call, self._parts.writer, target, options)
            return responses.json(result, code, options.warnings)
        if method == "DELETE" and not target.subresource:
            return await self._delete(call, target)
        raise _not_allowed()

    async def _delete(self, call: Call, target: Target) -> web.StreamResponse:
        options = read_options(await call.body(), call.query)
        obj, gone = self._parts.deleter.delete(target, options)
        if not gone:
            return responses.json(obj)
        uid = str(obj["metadata"].get("uid", ""))
        return responses.json(status.success(target.kind.plural, target.kind.group, target.name, uid))

    async def _finalize(self, call: Call, target: Target) -> web.StreamResponse:
        options = call.options("")
        body = calls.as_object(await call.body())
        return responses.json(self._parts.writer.update(target, body, options))

    async def _scale(self, call: Call, target: Target) -> web.StreamResponse:
        return await scale.serve(call, self._parts.writer, target)

    async def _log(self, call: Call, target: Target) -> web.StreamResponse:
        return await streams.log(call, self._parts.reader.storage, target, self._parts.settings.kubelet)

    async def _exec(self, call: Call, target: Target) -> web.StreamResponse:
        return await streams.execute(call, self._parts.reader.storage, target, self._parts.settings.kubelet)

    async def _forward(self, call: Call, target: Target) -> web.StreamResponse:
        return await streams.forward(call, self._parts.reader.storage, target, self._parts.settings.kubelet)

    async def _token(self, call: Call, target: Target) -> web.StreamResponse:
        return await reviews.token_request(call, target)

    async def _document(self, call: Call) -> web.StreamResponse:
        request = call.request
        path = request.path.rstrip("/") or "/"
        if request.method == "POST":
            return await reviews.serve(call, path, self._parts.settings.tokens)
        if request.method not in ("GET", "HEAD"):
            raise _not_allowed()
        if path == "/metrics":
            return responses.text(self._parts.metrics.text())
        return self._parts.documents.serve(call, path)


def _not_allowed() -> Failure:
    return Failure(405, "the server does not allow this method on the requested resource")
