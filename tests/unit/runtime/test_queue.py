from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubeopencode.runtime import clock, queue


async def taken(work):
    async with asyncio.timeout(1):
        return await work.get()


async def test_a_key_added_twice_is_one_key(time):
    work = queue.Queue(time)
    work.add("a")
    work.add("a")
    work.add("b")
    assert [await taken(work), await taken(work)] == ["a", "b"]
    assert len(work) == 0


async def test_a_key_in_flight_waits_until_it_is_done(time):
    work = queue.Queue(time)
    work.add("a")
    key = await taken(work)
    work.add("a")
    assert len(work) == 0
    work.done(key)
    assert await taken(work) == "a"


async def test_new_work_goes_before_routine_and_moves_up(time):
    work = queue.Queue(time)
    for key in ("r1", "r2", "r3"):
        work.add_routine(key)
    work.add("n")
    work.add("r3")
    assert len(work) == 4
    order = [await taken(work) for _ in range(4)]
    assert order == ["n", "r3", "r1", "r2"]


async def test_a_delayed_key_comes_in_its_time_and_the_earlier_time_counts(time):
    work = queue.Queue(time)
    work.add_after("a", 10)
    work.add_after("a", 5)
    work.add_after("a", 20)
    await time.advance(4.9)
    assert len(work) == 0
    await time.advance(0.1)
    assert await taken(work) == "a"
    work.done("a")
    await time.advance(60)
    assert len(work) == 0


async def test_failures_wait_twice_as_long_each_time_up_to_a_limit_and_are_forgotten(time):
    work = queue.Queue(time, first=1, longest=5)
    waits = []
    for _ in range(4):
        waits.append(work.retry("a"))
        await time.advance(10)
        work.done(await taken(work))
    assert waits == [1, 2, 4, 5]
    work.forget("a")
    assert work.retry("a") == 1


async def test_a_closed_queue_gives_nothing_and_lets_workers_finish(time):
    work = queue.Queue(time)
    work.add("a")
    key = await taken(work)
    waiting = asyncio.create_task(work.get())
    await asyncio.sleep(0)
    work.add_after("b", 1)
    work.close()
    with pytest.raises(queue.Closed):
        await waiting
    assert work.active == 1
    work.done(key)
    assert work.active == work.delayed == 0
    await time.advance(2)
    with pytest.raises(queue.Closed):
        await work.get()


async def test_a_worker_that_is_cancelled_passes_its_turn_on(time):
    work = queue.Queue(time)
    first, second = asyncio.create_task(work.get()), asyncio.create_task(work.get())
    await asyncio.sleep(0)
    work.add("a")
    first.cancel()
    async with asyncio.timeout(1):
        assert await second == "a"


KEYS = st.sampled_from("abcd")
STEPS = st.lists(st.tuples(st.sampled_from(["add", "routine", "after", "get", "done", "advance"]), KEYS), max_size=60)


@given(STEPS)
def test_no_key_is_ever_lost_doubled_or_held_twice(steps):
    async def play():
        time = clock.ManualClock()
        work = queue.Queue(time)
        held, owed = [], set()
        for step, key in steps:
            if step in ("add", "routine"):
                (work.add if step == "add" else work.add_routine)(key)
                owed.add(key)
            elif step == "after":
                work.add_after(key, 1)
                owed.add(key)
            elif step == "get" and len(work):
                key = await work.get()
                assert key not in held
                held.append(key)
                owed.discard(key)
            elif step == "done" and held:
                work.done(held.pop(0))
            elif step == "advance":
                await time.advance(1)
        for key in held:
            work.done(key)
        await time.advance(2)
        left = set()
        while len(work):
            left.add(await work.get())
        assert owed <= left

    asyncio.run(play())
