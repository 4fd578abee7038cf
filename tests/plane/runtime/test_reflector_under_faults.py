"""Every way a watch can fail. Each time `b` is deleted meanwhile; the store must end with `a` and `done`."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from aiohttp import web

from kubeopencode.api import core, meta
from kubeopencode.runtime import backoff, reflector, store


class HurriedClock:
    """Waits take no time at all, but are written down."""

    def __init__(self) -> None:
        self.waited: list[float] = []

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return sum(self.waited)

    def call_later(self, seconds, callback):
        self.waited.append(seconds)
        return asyncio.get_running_loop().call_soon(callback)


@asynccontextmanager
async def reflecting(kube, *, idle=30.0, clock=None):
    found = reflector.Reflector(
        kube,
        reflector.Source(core.CONFIGMAPS, "ns"),
        clock or HurriedClock(),
        idle,
        backoff.Backoff(0.25, 30.0),
    )
    changes: list[store.Change] = []
    found.subscribe(changes.append)
    found.changes = changes  # type: ignore[attr-defined]
    task = asyncio.create_task(found.run())
    try:
        yield found
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition, seconds=5.0):
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


async def arrived(found):
    await until(lambda: "done" in {held.metadata.name for held in found.store.list()})
    assert sorted(held.metadata.name for held in found.store.list()) == ["a", "done"]
    assert [change.key.name for change in found.changes if change.new is None] == ["b"]


async def stream(request, *lines, abort=False):
    response = web.StreamResponse()
    response.enable_chunked_encoding()
    await response.prepare(request)
    for line in lines:
        await response.write(line)
    if abort:
        request.transport.abort()
    return response


def error_line(code, reason):
    body = {"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": reason}
    return json.dumps({"type": "ERROR", "object": body}).encode() + b"\n"


async def closes(request):
    return await stream(request)


async def says_expired_in_the_stream(request):
    return await stream(request, error_line(410, "Expired"))


async def says_expired_with_a_code_of_500(request):
    return await stream(request, error_line(500, "Expired"))


async def says_410(request):
    return web.json_response({"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}, status=410)


async def says_503(request):
    return web.Response(status=503, text="upstream is away")


async def breaks_inside_a_line(request):
    return await stream(request, b'{"type":"ADDED","object":{"metadata":{"na', abort=True)


async def ends_inside_a_line(request):
    return await stream(request, b'{"type":"ADDED","object":{"metadata":{"na')


async def says_500_in_the_stream(request):
    return await stream(request, error_line(500, "InternalError"))


async def talks_nonsense(request):
    return await stream(request, b"<html>hello</html>\n")


RESUMED = [closes, says_503, breaks_inside_a_line, ends_inside_a_line, says_500_in_the_stream, talks_nonsense]
RELISTED = [says_expired_in_the_stream, says_expired_with_a_code_of_500, says_410]


@pytest.mark.parametrize("fault", RESUMED, ids=lambda fault: fault.__name__)
async def test_a_watch_that_fails_is_resumed_where_it_was(server, kube, fault):
    server.faults = [fault]
    async with reflecting(kube) as found:
        await arrived(found)
    assert server.lists == [""]
    assert server.watches[:2] == ["10", "10"]


@pytest.mark.parametrize("fault", RELISTED, ids=lambda fault: fault.__name__)
async def test_a_version_that_is_too_old_means_a_new_list_and_the_deletion_is_seen(server, kube, fault):
    server.faults = [fault]
    server.history = []
    async with reflecting(kube) as found:
        await arrived(found)
        await until(lambda: server.watches == ["10", "12"])
    assert len(server.lists) == 2


async def test_a_version_that_stays_too_old_is_not_asked_for_again(server, kube):
    server.oldest = 12
    async with reflecting(kube) as found:
        await arrived(found)
        await until(lambda: server.watches == ["10", "12"])


@pytest.mark.parametrize("fault", [*RELISTED, *RESUMED], ids=lambda fault: fault.__name__)
async def test_a_server_that_never_recovers_is_asked_ever_more_rarely(server, kube, fault):
    server.always = fault
    clock = HurriedClock()
    async with reflecting(kube, clock=clock):
        await until(lambda: len(server.watches) >= 12)
    # Twelve watches, and yet the waits add up to minutes.
    assert sum(clock.waited) > 45
    assert max(clock.waited) <= 30


async def test_a_bookmark_moves_the_version_from_which_the_watch_is_resumed(server, kube):
    async def bookmark(request):
        return await stream(request, server.line("DELETED", "b", 11), server.line("BOOKMARK", "", 11))

    server.faults = [bookmark]
    async with reflecting(kube) as found:
        await arrived(found)
    assert server.watches[:2] == ["10", "11"]
    assert len(server.lists) == 1


async def test_a_silent_connection_is_given_up(server, kube):
    async def stall(request):
        response = await stream(request, server.line("BOOKMARK", "", 10))
        while request.transport is not None and not request.transport.is_closing():
            await asyncio.sleep(0.01)
        return response

    server.faults = [stall]
    async with reflecting(kube, idle=0.1) as found:
        await arrived(found)
    assert len(server.lists) == 1


async def test_an_object_larger_than_any_buffer_arrives(server, kube):
    async def large(request):
        return await stream(request, server.line("MODIFIED", "a", 11, blob="x" * 3_000_000))

    server.faults = [large]
    server.history = []
    async with reflecting(kube) as found:
        await until(lambda: found.store.version == "11")
        assert len(found.store.get(meta.Key("ns", "a")).data["blob"]) == 3_000_000


async def test_an_object_that_does_not_decode_is_skipped_and_the_watch_goes_on(server, kube):
    async def poisoned(request):
        return await stream(
            request,
            server.line("ADDED", "poison", 11, number=5),
            server.line("DELETED", "b", 12, number=5),
            server.line("ADDED", "done", 13),
        )

    server.faults = [poisoned]
    server.history = []
    async with reflecting(kube) as found:
        await arrived(found)
        assert found.store.version == "13"
    assert len(server.lists) == 1


async def test_an_object_that_stops_decoding_does_not_count_as_deleted(server, kube):
    async def list_again(request):
        items = [server.config_map("a", 12, number=5), server.config_map("done", 12)]
        return web.json_response({"metadata": {"resourceVersion": "12"}, "items": items})

    async def expire(request):
        server.routes["GET /api/v1/namespaces/ns/configmaps"] = lambda again: (
            server.watch(again) if again.query.get("watch") else list_again(again)
        )
        return await says_410(request)

    server.faults = [expire]
    server.history = []
    async with reflecting(kube) as found:
        await arrived(found)


async def test_a_server_that_is_not_there_at_first_is_found_later(server, kube):
    calls = []

    async def away(request):
        calls.append(1)
        if len(calls) < 9:
            return web.Response(status=500)
        del server.routes["GET /api/v1/namespaces/ns/configmaps"]
        return await server.handle(request)

    server.routes["GET /api/v1/namespaces/ns/configmaps"] = away
    async with reflecting(kube) as found:
        await arrived(found)
