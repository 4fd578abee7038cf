from __future__ import annotations

import asyncio

from tests.plane.apiserver.plane import CORE, Api, config_map, event

from kubeopencode.apiserver import storage

MAPS = f"{CORE}/configmaps"


async def test_a_watch_resumes_where_a_list_ended(api: Api) -> None:
    await api.create(MAPS, config_map("a"))
    version = (await api.get(MAPS)).json["metadata"]["resourceVersion"]
    await api.patch(f"{MAPS}/a", {"data": {"x": "1"}})
    async with api.watch(f"{MAPS}?watch=1&resourceVersion={version}") as stream:
        assert (await event(stream))["type"] == "MODIFIED"
        await api.create(MAPS, config_map("b"))
        assert (await event(stream))["object"]["metadata"]["name"] == "b"
        await api.delete(f"{MAPS}/b")
        gone = await event(stream)
    assert gone["type"] == "DELETED"
    assert int(gone["object"]["metadata"]["resourceVersion"]) > int(version)


async def test_a_change_of_selection_is_an_arrival_or_a_departure(api: Api) -> None:
    await api.create(MAPS, config_map("a"))
    version = (await api.get(MAPS)).json["metadata"]["resourceVersion"]
    async with api.watch(f"{MAPS}?watch=1&labelSelector=t=1&resourceVersion={version}") as stream:
        await api.patch(f"{MAPS}/a", {"metadata": {"labels": {"t": "1"}}})
        await api.patch(f"{MAPS}/a", {"data": {"x": "1"}})
        await api.patch(f"{MAPS}/a", {"metadata": {"labels": {"t": "2"}}})
        assert [(await event(stream))["type"] for _ in range(3)] == ["ADDED", "MODIFIED", "DELETED"]


async def test_a_history_that_is_gone_is_410(api: Api) -> None:
    async with api.watch(f"{MAPS}?watch=1&resourceVersion=0&sendInitialEvents=false") as stream:
        assert stream.status == 200
    for index in range(storage.HISTORY // 2 + 10):
        name = f"m{index}"
        await api.create(MAPS, config_map(name))
        await api.delete(f"{MAPS}/{name}")
    async with api.watch(f"{MAPS}?watch=1&resourceVersion=2") as stream:
        error = await event(stream)
    assert (error["type"], error["object"]["code"], error["object"]["reason"]) == ("ERROR", 410, "Expired")


async def test_initial_events_end_with_a_marked_bookmark(api: Api) -> None:
    await api.create(MAPS, config_map("a"))
    query = "watch=1&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan"
    async with api.watch(f"{MAPS}?{query}") as stream:
        assert (await event(stream))["type"] == "ADDED"
        mark = await event(stream)
    assert mark["type"] == "BOOKMARK"
    assert mark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


async def test_a_watch_ends_after_its_time_with_a_bookmark(api: Api) -> None:
    async with api.watch(f"{MAPS}?watch=1&timeoutSeconds=1&resourceVersion=1&allowWatchBookmarks=true") as stream:
        assert (await event(stream))["type"] == "BOOKMARK"
        assert await stream.content.read() == b""


async def test_all_watchers_see_the_same_order(api: Api) -> None:
    async with api.watch(f"{MAPS}?watch=1&resourceVersion=1") as one, api.watch("/api/v1/configmaps?watch=1") as two:
        await asyncio.gather(*(api.create(MAPS, config_map(f"m{index}")) for index in range(30)))
        seen = [[(await event(s))["object"]["metadata"]["resourceVersion"] for _ in range(30)] for s in (one, two)]
    assert seen[0] == seen[1] == sorted(seen[0], key=int)
