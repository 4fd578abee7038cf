"""Get, list and watch: stored bytes to the wire, decoded only where a table or another version asks for it."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import msgspec
from aiohttp import web

from kubeopencode.api.meta import Json, Key
from kubeopencode.apiserver import conversion, objects, responses, status, tables
from kubeopencode.apiserver.calls import Call
from kubeopencode.apiserver.registry import Kind
from kubeopencode.apiserver.storage import Change, Record, Storage
from kubeopencode.apiserver.watchhub import Watcher, WatchHub
from kubeopencode.apiserver.writes import Target

BOOKMARK_SECONDS = 60.0
WATCH_SECONDS = 1800.0
INITIAL_END = "k8s.io/initial-events-end"

View = Callable[[Record], bytes]
"""How a client wants to see a record."""


class _Position(msgspec.Struct):
    version: int
    namespace: str
    name: str


def view(call: Call, kind: Kind) -> View:
    """How this client sees objects of `kind`: as stored, converted, as a table row or as metadata only."""
    if tables.wanted(call.accept):
        rows = tables.Rows(kind, call.query.get("includeObject", "Metadata"))
        return lambda record: objects.encode(rows.table([_shown(kind, record)], str(record.version)))
    if "as=PartialObjectMetadata;" in call.accept + ";":
        return lambda record: objects.encode(tables.partial(objects.decode(record.raw)))
    if conversion.needed(kind):
        return lambda record: objects.encode(_shown(kind, record))
    return lambda record: record.raw


def _shown(kind: Kind, record: Record) -> Json:
    return conversion.show(kind, objects.decode(record.raw))


@dataclass(frozen=True)
class Reader:
    """All reads."""

    storage: Storage
    hub: WatchHub

    def get(self, call: Call, target: Target) -> web.Response:
        """One object. Raises Failure 404."""
        record = self.storage.get(target.place)
        if record is None:
            raise target.missing()
        return responses.raw(view(call, target.kind)(record))

    def list(self, call: Call, target: Target) -> web.Response:
        """All that is selected, or one page of it. Raises Failure 400 or 410."""
        kind, selector = target.kind, call.selector(target.kind)
        limit = call.number("limit") or 0
        self._check_version(call)
        position = _read_position(call.query.get("continue", ""))
        if position is not None and not self.storage.reaches(position.version):
            raise status.Failure(
                410,
                "The provided continue parameter is too old to display a consistent list result. You can start a new "
                "list without the continue parameter.",
            )
        version = position.version if position else self.storage.version
        after = Key(position.namespace, position.name) if position else None
        found: list[tuple[Key, Record]] = []
        more = False
        for key, record in self.storage.walk(kind.collection, target.namespace, after):
            if selector and not selector.matches(key, record.labels, record.fields):
                continue
            if limit and len(found) == limit:
                more = True
                break
            found.append((key, record))
        meta: Json = {"resourceVersion": str(version)}
        if more:
            meta["continue"] = _write_position(version, found[-1][0])
        return self._listing(call, kind, [record for _, record in found], meta)

    def _listing(self, call: Call, kind: Kind, found: list[Record], meta: Json) -> web.Response:
        if tables.wanted(call.accept):
            rows = tables.Rows(kind, call.query.get("includeObject", "Metadata"))
            table = rows.table([_shown(kind, record) for record in found], str(meta["resourceVersion"]))
            table["metadata"] = meta
            return responses.json(table)
        partial = "as=PartialObjectMetadataList" in call.accept
        if partial:
            bodies = [objects.encode(tables.partial(objects.decode(record.raw))) for record in found]
            head: Json = {"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": meta}
        else:
            look = view(call, kind)
            bodies = [look(record) for record in found]
            head = {"kind": kind.list_kind, "apiVersion": kind.api_version, "metadata": meta}
        return responses.raw(objects.encode(head)[:-1] + b',"items":[' + b",".join(bodies) + b"]}")

    def _check_version(self, call: Call) -> None:
        version = call.number("resourceVersion") or 0
        if version > self.storage.version:
            message = f"Too large resource version: {version}, current: {self.storage.version}"
            raise status.Failure(504, message, reason="Timeout", details={"retryAfterSeconds": 1})
        if call.query.get("resourceVersionMatch") == "Exact" and not self.storage.reaches(version):
            raise status.too_old(version, self.storage.version)

    async def watch(self, call: Call, target: Target) -> web.StreamResponse:
        """Stream changes until the client leaves, its time is over or it is too slow."""
        kind, selector = target.kind, call.selector(target.kind)
        stream = _Stream(call, view(call, kind), kind)
        watcher = Watcher(kind.collection, target.namespace, selector)
        transport = call.request.transport
        watcher.on_cut = transport.abort if transport is not None else None
        version = call.number("resourceVersion") or 0
        initial = call.flag("sendInitialEvents") or (version == 0 and "sendInitialEvents" not in call.query)
        first: list[bytes] = []
        started = self.storage.version
        try:
            self.hub.open(watcher, started if initial else version or started)
        except status.Failure as error:
            await stream.start()
            await stream.write(objects.encode({"type": "ERROR", "object": error.status()}) + b"\n")
            return stream.response
        if initial:
            for key, record in self.storage.walk(kind.collection, target.namespace):
                if not selector or selector.matches(key, record.labels, record.fields):
                    first.append(stream.line("ADDED", record))
        if call.flag("sendInitialEvents"):
            first.append(stream.bookmark(started, initial=True))
        try:
            await stream.start()
            if first:
                await stream.write(b"".join(first))
            await self._follow(call, stream, watcher)
        finally:
            self.hub.drop(watcher)
        return stream.response

    async def _follow(self, call: Call, stream: _Stream, watcher: Watcher) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + (call.number("timeoutSeconds") or WATCH_SECONDS)
        bookmarks = call.flag("allowWatchBookmarks")
        seen = 0
        while not watcher.closed:
            left = end - loop.time()
            if left <= 0:
                if bookmarks:
                    await stream.write(stream.bookmark(max(self.storage.version, seen)))
                return
            taken = await watcher.take(min(left, BOOKMARK_SECONDS))
            if taken:
                seen = taken[-1][1].record.version
                await stream.write(b"".join([stream.change(kind, change) for kind, change in taken]))
            elif bookmarks and not watcher.closed and left > BOOKMARK_SECONDS:
                await stream.write(stream.bookmark(self.storage.version))


class _Stream:
    """The HTTP side of one watch."""

    def __init__(self, call: Call, look: View, kind: Kind) -> None:
        self._call = call
        self._look = look
        self._kind = kind
        self._plain = not conversion.needed(kind) and "as=" not in call.accept
        self._table = tables.wanted(call.accept)
        self.response = web.StreamResponse(headers={"Content-Type": "application/json"})

    async def start(self) -> None:
        self.response.enable_chunked_encoding()
        await self.response.prepare(self._call.request)

    async def write(self, data: bytes) -> None:
        with suppress(ConnectionError):
            await self.response.write(data)

    def change(self, kind: str, change: Change) -> bytes:
        return change.line(kind) if self._plain else self.line(kind, change.record)

    def line(self, kind: str, record: Record) -> bytes:
        return b'{"type":"%s","object":%s}\n' % (kind.encode(), self._look(record))

    def bookmark(self, version: int, *, initial: bool = False) -> bytes:
        meta: Json = {"resourceVersion": str(version), "creationTimestamp": None}
        if initial:
            meta["annotations"] = {INITIAL_END: "true"}
        if self._table:
            meta_of_row = {"kind": self._kind.kind, "apiVersion": self._kind.api_version, "metadata": meta}
            body: Json = tables.bookmark(meta_of_row, str(version))
        else:
            body = {"kind": self._kind.kind, "apiVersion": self._kind.api_version, "metadata": meta}
        return objects.encode({"type": "BOOKMARK", "object": body}) + b"\n"


def _write_position(version: int, key: Key) -> str:
    position = _Position(version, key.namespace, key.name)
    return base64.urlsafe_b64encode(msgspec.json.encode(position)).decode().rstrip("=")


def _read_position(token: str) -> _Position | None:
    if not token:
        return None
    try:
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        return msgspec.json.decode(raw, type=_Position)
    except (binascii.Error, ValueError, msgspec.DecodeError) as error:
        raise status.bad_request("continue key is not valid: it was not made by this server") from error
