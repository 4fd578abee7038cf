"""The manager against the scripted server: sharing, order of start, orderly end."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
from aiohttp import web

from kubeopencode.api import core, meta
from kubeopencode.kube import errors
from kubeopencode.runtime import controller, health, lease, manager, outcome, reflector

SOURCE = reflector.Source(core.CONFIGMAPS, "ns")


async def until(condition, seconds=5.0):
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


async def stopped(found, task):
    found.stop()
    async with asyncio.timeout(5):
        await task


async def test_controllers_share_a_watch_and_see_every_object(server, kube):
    seen = {"one": set(), "two": set()}
    found = manager.Manager(kube)

    def add(name):
        async def reconcile(key):
            seen[name].add(key.name)
            return outcome.DONE

        found.add(controller.Controller(name, reconcile, watches=[controller.Watch(SOURCE)]))

    add("one")
    add("two")
    assert found.store(SOURCE) is found.store(reflector.Source(core.CONFIGMAPS, "ns"))
    task = asyncio.create_task(found.run())
    await until(lambda: seen["one"] == seen["two"] == {"a", "b", "done"})
    assert server.lists == [""]
    assert len(server.watches) == 1
    await stopped(found, task)
    assert not found.working


async def test_nothing_is_reconciled_before_everything_was_listed(server, kube):
    gate, seen = asyncio.Event(), []

    async def slow(request):
        await gate.wait()
        return web.json_response({"metadata": {"resourceVersion": "1"}, "items": []})

    async def reconcile(key):
        seen.append(key)
        return outcome.DONE

    server.routes["GET /api/v1/namespaces/ns/pods"] = slow
    found = manager.Manager(kube)
    found.store(reflector.Source(core.PODS, "ns"))
    found.add(controller.Controller("c", reconcile, watches=[controller.Watch(SOURCE)]))
    task = asyncio.create_task(found.run())
    await until(lambda: found.store(SOURCE).synced.is_set())
    assert not found.synced
    assert seen == []
    gate.set()
    await until(lambda: len(seen) >= 3)
    assert found.working
    await stopped(found, task)


async def test_a_stop_lets_work_at_hand_finish_and_begins_no_more(server, kube):
    started, gate, finished = asyncio.Event(), asyncio.Event(), []

    async def reconcile(key):
        started.set()
        await gate.wait()
        finished.append(key.name)
        return outcome.DONE

    found = manager.Manager(kube)
    watches = [controller.Watch(SOURCE)]
    found.add(controller.Controller("c", reconcile, watches=watches, tuning=controller.Tuning(workers=1)))
    task = asyncio.create_task(found.run())
    await started.wait()
    found.stop()
    await asyncio.sleep(0)
    gate.set()
    async with asyncio.timeout(5):
        await task
    assert len(finished) == 1


async def test_work_that_does_not_finish_is_cut_off(server, kube, caplog):
    started, cut = asyncio.Event(), []

    async def reconcile(key):
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cut.append(key.name)
            raise

    found = manager.Manager(kube, tuning=manager.Tuning(drain_seconds=0.05))
    found.add(controller.Controller("stubborn", reconcile, watches=[controller.Watch(SOURCE)]))
    task = asyncio.create_task(found.run())
    await started.wait()
    await stopped(found, task)
    assert cut
    assert "stubborn did not finish" in caplog.text


async def test_a_stop_before_the_first_list_ends_at_once(server, kube):
    async def away(request):
        return web.Response(status=500)

    server.routes["GET /api/v1/namespaces/ns/configmaps"] = away
    found = manager.Manager(kube)
    found.store(SOURCE)
    task = asyncio.create_task(found.run())
    await until(lambda: server.seen)
    await stopped(found, task)


async def test_an_own_write_is_seen_before_the_key_is_looked_at_again(server, kube):
    """The cache is behind by one watch event; the second reconcile must not see the old state."""
    written, release, states = [], asyncio.Event(), []

    async def patch(request):
        written.append(1)
        return web.json_response(server.config_map("a", 20, touched="yes"))

    async def late(request):
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        await release.wait()
        await response.write(server.line("MODIFIED", "a", 20, touched="yes"))
        while not request.transport.is_closing():
            await asyncio.sleep(0.01)
        return response

    server.names = ["a"]
    server.routes["PATCH /api/v1/namespaces/ns/configmaps/a"] = patch
    server.faults = [late]
    found = manager.Manager(kube)
    cache = found.store(SOURCE)

    async def reconcile(key):
        live = cache.get(key)
        states.append(dict(live.data))
        if "touched" not in live.data:
            await found.client.patch(core.CONFIGMAPS, key.name, {"data": {"touched": "yes"}}, key.namespace)
            return outcome.Later(0.001)
        return outcome.DONE

    found.add(controller.Controller("c", reconcile, watches=[controller.Watch(SOURCE)]))
    task = asyncio.create_task(found.run())
    await until(lambda: written)
    await asyncio.sleep(0.05)
    assert len(states) == 1
    release.set()
    await until(lambda: len(states) >= 2)
    assert states[1] == {"touched": "yes"}
    assert len(written) == 1
    await stopped(found, task)


async def test_a_lost_lease_ends_the_work_and_is_said(server, kube):
    leases = {"holder": ""}

    async def answer(request):
        if request.method == "PATCH" and leases["holder"]:
            return web.json_response({"kind": "Status", "code": 409, "reason": "Conflict"}, status=409)
        return web.json_response(
            {"metadata": {"name": "l", "resourceVersion": "1"}, "spec": {"holderIdentity": leases["holder"]}}
        )

    for method in ("GET", "PATCH"):
        server.routes[f"{method} /apis/coordination.k8s.io/v1/namespaces/ns/leases/l"] = answer
    election = lease.Election(kube, meta.Key("ns", "l"), "me", duration=2, deadline=1, interval=0.02)
    found = manager.Manager(kube, election=election)

    async def reconcile(key):
        return outcome.DONE

    found.add(controller.Controller("c", reconcile, watches=[controller.Watch(SOURCE)]))
    task = asyncio.create_task(found.run())
    await until(lambda: found.working)
    leases["holder"] = "another"
    with pytest.raises(lease.Lost, match="held by another"):
        async with asyncio.timeout(5):
            await task
    assert not found.working


async def test_health_tells_what_is_missing_and_what_was_done(server, kube):
    gate = asyncio.Event()

    async def slow(request):
        await gate.wait()
        del server.routes["GET /api/v1/namespaces/ns/configmaps"]
        return await server.handle(request)

    async def reconcile(key):
        return outcome.DONE

    server.routes["GET /api/v1/namespaces/ns/configmaps"] = slow
    found = manager.Manager(kube)
    found.add(controller.Controller("healthy", reconcile, watches=[controller.Watch(SOURCE)]))
    endpoint = health.HealthServer(found)
    await endpoint.start("127.0.0.1", 0)
    task = asyncio.create_task(found.run())
    async with aiohttp.ClientSession(endpoint.address) as session:
        assert (await session.get("/healthz")).status == 200
        unready = await session.get("/readyz")
        assert (unready.status, await unready.text()) == (503, "not listed yet: configmaps/ns \n")
        gate.set()
        await until(lambda: found.working)
        assert (await session.get("/readyz")).status == 200
        text = await (await session.get("/metrics")).text()
    assert 'kubeopencode_requests_total{code="200",resource="configmaps",verb="list"}' in text
    assert "kubeopencode_undecodable_objects 0.0" in text
    assert 'kubeopencode_reflector{source="configmaps/ns",what="lists"} 1.0' in text
    await stopped(found, task)
    await endpoint.close()


async def test_a_lost_answer_is_a_failed_reconcile_that_is_tried_again(server, kube):
    attempts = []

    async def reconcile(key):
        attempts.append(key)
        if len(attempts) == 1:
            raise errors.ConnectionFailed("the answer was lost")
        return outcome.DONE

    server.names, server.history = ["a"], []
    found = manager.Manager(kube)
    found.add(controller.Controller("c", reconcile, watches=[controller.Watch(SOURCE)]))
    task = asyncio.create_task(found.run())
    await until(lambda: len(attempts) == 2)
    await stopped(found, task)


async def test_a_replica_that_waits_for_its_turn_stops_at_once(server, kube):
    async def held(request):
        spec = {"holderIdentity": "another", "leaseDurationSeconds": 15}
        return web.json_response({"metadata": {"name": "l", "resourceVersion": "1"}, "spec": spec})

    server.routes["GET /apis/coordination.k8s.io/v1/namespaces/ns/leases/l"] = held
    found = manager.Manager(kube, election=lease.Election(kube, meta.Key("ns", "l"), "me", interval=0.01))
    found.store(SOURCE)
    task = asyncio.create_task(found.run())
    await until(lambda: any("leases" in request.path for request in server.seen))
    assert not found.working
    await stopped(found, task)


async def test_a_collection_asked_for_too_late_is_an_error_of_ours(server, kube):
    found = manager.Manager(kube)
    task = asyncio.create_task(found.run())
    await until(lambda: found.working)
    with pytest.raises(RuntimeError, match="ask before `run`"):
        found.store(SOURCE)
    await stopped(found, task)
