from __future__ import annotations

import asyncio

import pytest

from kubeopencode.api import meta
from kubeopencode.runtime import lease

KEY = meta.Key("ns", "leader")
PATH = "/apis/coordination.k8s.io/v1/namespaces/ns/leases/leader"


@pytest.fixture
def candidate(api, time):
    def make(name):
        return lease.Election(api.client, KEY, name, time)

    return make


def holder(api):
    return api.objects[PATH]["spec"]["holderIdentity"]


class Work:
    """Something that runs until it is let go."""

    def __init__(self):
        self.running = False
        self.end = asyncio.Event()

    async def run(self):
        self.running = True
        try:
            await self.end.wait()
        finally:
            self.running = False


async def test_the_first_candidate_leads_and_the_second_waits(api, time, candidate):
    await candidate("one").acquire()
    second = asyncio.create_task(candidate("two").acquire())
    await time.advance(10)
    assert holder(api) == "one"
    assert not second.done()
    second.cancel()


async def test_after_an_orderly_end_the_next_leads_in_less_than_five_seconds(api, time, candidate):
    first, work = candidate("one"), Work()
    await first.acquire()
    holding = asyncio.create_task(first.hold(work.run()))
    second = asyncio.create_task(candidate("two").acquire())
    await time.advance(60)
    assert holder(api) == "one"
    work.end.set()
    await time.advance(4)
    assert holding.done()
    assert second.done()
    assert holder(api) == "two"
    assert api.objects[PATH]["spec"]["leaseTransitions"] == 1


async def test_a_leader_that_dies_is_followed_after_the_lease_has_run_out(api, time, candidate):
    await candidate("one").acquire()
    second = asyncio.create_task(candidate("two").acquire())
    await time.advance(14)
    assert not second.done()
    await time.advance(5)
    assert second.done()
    assert holder(api) == "two"


async def test_a_leader_that_cannot_renew_stops_working_before_the_lease_runs_out(api, time, candidate):
    first, work = candidate("one"), Work()
    await first.acquire()
    holding = asyncio.create_task(first.hold(work.run()))
    await time.advance(5)
    api.down = True
    renewed = 4
    await time.advance(renewed + first.deadline - 5 + 2)
    assert not work.running
    assert time.monotonic() < renewed + first.duration
    with pytest.raises(lease.Lost, match="not renewed within 10 s"):
        await holding


async def test_a_leader_that_was_replaced_stops_at_once(api, time, candidate):
    first, work = candidate("one"), Work()
    await first.acquire()
    holding = asyncio.create_task(first.hold(work.run()))
    await time.advance(3)
    taken = api.objects[PATH]
    taken["spec"]["holderIdentity"] = "two"
    api.keep(PATH, taken)
    await time.advance(2)
    assert not work.running
    with pytest.raises(lease.Lost, match="held by two"):
        await holding
    assert holder(api) == "two"


async def test_a_short_outage_is_survived(api, time, candidate):
    first, work = candidate("one"), Work()
    await first.acquire()
    holding = asyncio.create_task(first.hold(work.run()))
    await time.advance(3)
    api.down = True
    await time.advance(5)
    api.down = False
    await time.advance(30)
    assert work.running
    work.end.set()
    await holding


async def test_what_the_work_raises_comes_out_and_the_lease_is_given_back(api, time, candidate):
    async def fail():
        raise RuntimeError("boom")

    first = candidate("one")
    await first.acquire()
    with pytest.raises(RuntimeError, match="boom"):
        await first.hold(fail())
    assert not holder(api)


def test_times_that_cannot_work_are_refused(api):
    with pytest.raises(ValueError, match="interval < deadline < duration"):
        lease.Election(api.client, KEY, "one", duration=5)
