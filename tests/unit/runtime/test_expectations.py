from __future__ import annotations

import asyncio

import pytest

from kubeopencode.api import core, meta
from kubeopencode.runtime import expectations, reflector, store

KEY = meta.Key("ns", "a")
SOURCE = reflector.Source(core.CONFIGMAPS)


async def test_a_key_waits_until_the_cache_shows_its_own_write(api, time):
    cache, guard = store.Store(), expectations.Expectations(time)
    guard.follow(SOURCE, cache)
    kube = api.client.through(guard.observe)
    with guard.recording("c", KEY):
        made = await kube.create(core.CONFIGMAPS, {"metadata": {"name": "x"}}, "ns")
    waiting = asyncio.create_task(guard.settle("c", KEY, 5))
    await time.advance(1)
    assert not waiting.done()
    assert await guard.settle("c", meta.Key("ns", "other"), 5)
    cache.put(made)
    cache.advance(made.metadata.resourceVersion)
    assert await waiting is True
    assert await guard.settle("c", KEY, 5)


async def test_the_wait_is_bounded(api, time):
    cache, guard = store.Store(), expectations.Expectations(time)
    guard.follow(SOURCE, cache)
    with guard.recording("c", KEY):
        await api.client.through(guard.observe).create(core.CONFIGMAPS, {"metadata": {"name": "x"}}, "ns")
    waiting = asyncio.create_task(guard.settle("c", KEY, 5))
    await time.advance(5)
    assert await waiting is False


async def test_writes_outside_a_reconcile_and_writes_nobody_watches_are_not_waited_for(api, time):
    guard = expectations.Expectations(time)
    guard.follow(SOURCE, store.Store())
    kube = api.client.through(guard.observe)
    await kube.create(core.CONFIGMAPS, {"metadata": {"name": "x"}}, "ns")
    with guard.recording("c", KEY):
        await kube.create(core.SERVICES, {"metadata": {"name": "x"}}, "ns")
    assert not guard.pending


async def test_a_store_that_will_never_hold_the_object_is_not_waited_for(api, time):
    guard = expectations.Expectations(time)
    guard.follow(reflector.Source(core.CONFIGMAPS, "elsewhere"), store.Store())
    guard.follow(reflector.Source(core.CONFIGMAPS, labels="app=other"), store.Store())
    with guard.recording("c", KEY):
        body = {"metadata": {"name": "x", "namespace": "ns", "labels": {"app": "x"}}}
        await api.client.through(guard.observe).create(core.CONFIGMAPS, body)
    assert not guard.pending


@pytest.mark.parametrize(
    ("selector", "held"),
    [
        ("", True),
        ("app=x", True),
        ("app==x, tier", True),
        ("app!=y,!gone", True),
        ("app=y", False),
        ("!app", False),
        ("absent", False),
        ("app in (x,y)", False),
    ],
)
def test_a_source_knows_what_it_surely_holds(selector, held):
    source = reflector.Source(core.CONFIGMAPS, "ns", selector)
    assert source.holds("ns", {"app": "x", "tier": "1"}) is held
    assert not source.holds("other", {"app": "x", "tier": "1"})
