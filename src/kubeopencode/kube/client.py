"""The verbs of the Kubernetes API, typed.

Objects are decoded into the type their `Resource` names, which may model only part of them; therefore nothing is ever
PUT: every change is a merge, JSON, strategic or apply patch.
"""

from __future__ import annotations

import asyncio
import copy
import random
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec

from kubeopencode.api import meta
from kubeopencode.kube import config, errors, retry, streams, transport

T = TypeVar("T", bound=meta.Object)

PAGE = 500
"""Objects asked for at once in a list, as kubectl and client-go do."""

_CONTENT_TYPES = {
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}
_PARTIAL = "application/json;as=PartialObjectMetadata{};g=meta.k8s.io;v=v1,application/json"


@dataclass(frozen=True)
class PatchOptions:
    """How a patch is read and to what it applies. `kind` is merge, json, strategic or apply."""

    kind: str = "merge"
    subresource: str = ""
    field_manager: str = ""
    force: bool = False
    dry_run: bool = False


MERGE = PatchOptions()
STATUS = PatchOptions(subresource="status")


@dataclass(frozen=True)
class CreateOptions:
    """A subresource (such as `eviction` or `token`) of the object `name`, a field manager, a rehearsal."""

    name: str = ""
    subresource: str = ""
    field_manager: str = ""
    dry_run: bool = False


@dataclass(frozen=True)
class DeleteOptions:
    """Preconditions and manners of a deletion. `propagation` is Background, Foreground or Orphan."""

    uid: str = ""
    resource_version: str = ""
    grace_seconds: int | None = None
    propagation: str = ""
    dry_run: bool = False


@dataclass(frozen=True)
class Listing(Generic[T]):
    """A whole collection as of `resource_version`; `skipped` are the keys of objects that do not fit the type."""

    items: tuple[T, ...]
    resource_version: str
    skipped: tuple[meta.Key, ...] = ()


@dataclass(frozen=True)
class Event(Generic[T]):
    """One line of a watch: ADDED, MODIFIED, DELETED, or BOOKMARK.

    An object that does not fit the type comes as a BOOKMARK, or as DELETED without the object: its version passes, its
    content does not.
    """

    type: str
    key: meta.Key
    object: T | None
    resource_version: str


class _ListMeta(msgspec.Struct, frozen=True):
    resourceVersion: str = ""
    continue_: str = msgspec.field(name="continue", default="")


class _Page(msgspec.Struct, frozen=True):
    metadata: _ListMeta = _ListMeta()
    items: tuple[msgspec.Raw, ...] | None = None


class _Line(msgspec.Struct, frozen=True):
    type: str
    object: msgspec.Raw


class _Meta(msgspec.Struct, frozen=True):
    name: str = ""
    namespace: str = ""
    resourceVersion: str = ""


class _Bare(msgspec.Struct, frozen=True):
    metadata: _Meta = _Meta()


_PAGE_DECODER = msgspec.json.Decoder(_Page)
_LINE_DECODER = msgspec.json.Decoder(_Line)
_BARE_DECODER = msgspec.json.Decoder(_Bare)
_STATUS_DECODER = msgspec.json.Decoder(errors.Status)


class Client:
    """An API server. `async with`, or `await close()` at the end; safe to share between tasks of one loop."""

    def __init__(
        self,
        settings: config.Config,
        *,
        middleware: Iterable[transport.Middleware] = (),
        policy: retry.Policy | None = None,
    ) -> None:
        self._wire = transport.Wire(settings)
        self._middleware = tuple(middleware)
        self._policy = policy or retry.Policy()
        self._send = self._policy.around(transport.wrap(self._wire.send, self._middleware))
        self._decoders: dict[type[Any], msgspec.json.Decoder[Any]] = {}
        self.undecodable = 0

    @property
    def namespace(self) -> str:
        """The namespace of the configuration's context."""
        return self._wire.settings.namespace

    def through(self, *middleware: transport.Middleware) -> Client:
        """This client seen through more middleware (outermost); both share one connection pool."""
        other = copy.copy(self)
        other._middleware = (*middleware, *self._middleware)
        other._send = self._policy.around(transport.wrap(self._wire.send, other._middleware))
        return other

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        await self._wire.close()

    async def get(self, resource: meta.Resource[T], name: str, namespace: str = "") -> T:
        """The object. Raises `errors.NotFound`, `errors.DecodeError` and the other errors of `errors`."""
        request = transport.Request("GET", _path(resource, namespace, name), headers=_accept(resource), verb="get")
        return self._decode(resource, await self._ask(resource, request))

    async def list(
        self, resource: meta.Resource[T], namespace: str = "", *, labels: str = "", fields: str = ""
    ) -> Listing[T]:
        """All objects, in pages; a continue token that expires half-way means one list without pages."""
        query = _selectors(labels, fields)
        try:
            return await self._pages(resource, namespace, {**query, "limit": str(PAGE)})
        except errors.Gone:
            return await self._pages(resource, namespace, query)

    async def create(
        self,
        resource: meta.Resource[T],
        body: meta.Json | msgspec.Struct,
        namespace: str = "",
        *,
        options: CreateOptions = CreateOptions(),
    ) -> T:
        """The object as the server made it. Raises `errors.AlreadyExists`, `errors.Invalid`."""
        document: meta.Json = msgspec.to_builtins(body) if isinstance(body, msgspec.Struct) else body
        if not options.subresource:
            document = {"apiVersion": resource.api_version, "kind": resource.kind, **document}
        namespace = namespace or document.get("metadata", {}).get("namespace", "")
        request = transport.Request(
            "POST",
            _path(resource, namespace, options.name, options.subresource),
            _common_query(options.field_manager, options.dry_run),
            msgspec.json.encode(document),
            {"Content-Type": "application/json"},
            verb="create",
        )
        return self._decode(resource, await self._ask(resource, request))

    async def patch(
        self,
        resource: meta.Resource[T],
        name: str,
        body: Any,
        namespace: str = "",
        *,
        options: PatchOptions = MERGE,
    ) -> T:
        """The object after the patch. Raises `errors.NotFound`, `errors.Conflict`, `errors.Invalid`."""
        query = _common_query(options.field_manager, options.dry_run)
        if options.kind == "apply":
            query = {"fieldManager": "kubeopencode", **query, "force": "true" if options.force else "false"}
        request = transport.Request(
            "PATCH",
            _path(resource, namespace, name, options.subresource),
            query,
            msgspec.json.encode(body),
            {"Content-Type": _CONTENT_TYPES[options.kind]},
            verb="patch",
            # A JSON patch may append; the others say how the object shall be.
            idempotent=options.kind != "json",
        )
        return self._decode(resource, await self._ask(resource, request))

    async def delete(
        self,
        resource: meta.Resource[T],
        name: str,
        namespace: str = "",
        *,
        options: DeleteOptions = DeleteOptions(),
    ) -> None:
        """Ask for the object's end; finalizers and grace may delay it. Raises `errors.NotFound`, `errors.Conflict`."""
        body: meta.Json = {"apiVersion": "v1", "kind": "DeleteOptions"}
        preconditions = {"uid": options.uid, "resourceVersion": options.resource_version}
        if held := {name: value for name, value in preconditions.items() if value}:
            body["preconditions"] = held
        if options.grace_seconds is not None:
            body["gracePeriodSeconds"] = options.grace_seconds
        if options.propagation:
            body["propagationPolicy"] = options.propagation
        if options.dry_run:
            body["dryRun"] = ["All"]
        request = transport.Request(
            "DELETE",
            _path(resource, namespace, name),
            body=msgspec.json.encode(body),
            headers={"Content-Type": "application/json"},
            verb="delete",
            idempotent=True,
        )
        await self._ask(resource, request)

    async def watch(
        self,
        resource: meta.Resource[T],
        namespace: str = "",
        *,
        since: str,
        selectors: Selectors | None = None,
        idle: float = 90.0,
    ) -> AsyncGenerator[Event[T], None]:
        """What happens after `since`, until the server ends the watch, as it does every few minutes.

        `idle` seconds without event or bookmark count as a dead connection. Raises `errors.Gone` however the server
        says it, `errors.ConnectionFailed`, and `errors.ApiError` for every other ERROR event.
        """
        chosen = selectors or Selectors()
        query = {
            **_selectors(chosen.labels, chosen.fields),
            "watch": "1",
            "resourceVersion": since,
            "allowWatchBookmarks": "true",
            # Spread, so that a thousand watches do not come back in the same second.
            "timeoutSeconds": str(random.randint(290, 590)),  # noqa: S311 - no secret
        }
        path = _path(resource, namespace)
        request = transport.Request("GET", path, query, headers=_accept(resource, ""), verb="watch")
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=15, sock_read=idle)
        async with aclosing(streams.lines(self._wire, request, timeout)) as lines:
            async for line in lines:
                yield self._event(resource, line, request)

    def logs(
        self,
        name: str,
        namespace: str,
        *,
        container: str = "",
        follow: bool = False,
        tail: int | None = None,
        options: streams.LogOptions = streams.PLAIN_LOG,
    ) -> AsyncIterator[bytes]:
        """A container's output in chunks as they come. Raises as `get` does."""
        query = options.query()
        query |= {"container": container} if container else {}
        query |= {"follow": "true"} if follow else {}
        query |= {"tailLines": str(tail)} if tail is not None else {}
        path = f"/api/v1/namespaces/{_segment(namespace)}/pods/{_segment(name)}/log"
        request = transport.Request("GET", path, query, verb="get", resource="pods/log")
        return streams.chunks(self._wire, request, aiohttp.ClientTimeout(total=None, sock_connect=15))

    async def exec(
        self,
        name: str,
        namespace: str,
        command: Iterable[str],
        *,
        options: streams.ExecOptions = streams.PLAIN_EXEC,
    ) -> streams.ExecSession:
        """Start a program in a container; the session is its terminal. Raises as `get` does."""
        path = f"/api/v1/namespaces/{_segment(namespace)}/pods/{_segment(name)}/exec"
        query = (*(("command", part) for part in command), *options.query())
        request = transport.Request("GET", path, query, verb="create", resource="pods/exec")
        return await streams.open_exec(self._wire, request)

    async def forward(self, name: str, namespace: str, port: int) -> streams.ForwardSession:
        """One TCP connection to `port` of a Pod. Raises as `get` does."""
        path = f"/api/v1/namespaces/{_segment(namespace)}/pods/{_segment(name)}/portforward"
        request = transport.Request("GET", path, {"ports": str(port)}, verb="create", resource="pods/portforward")
        return await streams.open_forward(self._wire, request)

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        """The raw door: any path, the body of the answer. Raises `errors.ApiError`, `errors.ConnectionFailed`."""
        request = transport.Request(method, path, query or {}, body, headers or {})
        return await self._answer(replace(request, idempotent=not request.writes))

    async def _pages(self, resource: meta.Resource[T], namespace: str, query: dict[str, str]) -> Listing[T]:
        items: list[T] = []
        skipped: list[meta.Key] = []
        token = ""
        while True:
            asked = {**query, "continue": token} if token else query
            request = transport.Request(
                "GET", _path(resource, namespace), asked, headers=_accept(resource, "List"), verb="list"
            )
            page = _decode_page(await self._ask(resource, request), self._wire.where(request))
            for raw in page.items or ():
                try:
                    items.append(self._decoder(resource).decode(raw))
                except msgspec.MsgspecError:
                    self.undecodable += 1
                    skipped.append(_bare(raw)[0])
            token = page.metadata.continue_
            if not token:
                return Listing(tuple(items), page.metadata.resourceVersion, tuple(skipped))
            # Decoding a page holds the loop for some milliseconds; let others run between two.
            await asyncio.sleep(0)

    async def _ask(self, resource: meta.Resource[Any], request: transport.Request) -> bytes:
        name = f"{resource.plural}.{resource.group}" if resource.group else resource.plural
        idempotent = request.idempotent or not request.writes
        return await self._answer(replace(request, resource=name, idempotent=idempotent))

    async def _answer(self, request: transport.Request) -> bytes:
        answer = await self._send(request)
        if answer.status < 300:
            return answer.body
        raise errors.from_response(
            answer.status,
            answer.body,
            where=self._wire.where(request),
            retry_after=answer.headers.get("Retry-After"),
        )

    def _event(self, resource: meta.Resource[T], line: bytes, request: transport.Request) -> Event[T]:
        try:
            envelope = _LINE_DECODER.decode(line)
        except msgspec.MsgspecError as error:
            # Half a line: the connection broke inside it.
            raise self._wire.failed(request, error) from error
        if envelope.type == "ERROR":
            raise errors.from_status(_decode_status(envelope.object), where=self._wire.where(request))
        if envelope.type != "BOOKMARK":
            try:
                found: T = self._decoder(resource).decode(envelope.object)
            except msgspec.MsgspecError:
                self.undecodable += 1
            else:
                return Event(envelope.type, found.metadata.key, found, found.metadata.resourceVersion)
        key, version = _bare(envelope.object)
        return Event("DELETED" if envelope.type == "DELETED" else "BOOKMARK", key, None, version)

    def _decode(self, resource: meta.Resource[T], body: bytes) -> T:
        try:
            return self._decoder(resource).decode(body)
        except msgspec.MsgspecError as error:
            key, _ = _bare(body)
            raise errors.DecodeError(
                f"{resource.kind} {key} is not as {resource.api_version} has it: {error}"
            ) from error

    def _decoder(self, resource: meta.Resource[T]) -> msgspec.json.Decoder[T]:
        decoder = self._decoders.get(resource.type)
        if decoder is None:
            decoder = self._decoders[resource.type] = msgspec.json.Decoder(resource.type)
        return decoder


@dataclass(frozen=True)
class Selectors:
    """Which objects of a collection: a label selector and a field selector, as kubectl writes them."""

    labels: str = ""
    fields: str = ""


def _path(resource: meta.Resource[Any], namespace: str, name: str = "", subresource: str = "") -> str:
    return resource.path(_segment(namespace), _segment(name), subresource)


def _segment(name: str) -> str:
    """One path segment; a name may hold anything, but never leads elsewhere."""
    if name in (".", ".."):
        raise ValueError(f'"{name}" is no name')
    return quote(name, safe="")


def _selectors(labels: str, fields: str) -> dict[str, str]:
    chosen = {"labelSelector": labels, "fieldSelector": fields}
    return {name: value for name, value in chosen.items() if value}


def _common_query(field_manager: str, dry_run: bool) -> dict[str, str]:
    query = {"fieldManager": field_manager} if field_manager else {}
    return {**query, "dryRun": "All"} if dry_run else query


def _accept(resource: meta.Resource[Any], suffix: str = "") -> dict[str, str]:
    """Ask for metadata alone where nothing else is read; servers that cannot send whole objects."""
    if resource.type is meta.PartialObject:
        return {"Accept": _PARTIAL.format(suffix)}
    return {"Accept": "application/json"}


def _decode_page(body: bytes, where: str) -> _Page:
    try:
        return _PAGE_DECODER.decode(body)
    except msgspec.MsgspecError as error:
        raise errors.DecodeError(f"{where}: the answer is not a list: {error}") from error


def _decode_status(raw: msgspec.Raw) -> errors.Status:
    try:
        return _STATUS_DECODER.decode(raw)
    except msgspec.MsgspecError:
        return errors.Status(message="the watch ended with an error that is no Status", code=500)


def _bare(raw: msgspec.Raw | bytes) -> tuple[meta.Key, str]:
    """Key and version of an object about which nothing else is certain."""
    try:
        found = _BARE_DECODER.decode(raw).metadata
    except msgspec.MsgspecError:
        return meta.Key("", ""), ""
    return meta.Key(found.namespace, found.name), found.resourceVersion
