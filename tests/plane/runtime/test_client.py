"""The client's verbs against a server that answers as it is told."""

from __future__ import annotations

import asyncio
import json

import pytest
from aiohttp import WSMsgType, web

from kubeopencode.api import core, meta
from kubeopencode.kube import auth, client, config, errors, retry, streams

COLLECTION = "/api/v1/namespaces/ns/configmaps"
QUICK = retry.Policy(attempts=3, first=0.001, longest=0.01)


@pytest.fixture
async def kube(server):
    async with client.Client(config.local_socket(server.socket, "secret"), policy=QUICK) as connection:
        yield connection


def refusal(code, reason, **headers):
    body = {"kind": "Status", "code": code, "reason": reason, "message": f"{reason} it is"}
    return web.json_response(body, status=code, headers=headers)


async def test_a_list_is_read_page_by_page(server, kube):
    async def pages(request):
        number = int(request.query.get("continue", "0"))
        metadata = {"resourceVersion": "7", **({"continue": str(number + 1)} if number < 2 else {})}
        return web.json_response({"metadata": metadata, "items": [server.config_map(f"page-{number}")]})

    server.routes[f"GET {COLLECTION}"] = pages
    listing = await kube.list(core.CONFIGMAPS, "ns", labels="app=x", fields="metadata.name!=y")
    assert [item.metadata.name for item in listing.items] == ["page-0", "page-1", "page-2"]
    assert listing.resource_version == "7"
    assert [request.query["limit"] for request in server.seen] == ["500"] * 3
    assert server.seen[0].query["labelSelector"] == "app=x"
    assert server.seen[0].query["fieldSelector"] == "metadata.name!=y"


async def test_a_list_whose_token_expires_half_way_starts_again_without_pages(server, kube):
    async def pages(request):
        if request.query.get("continue"):
            return refusal(410, "Expired")
        metadata = {"resourceVersion": "7", **({"continue": "more"} if "limit" in request.query else {})}
        return web.json_response({"metadata": metadata, "items": [server.config_map("whole")]})

    server.routes[f"GET {COLLECTION}"] = pages
    listing = await kube.list(core.CONFIGMAPS, "ns")
    assert [item.metadata.name for item in listing.items] == ["whole"]
    assert len(server.seen) == 3


async def test_an_object_of_a_list_that_does_not_decode_is_skipped_and_named(server, kube):
    async def poisoned(request):
        items = [server.config_map("good"), server.config_map("bad", number=1)]
        return web.json_response({"metadata": {"resourceVersion": "7"}, "items": items})

    server.routes[f"GET {COLLECTION}"] = poisoned
    listing = await kube.list(core.CONFIGMAPS, "ns")
    assert [item.metadata.name for item in listing.items] == ["good"]
    assert listing.skipped == (meta.Key("ns", "bad"),)
    assert kube.undecodable == 1


async def test_a_single_object_that_does_not_decode_raises_and_names_the_field(server, kube):
    async def bad(request):
        return web.json_response(server.config_map("bad", number=1))

    server.routes[f"GET {COLLECTION}/bad"] = bad
    with pytest.raises(errors.DecodeError, match=r"ConfigMap ns/bad .*\$\.data"):
        await kube.get(core.CONFIGMAPS, "bad", "ns")


@pytest.mark.parametrize(
    ("code", "reason", "expected"),
    [
        (400, "BadRequest", errors.BadRequest),
        (401, "Unauthorized", errors.Unauthorized),
        (403, "Forbidden", errors.Forbidden),
        (404, "NotFound", errors.NotFound),
        (409, "AlreadyExists", errors.AlreadyExists),
        (409, "Conflict", errors.Conflict),
        (410, "Expired", errors.Gone),
        (422, "Invalid", errors.Invalid),
        (429, "TooManyRequests", errors.TooManyRequests),
        (500, "InternalError", errors.ServerError),
    ],
)
async def test_every_refusal_has_its_type_and_names_the_server(server, kube, code, reason, expected):
    async def refuse(request):
        return refusal(code, reason)

    server.routes[f"GET {COLLECTION}/x"] = refuse
    with pytest.raises(expected, match=r"GET unix:.*/configmaps/x") as caught:
        await kube.get(core.CONFIGMAPS, "x", "ns")
    assert type(caught.value) is expected
    assert (caught.value.status, caught.value.reason) == (code, reason)


async def test_a_page_of_a_proxy_is_an_error_with_its_code(server, kube):
    async def page(request):
        return web.Response(status=502, text="<html>")

    server.routes[f"GET {COLLECTION}/x"] = page
    with pytest.raises(errors.ServerError) as caught:
        await kube.get(core.CONFIGMAPS, "x", "ns")
    assert caught.value.status == 502


@pytest.mark.parametrize("code", [429, 503])
async def test_a_refusal_for_the_moment_is_tried_again_for_every_verb(server, kube, code):
    async def second_time(request):
        return refusal(code, "Busy") if len(server.seen) == 1 else web.json_response(server.config_map("made"))

    server.routes[f"POST {COLLECTION}"] = second_time
    made = await kube.create(core.CONFIGMAPS, {"metadata": {"name": "made"}}, "ns")
    assert made.metadata.name == "made"
    assert len(server.seen) == 2


async def test_patience_ends(server, kube):
    async def busy(request):
        return refusal(429, "TooManyRequests", **{"Retry-After": "0"})

    server.routes[f"GET {COLLECTION}/x"] = busy
    with pytest.raises(errors.TooManyRequests):
        await kube.get(core.CONFIGMAPS, "x", "ns")
    assert len(server.seen) == 3


async def test_a_broken_connection_is_tried_again_only_where_that_is_harmless(server, kube):
    async def hang_up(request):
        request.transport.abort()
        return web.Response()

    server.routes[f"GET {COLLECTION}/x"] = hang_up
    server.routes[f"POST {COLLECTION}"] = hang_up
    with pytest.raises(errors.ConnectionFailed, match="POST unix:"):
        await kube.create(core.CONFIGMAPS, {"metadata": {"name": "x"}}, "ns")
    assert len(server.seen) == 1
    with pytest.raises(errors.ConnectionFailed, match="GET unix:"):
        await kube.get(core.CONFIGMAPS, "x", "ns")
    assert len(server.seen) >= 4


async def test_a_server_that_is_not_there_is_a_failed_connection(tmp_path):
    async with client.Client(config.local_socket(tmp_path / "nobody.sock"), policy=QUICK) as kube:
        with pytest.raises(errors.ConnectionFailed):
            await kube.get(core.CONFIGMAPS, "x", "ns")


async def test_writes_say_what_they_are(server, kube):
    bodies = []

    async def echo(request):
        bodies.append((request.method, dict(request.query), request.headers["Content-Type"], await request.json()))
        return web.json_response(server.config_map("x"))

    for route in (
        f"POST {COLLECTION}",
        f"PATCH {COLLECTION}/x",
        f"PATCH {COLLECTION}/x/status",
        f"DELETE {COLLECTION}/x",
    ):
        server.routes[route] = echo
    await kube.create(
        core.CONFIGMAPS,
        core.ConfigMap(metadata=meta.ObjectMeta(name="x", namespace="ns")),
        options=client.CreateOptions(field_manager="me", dry_run=True),
    )
    await kube.patch(core.CONFIGMAPS, "x", {"status": {}}, "ns", options=client.STATUS)
    await kube.patch(
        core.CONFIGMAPS, "x", {}, "ns", options=client.PatchOptions("apply", field_manager="me", force=True)
    )
    await kube.patch(core.CONFIGMAPS, "x", [{"op": "test"}], "ns", options=client.PatchOptions("json"))
    await kube.delete(
        core.CONFIGMAPS,
        "x",
        "ns",
        options=client.DeleteOptions(uid="u", resource_version="4", grace_seconds=0, propagation="Foreground"),
    )
    create, status, apply, patch, delete = bodies
    assert create[1] == {"fieldManager": "me", "dryRun": "All"}
    assert create[3] == {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": "ns"}}
    assert status[2] == "application/merge-patch+json"
    assert (apply[1], apply[2]) == ({"fieldManager": "me", "force": "true"}, "application/apply-patch+yaml")
    assert (patch[2], patch[3]) == ("application/json-patch+json", [{"op": "test"}])
    assert delete[3]["preconditions"] == {"uid": "u", "resourceVersion": "4"}
    assert (delete[3]["gracePeriodSeconds"], delete[3]["propagationPolicy"]) == (0, "Foreground")


async def test_a_name_with_slashes_does_not_lead_elsewhere(server, kube):
    await kube.get(core.CONFIGMAPS, "../secrets/x?y", "ns")
    assert server.seen[0].raw_path == COLLECTION + "/..%2Fsecrets%2Fx%3Fy"
    with pytest.raises(ValueError, match="is no name"):
        await kube.get(core.CONFIGMAPS, "..", "ns")


async def test_a_token_is_shown_and_never_told(server, kube):
    async def refuse(request):
        return refusal(401, "Unauthorized")

    server.routes[f"GET {COLLECTION}/x"] = refuse
    with pytest.raises(errors.Unauthorized) as caught:
        await kube.get(core.CONFIGMAPS, "x", "ns")
    assert server.seen[0].headers["Authorization"] == "Bearer secret"
    assert "secret" not in str(caught.value)


async def test_a_renewed_token_file_is_read_again_after_a_refusal(server, tmp_path):
    token = tmp_path / "token"
    token.write_text("old\n")

    async def check(request):
        if request.headers["Authorization"] == "Bearer old":
            token.write_text("new\n")
            return refusal(401, "Unauthorized")
        return web.json_response(server.config_map("x"))

    server.routes[f"GET {COLLECTION}/x"] = check
    settings = config.Config("http://localhost", auth.TokenFile(token), socket=server.socket)
    async with client.Client(settings) as kube:
        found = await kube.get(core.CONFIGMAPS, "x", "ns")
    assert found.metadata.name == "x"


async def test_impersonation_travels_in_headers(server):
    settings = config.Config(
        "http://localhost",
        socket=server.socket,
        impersonate=config.Impersonation("jane", "u1", ("dev", "ops"), {"example.org/Scope": ("a", "b")}),
    )
    async with client.Client(settings) as kube:
        await kube.list(core.CONFIGMAPS, "ns")
    headers = server.seen[0].headers
    assert (headers["Impersonate-User"], headers["Impersonate-Uid"]) == ("jane", "u1")
    assert headers.getall("Impersonate-Group") == ["dev", "ops"]
    assert headers.getall("Impersonate-Extra-example.org%2FScope") == ["a", "b"]


async def test_logs_come_as_they_are_written(server, kube):
    async def log(request):
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"one\n")
        await response.write(b"two\n")
        return response

    server.routes["GET /api/v1/namespaces/ns/pods/p/log"] = log
    lines = kube.logs("p", "ns", container="c", follow=True, tail=5, options=streams.LogOptions(timestamps=True))
    assert b"".join([chunk async for chunk in lines]) == b"one\ntwo\n"
    assert dict(server.seen[0].query) == {"container": "c", "follow": "true", "tailLines": "5", "timestamps": "true"}


async def test_logs_of_a_pod_that_is_not_there_raise(server, kube):
    async def missing(request):
        return refusal(404, "NotFound")

    server.routes["GET /api/v1/namespaces/ns/pods/p/log"] = missing
    with pytest.raises(errors.NotFound):
        async for _ in kube.logs("p", "ns"):
            pass


def exits(code):
    if code == 0:
        return {"status": "Success"}
    causes = [{"reason": "ExitCode", "message": str(code)}]
    return {"status": "Failure", "reason": "NonZeroExitCode", "details": {"causes": causes}}


@pytest.mark.parametrize("code", [0, 3])
async def test_a_program_in_a_container_is_written_to_and_read_and_has_an_exit_code(server, kube, code):
    async def run(request):
        socket = web.WebSocketResponse(protocols=streams.PROTOCOLS)
        await socket.prepare(request)
        async for message in socket:
            if message.type is WSMsgType.BINARY and message.data[0] == streams.STDIN:
                await socket.send_bytes(bytes([streams.STDOUT]) + message.data[1:].upper())
            if message.type is WSMsgType.BINARY and message.data == bytes([streams.CLOSE, streams.STDIN]):
                break
        await socket.send_bytes(bytes([streams.STDERR]) + b"bye")
        await socket.send_bytes(bytes([streams.ERROR]) + json.dumps(exits(code)).encode())
        await socket.close()
        return socket

    server.routes["GET /api/v1/namespaces/ns/pods/p/exec"] = run
    options = streams.ExecOptions(container="c", stdin=True)
    session = await kube.exec("p", "ns", ["sh", "-c", "cat"], options=options)
    await session.write(b"hello")
    await session.end_input()
    async with asyncio.timeout(5):
        assert [part async for part in session.output()] == [(streams.STDOUT, b"HELLO"), (streams.STDERR, b"bye")]
        assert await session.exit_code() == code
    await session.close()
    assert server.seen[0].query.getall("command") == ["sh", "-c", "cat"]
    assert server.seen[0].headers["Authorization"] == "Bearer secret"


async def test_a_program_that_cannot_be_run_says_why(server, kube):
    async def run(request):
        socket = web.WebSocketResponse(protocols=streams.PROTOCOLS)
        await socket.prepare(request)
        failure = {"status": "Failure", "reason": "InternalError", "message": "no such file: nope"}
        await socket.send_bytes(bytes([streams.ERROR]) + json.dumps(failure).encode())
        await socket.close()
        return socket

    server.routes["GET /api/v1/namespaces/ns/pods/p/exec"] = run
    session = await kube.exec("p", "ns", ["nope"])
    with pytest.raises(errors.ConnectionFailed, match="no such file"):
        await session.exit_code()
    await session.close()


async def test_a_connection_into_a_pod_carries_bytes_both_ways(server, kube):
    async def forward(request):
        socket = web.WebSocketResponse(protocols=["v4.channel.k8s.io"])
        await socket.prepare(request)
        await socket.send_bytes(b"\x00\x50\x00")
        await socket.send_bytes(b"\x01\x50\x00")
        message = await socket.receive()
        await socket.send_bytes(b"\x00" + message.data[1:].upper())
        await socket.close()
        return socket

    server.routes["GET /api/v1/namespaces/ns/pods/p/portforward"] = forward
    session = await kube.forward("p", "ns", 80)
    await session.write(b"hello")
    assert [part async for part in session.output()] == [b"HELLO"]
    await session.close()
    assert server.seen[0].query["ports"] == "80"


async def test_a_port_where_nobody_listens_says_so(server, kube):
    async def forward(request):
        socket = web.WebSocketResponse(protocols=["v4.channel.k8s.io"])
        await socket.prepare(request)
        for part in (b"\x00\x50\x00", b"\x01\x50\x00", b"\x01connection refused"):
            await socket.send_bytes(part)
        await socket.close()
        return socket

    server.routes["GET /api/v1/namespaces/ns/pods/p/portforward"] = forward
    session = await kube.forward("p", "ns", 80)
    with pytest.raises(errors.ConnectionFailed, match="connection refused"):
        async for _ in session.output():
            pass
    await session.close()


async def test_a_refused_exec_has_its_type(server, kube):
    async def refuse(request):
        return refusal(403, "Forbidden")

    server.routes["GET /api/v1/namespaces/ns/pods/p/exec"] = refuse
    with pytest.raises(errors.Forbidden):
        await kube.exec("p", "ns", ["sh"])


async def test_middleware_sees_every_attempt_and_may_lose_an_answer(server, kube):
    async def made(request):
        return web.json_response(server.config_map("x"))

    attempts = []

    async def lose_the_first(request, send):
        answer = await send(request)
        attempts.append((request.verb, request.resource, request.writes))
        if len(attempts) == 1:
            raise errors.ConnectionFailed("the answer was lost")
        return answer

    server.routes[f"PATCH {COLLECTION}/x"] = made
    await kube.through(lose_the_first).patch(core.CONFIGMAPS, "x", {}, "ns")
    assert attempts == [("patch", "configmaps", True)] * 2


async def test_only_metadata_is_asked_for_where_only_metadata_is_read(server, kube):
    partial = meta.Resource("", "v1", "ConfigMap", "configmaps", meta.PartialObject)
    await kube.list(partial, "ns")
    assert server.seen[0].headers["Accept"].startswith("application/json;as=PartialObjectMetadataList;")


async def test_a_bucket_spreads_requests():
    loop = asyncio.get_running_loop()
    bucket = retry.Bucket(rate=100, burst=5)
    started = loop.time()
    for _ in range(10):
        await bucket.take()
    assert 0.04 <= loop.time() - started < 1


async def test_connections_are_used_again(server, kube):
    for _ in range(5):
        await kube.list(core.CONFIGMAPS, "ns")
    assert len({id(request.transport) for request in server.seen}) == 1
