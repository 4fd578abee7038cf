from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

from kubeopencode.api import meta
from kubeopencode.runtime import events

SUBJECT = events.Subject("example.org/v1", "Boss", meta.Key("ns", "boss"), "uid-boss")


@asynccontextmanager
async def recording(api, time, **pace):
    recorder = events.EventRecorder(api.client, "example.org/controller", "pod-1", time, events.Pace(**pace))
    task = asyncio.create_task(recorder.run())
    try:
        yield recorder
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_an_event_says_who_what_and_why(api, time):
    async with recording(api, time) as recorder:
        recorder.record(SUBJECT, events.NORMAL, "Started", "The boss has started.", action="Start")
        await time.advance(1)
    (event,) = api.objects.values()
    assert event["regarding"] == {
        "apiVersion": "example.org/v1",
        "kind": "Boss",
        "name": "boss",
        "namespace": "ns",
        "uid": "uid-boss",
    }
    assert (event["type"], event["reason"], event["action"]) == ("Normal", "Started", "Start")
    assert event["note"] == "The boss has started."
    assert event["eventTime"] == "2026-01-01T00:00:00.000000Z"
    assert "series" not in event


async def test_a_thousand_repetitions_are_two_writes(api, time):
    async with recording(api, time) as recorder:
        recorder.record(SUBJECT, events.WARNING, "Failed", "no luck")
        await time.advance(1)
        for _ in range(999):
            recorder.record(SUBJECT, events.WARNING, "Failed", "no luck")
        await time.advance(60)
    assert [verb for verb, _, _ in api.writes] == ["create", "patch"]
    (event,) = api.objects.values()
    assert event["series"]["count"] == 1000


async def test_writes_keep_their_distance(api, time):
    async with recording(api, time, between_writes=1) as recorder:
        for number in range(10):
            recorder.record(SUBJECT, events.NORMAL, f"Reason{number}", "x")
        await time.advance(4.5)
    assert len(api.writes) == 5


async def test_too_much_to_say_is_dropped_and_counted(api, time):
    async with recording(api, time, topics=3) as recorder:
        for number in range(10):
            recorder.record(SUBJECT, events.NORMAL, f"Reason{number}", "x")
        assert recorder.dropped == 7
        await time.advance(400)
        recorder.record(SUBJECT, events.NORMAL, "Much later", "x")
        assert recorder.dropped == 7
        await time.advance(1)
    assert len(api.objects) == 4


async def test_a_server_that_is_down_is_nobodys_trouble(api, time):
    async with recording(api, time) as recorder:
        api.down = True
        recorder.record(SUBJECT, events.NORMAL, "One", "x")
        await time.advance(1)
        api.down = False
        recorder.record(SUBJECT, events.NORMAL, "Two", "x")
        await time.advance(1)
    assert [event["reason"] for event in api.objects.values()] == ["Two"]


async def test_a_series_outlives_its_event(api, time):
    async with recording(api, time) as recorder:
        recorder.record(SUBJECT, events.NORMAL, "One", "x")
        await time.advance(1)
        api.objects.clear()
        recorder.record(SUBJECT, events.NORMAL, "One", "x")
        await time.advance(20)
    (event,) = api.objects.values()
    assert event["series"]["count"] == 2
