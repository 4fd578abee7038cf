"""The whole runtime on the embedded API server, with a toy controller; then with crashes and faults.

The toy: a ConfigMap labelled `role=boss` wants one child ConfigMap for each word of its `words`, and gets a finished
mark as an annotation when all are there.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from kubeopencode.api import core, meta
from kubeopencode.apiserver import server as apiserver
from kubeopencode.apiserver import settings, storage
from kubeopencode.kube import client, config, errors
from kubeopencode.runtime import controller, converge, events, lease, manager, outcome, reflector

BOSSES = reflector.Source(core.CONFIGMAPS, labels="role=boss")
CHILDREN = reflector.Source(core.CONFIGMAPS, labels="role=child")


class CrashError(Exception):
    """The process is gone."""


class Mortal:
    """Lets a number of writes through and dies in the moment after the last: nothing gets out or in any more."""

    def __init__(self, writes: int) -> None:
        self.left = writes
        self.dead = asyncio.Event()

    async def __call__(self, request, send):
        if self.dead.is_set():
            raise CrashError
        answer = await send(request)
        if request.writes and answer.status < 300:
            self.left -= 1
            if self.left == 0:
                self.dead.set()
                raise CrashError
        return answer


class Toy:
    """The toy controller."""

    def __init__(self, runner: manager.Manager) -> None:
        self.client = runner.client
        self.bosses = runner.store(BOSSES)
        self.children = runner.store(CHILDREN)
        self.children.add_index("owner", converge.owner_uids)
        self.converger = converge.Converger(runner.client, [converge.Kind(core.CONFIGMAPS)])
        self.reconciles = 0
        runner.add(
            controller.Controller(
                "toy",
                self.reconcile,
                watches=[
                    controller.Watch(BOSSES),
                    controller.Watch(CHILDREN, controller.owner_key("", "ConfigMap")),
                ],
                tuning=controller.Tuning(first_retry=0.001, longest_retry=0.05),
            )
        )

    async def reconcile(self, key: meta.Key) -> outcome.Outcome:
        self.reconciles += 1
        boss = self.bosses.get(key)
        if boss is None or boss.metadata.deletionTimestamp:
            return outcome.DONE
        owner = converge.Owner.of(core.CONFIGMAPS, boss)
        desired = [self.child(boss, word) for word in boss.data["words"].split()]
        await self.converger.converge(owner, desired)
        owned = self.children.by_index("owner", boss.metadata.uid)
        keep = {meta.Key(key.namespace, child["metadata"]["name"]) for child in desired}
        await self.converger.prune(owner, core.CONFIGMAPS, owned, keep)
        mark = {"done": boss.data["words"]}
        if boss.metadata.annotations.get("done") != mark["done"]:
            await self.client.patch(core.CONFIGMAPS, key.name, {"metadata": {"annotations": mark}}, key.namespace)
        return outcome.DONE

    @staticmethod
    def child(boss, word):
        metadata = {"name": f"{boss.metadata.name}-{word}", "labels": {"role": "child"}}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"word": word}}


@pytest.fixture
async def plane(tmp_path: Path):
    embedded = apiserver.ApiServer(storage.Storage.memory(), settings=settings.Settings(tokens={"t": "admin"}))
    await embedded.start()
    await embedded.listen_unix(tmp_path / "s" / "api.sock")
    async with client.Client(config.local_socket(tmp_path / "s" / "api.sock", "t")) as connection:
        yield connection
    await embedded.stop()


@asynccontextmanager
async def running(connection, **more):
    runner = manager.Manager(connection, **more)
    toy = Toy(runner)
    task = asyncio.create_task(runner.run())
    try:
        yield toy
    finally:
        runner.stop()
        async with asyncio.timeout(10):
            await task


async def until(condition, seconds=10.0):
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.01)


def boss(words, name="boss"):
    return {"metadata": {"name": name, "labels": {"role": "boss"}}, "data": {"words": words}}


async def words_of(connection, name="boss"):
    listing = await connection.list(core.CONFIGMAPS, "default", labels="role=child")
    return sorted(item.data["word"] for item in listing.items if item.metadata.name.startswith(name))


def settled(connection, *words):
    async def check():
        found = await connection.get(core.CONFIGMAPS, "boss", "default")
        done = found.metadata.annotations.get("done", "").split()
        return sorted(done) == sorted(words) == await words_of(connection)

    return check


async def test_children_follow_their_boss(plane):
    async with running(plane):
        await plane.create(core.CONFIGMAPS, boss("one two"), "default")
        await until(settled(plane, "one", "two"))
        await plane.patch(core.CONFIGMAPS, "boss", {"data": {"words": "two three"}}, "default")
        await until(settled(plane, "two", "three"))
        await plane.delete(core.CONFIGMAPS, "boss-three", "default")
        await until(settled(plane, "two", "three"))
        await plane.patch(core.CONFIGMAPS, "boss-two", {"data": {"word": "spoiled"}}, "default")
        await until(settled(plane, "two", "three"))
        await plane.delete(core.CONFIGMAPS, "boss", "default")

        async def nothing_left():
            return not await words_of(plane)

        await until(nothing_left)


async def test_when_all_is_well_nothing_is_written(plane):
    writes = []

    async def count(request, send):
        answer = await send(request)
        if request.writes:
            writes.append(request.path)
        return answer

    await plane.create(core.CONFIGMAPS, boss("one two three"), "default")
    async with running(plane.through(count)):
        await until(settled(plane, "one", "two", "three"))
    assert len(writes) == 4
    writes.clear()
    async with running(plane.through(count)) as toy:

        async def looked():
            return toy.reconciles > 0 and toy.bosses.get(meta.Key("default", "boss")) is not None

        await until(looked)
    assert writes == []


async def test_a_crash_after_any_write_changes_nothing_in_the_end(plane):
    await plane.create(core.CONFIGMAPS, boss("one two three"), "default")
    lives = 0
    while lives < 10:
        lives += 1
        mortal = Mortal(1)
        async with running(plane.through(mortal)):
            finished = asyncio.create_task(until(settled(plane, "one", "two", "three")))
            dead = asyncio.create_task(mortal.dead.wait())
            await asyncio.wait([finished, dead], return_when=asyncio.FIRST_COMPLETED)
            dead.cancel()
            finished.cancel()
        if not mortal.dead.is_set():
            break
    # One life for each write, and one in which nothing was left to do.
    assert lives == 5
    assert await settled(plane, "one", "two", "three")()


async def test_lost_answers_and_conflicts_change_nothing_in_the_end(plane):
    faults = 0

    async def unkind(request, send):
        nonlocal faults
        if not request.writes:
            return await send(request)
        faults += 1
        if faults % 3 == 1:
            await send(request)
            raise errors.ConnectionFailed("the answer was lost")
        if faults % 3 == 2:
            raise errors.from_status(errors.Status(code=409, reason="Conflict"))
        return await send(request)

    async with running(plane.through(unkind)):
        await plane.create(core.CONFIGMAPS, boss("one two three four five"), "default")
        await until(settled(plane, "one", "two", "three", "four", "five"))
    assert faults >= 6


async def test_two_replicas_hand_over_in_less_than_five_seconds(plane):
    def candidate(name):
        election = lease.Election(plane, meta.Key("default", "toy"), name, interval=0.1)
        runner = manager.Manager(plane, election=election)
        return runner, Toy(runner), asyncio.create_task(runner.run())

    async def led_by(name):
        return (await plane.get(core.LEASES, "toy", "default")).spec.holderIdentity == name

    await plane.create(core.CONFIGMAPS, boss("one"), "default")
    first, _, first_run = candidate("first")
    await until(settled(plane, "one"))
    second, toy, second_run = candidate("second")
    await second.wait_synced()
    assert await led_by("first")
    assert not second.working
    started = asyncio.get_running_loop().time()
    first.stop()
    await first_run
    await until(lambda: led_by("second"))
    assert asyncio.get_running_loop().time() - started < 5
    await plane.patch(core.CONFIGMAPS, "boss", {"data": {"words": "two"}}, "default")
    await until(settled(plane, "two"))
    assert toy.reconciles
    second.stop()
    await second_run


async def test_events_are_accepted_and_become_a_series(plane):
    made = await plane.create(core.CONFIGMAPS, boss("one"), "default")
    pace = events.Pace(between_writes=0.001, between_series=0.05)
    recorder = events.EventRecorder(plane, "example.org/toy", "pod-1", pace=pace)
    subject = events.Subject.of(core.CONFIGMAPS, made)
    task = asyncio.create_task(recorder.run())
    recorder.record(subject, events.NORMAL, "Hired", "welcome")

    async def found():
        return (await plane.list(core.EVENTS, "default")).items

    await until(found)
    for _ in range(9):
        recorder.record(subject, events.NORMAL, "Hired", "welcome")

    async def counted():
        (event,) = await found()
        return event.series is not None and event.series.count == 10

    await until(counted)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
