from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager

import pytest

from kubeopencode.api import core, meta
from kubeopencode.kube import errors
from kubeopencode.runtime import controller, outcome, reflector, store

A, B = meta.Key("ns", "a"), meta.Key("ns", "b")
SOURCE = reflector.Source(core.CONFIGMAPS)


@asynccontextmanager
async def running(reconcile, time, *, watch=None, **tuning):
    found = controller.Controller(
        "test", reconcile, watches=[watch] if watch else [], tuning=controller.Tuning(**tuning), time=time
    )
    task = asyncio.create_task(found.run())
    try:
        yield found
    finally:
        found.queue.close()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def config_map(name, version="1", owner=None):
    owners = (meta.OwnerReference("example.org/v1", "Boss", owner, f"uid-{owner}", controller=True),) if owner else ()
    return core.ConfigMap(
        metadata=meta.ObjectMeta(name=name, namespace="ns", resourceVersion=version, ownerReferences=owners)
    )


async def test_a_key_is_never_reconciled_twice_at_once(time):
    inside, most, calls, gate = 0, 0, 0, asyncio.Event()

    async def reconcile(key):
        nonlocal inside, most, calls
        inside += 1
        calls += 1
        most = max(most, inside)
        await gate.wait()
        inside -= 1
        return outcome.DONE

    async with running(reconcile, time, workers=4) as found:
        for _ in range(3):
            found.enqueue(A)
            await time.advance(0)
        gate.set()
        await time.advance(0)
    assert (most, calls) == (1, 2)


async def test_different_keys_are_reconciled_side_by_side(time):
    gate, seen = asyncio.Event(), set()

    async def reconcile(key):
        seen.add(key)
        await gate.wait()
        return outcome.DONE

    async with running(reconcile, time, workers=2) as found:
        found.enqueue(A)
        found.enqueue(B)
        await time.advance(0)
        assert seen == {A, B}
        gate.set()


async def test_later_comes_back_in_its_time(time):
    calls = []

    async def reconcile(key):
        calls.append(time.monotonic())
        return outcome.Later(30)

    async with running(reconcile, time) as found:
        found.enqueue(A)
        await time.advance(61)
    assert calls == [0, 30, 60]


@pytest.mark.parametrize("error", [RuntimeError("boom"), errors.ConnectionFailed("away")])
async def test_any_exception_is_tried_again_ever_more_rarely_until_it_is_well(time, error, caplog):
    calls = []

    async def reconcile(key):
        calls.append(time.monotonic())
        if len(calls) < 4:
            raise error
        return outcome.DONE

    async with running(reconcile, time, first_retry=1, longest_retry=60) as found:
        found.enqueue(A)
        await time.advance(600)
        assert found.queue.failures(A) == 0
    assert calls == [0, 1, 3, 7]
    assert "ns/a" in caplog.text


async def test_terminal_is_not_tried_again(time, caplog):
    calls = []

    async def reconcile(key):
        calls.append(key)
        return outcome.Terminal("spec.image is empty; name one")

    caplog.set_level(logging.INFO)
    async with running(reconcile, time) as found:
        found.enqueue(A)
        await time.advance(3600)
    assert calls == [A]
    assert "spec.image is empty" in caplog.text


async def test_a_reconcile_that_hangs_is_ended_and_tried_again(time):
    calls = []

    async def reconcile(key):
        calls.append(time.monotonic())
        if len(calls) == 1:
            await asyncio.Event().wait()
        return outcome.DONE

    async with running(reconcile, time, timeout_seconds=10, first_retry=1) as found:
        found.enqueue(A)
        await time.advance(20)
    assert calls == [0, 11]


async def test_a_watch_names_keys_by_owner_and_by_what_was_before(time):
    watch = controller.Watch(SOURCE, controller.owner_key("example.org", "Boss"))
    found = controller.Controller("test", None, watches=[watch], time=time)
    handle = found.handler(watch)
    old, new = config_map("x", owner="a"), config_map("x", "2", owner="b")
    handle(store.Change(old.metadata.key, old, new))
    assert {await found.queue.get(), await found.queue.get()} == {A, B}
    handle(store.Change(old.metadata.key, None, config_map("x")))
    assert len(found.queue) == 0


async def test_a_change_that_does_not_matter_is_passed_over(time):
    watch = controller.Watch(SOURCE, when=lambda change: change.new is None)
    found = controller.Controller("test", None, watches=[watch], time=time)
    handle = found.handler(watch)
    handle(store.Change(A, None, config_map("a")))
    assert len(found.queue) == 0
    handle(store.Change(A, config_map("a"), None))
    assert await found.queue.get() == A


async def test_a_cancellation_from_within_is_a_failure_and_not_the_end_of_the_worker(time):
    calls = []

    async def reconcile(key):
        calls.append(key)
        if len(calls) == 1:
            raise asyncio.CancelledError
        return outcome.DONE

    async with running(reconcile, time, workers=1) as found:
        found.enqueue(A)
        await time.advance(10)
    assert calls == [A, A]


async def test_a_key_that_was_looked_at_meanwhile_does_not_come_back_for_an_old_reason(time):
    calls = []

    async def reconcile(key):
        calls.append(time.monotonic())
        return outcome.Later(30) if len(calls) == 1 else outcome.DONE

    async with running(reconcile, time) as found:
        found.enqueue(A)
        await time.advance(10)
        found.enqueue(A)
        await time.advance(100)
    assert calls == [0, 10]
