"""Who may start: never too many, in order, and each only once, whatever the cache has not seen yet."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.unit.api.builders import NOW, agent, at, start, task

from kubeopencode.api.agent import Agent, TaskStart
from kubeopencode.api.task import FINISHED, Task
from kubeopencode.judge import admission

WINDOW = 60


def quota(starts: int) -> dict[str, int]:
    """So many starts inside a minute."""
    return {"maxTaskStarts": starts, "windowSeconds": WINDOW}


def decide(by: Agent, tasks: list[Task], *, missing: Any = frozenset(), now: float = 0) -> admission.Admission:
    """Who holds a slot, so many seconds after NOW."""
    return admission.decide(by.spec, by, tasks, missing, at(now))


def came(name: str, seconds: float, **status: Any) -> Task:
    """A Task that was made at that second."""
    return task(name, meta={"creationTimestamp": at(seconds)}, status=status)


def names(of: Any) -> list[str]:
    """Tasks or starts by name."""
    return [each.taskName if isinstance(each, TaskStart) else each.metadata.name for each in of]


@pytest.mark.parametrize(
    ("spec", "limited"),
    [({}, False), ({"maxConcurrentTasks": 0}, False), ({"maxConcurrentTasks": 1}, True), ({"quota": quota(1)}, True)],
)
def test_only_a_limit_makes_tasks_ask_for_a_slot(spec: Any, limited: bool):
    assert admission.limited(agent(**spec).spec) is limited


def test_no_more_are_let_in_than_there_are_slots():
    let_in = decide(agent(maxConcurrentTasks=2), [came("c", 3), came("a", 1), came("b", 2)])
    assert names(let_in.newcomers) == ["a", "b"]
    assert names(let_in.admitted) == ["a", "b"]


def test_the_first_to_come_is_the_first_to_start_and_the_uid_decides_a_draw():
    waiting = [came(name, 0) for name in ("c", "a", "b")] + [came("z", -1)]
    assert names(decide(agent(maxConcurrentTasks=3), waiting).newcomers) == ["z", "a", "b"]
    assert names(decide(agent(maxConcurrentTasks=3), waiting[::-1]).newcomers) == ["z", "a", "b"]


def test_a_slot_is_kept_while_its_task_has_not_ended():
    by = agent(maxConcurrentTasks=1, status={"admitted": [start("a", -5)]})
    for phase in ("", "Queued", "Running"):
        let_in = decide(by, [came("a", -9, phase=phase), came("b", 0)])
        assert (names(let_in.admitted), names(let_in.newcomers)) == (["a"], [])


@pytest.mark.parametrize("phase", sorted(FINISHED))
def test_a_finished_task_lets_the_next_one_in_at_once(phase: str):
    by = agent(maxConcurrentTasks=1, status={"admitted": [start("a", -5)]})
    let_in = decide(by, [came("a", -9, phase=phase), came("b", 0)])
    assert (names(let_in.admitted), names(let_in.newcomers)) == (["b"], ["b"])


def test_a_holder_that_the_cache_has_not_seen_keeps_its_slot():
    by = agent(maxConcurrentTasks=1, status={"admitted": [start("a", -5)]})
    assert names(decide(by, [came("b", 0)]).admitted) == ["a"]


def test_a_holder_that_is_known_to_be_gone_gives_up_its_slot():
    by = agent(maxConcurrentTasks=1, status={"admitted": [start("a", -5)]})
    assert names(decide(by, [came("b", 0)], missing={"a-uid"}).admitted) == ["b"]


def test_a_task_of_the_same_name_is_another_task():
    by = agent(maxConcurrentTasks=1, status={"admitted": [start("a", -5)]})
    new = task("a", meta={"uid": "new-uid"})
    let_in = decide(by, [new], missing={"a-uid"})
    assert [each.taskUID for each in let_in.admitted] == ["new-uid"]


def test_a_task_on_its_way_out_is_not_let_in():
    leaving = task("a", meta={"deletionTimestamp": NOW})
    assert decide(agent(maxConcurrentTasks=1), [leaving]).newcomers == ()


def test_a_task_on_its_way_out_keeps_its_slot_until_it_is_gone():
    leaving = task("a", meta={"deletionTimestamp": NOW}, status={"phase": "Running"})
    by = agent(maxConcurrentTasks=1, status={"admitted": [start("a", -5)]})
    assert names(decide(by, [leaving, came("b", 0)]).admitted) == ["a"]


def test_a_lowered_limit_ends_nobody_and_lets_nobody_in():
    by = agent(maxConcurrentTasks=1, status={"admitted": [start("a", -5), start("b", -5)]})
    both = [came("a", -9, phase="Running"), came("b", -9, phase="Running"), came("c", 0)]
    let_in = decide(by, both)
    assert (names(let_in.admitted), let_in.newcomers) == (["a", "b"], ())


def test_tasks_that_began_before_there_was_a_limit_count_against_it():
    let_in = decide(agent(maxConcurrentTasks=1), [came("old", -9, phase="Running"), came("new", 0)])
    assert let_in.newcomers == ()


def test_a_start_counts_until_the_window_has_slid_over_it():
    by = agent(quota=quota(2), status={"taskStartHistory": [start("x", -50), start("y", -10)]})
    waits = decide(by, [came("a", 0)])
    assert (waits.newcomers, waits.look_again) == ((), 10)
    let_in = decide(by, [came("a", 0)], now=10)
    assert (names(let_in.newcomers), names(let_in.history), let_in.look_again) == (["a"], ["y", "a"], None)


def test_the_window_does_not_reset_on_the_minute():
    by = agent(quota=quota(1), status={"taskStartHistory": [start("x", -1)]})
    assert decide(by, [came("a", 0)], now=58).newcomers == ()
    assert names(decide(by, [came("a", 0)], now=59).newcomers) == ["a"]


def test_a_start_counts_against_the_quota_even_when_its_task_is_gone():
    by = agent(quota=quota(1), status={"admitted": [start("x", -5)], "taskStartHistory": [start("x", -5)]})
    waits = decide(by, [came("a", 0)], missing={"x-uid"})
    assert (waits.admitted, waits.newcomers, waits.look_again) == ((), (), 55)


def test_those_who_still_wait_are_looked_at_when_the_window_opens():
    let_in = decide(agent(quota=quota(1)), [came("a", 0), came("b", 1)], now=5)
    assert (names(let_in.newcomers), let_in.look_again) == (["a"], 60)


@pytest.mark.parametrize(
    ("running", "begun", "let_in"), [(0, 0, 2), (1, 1, 1), (0, 2, 1), (2, 2, 0), (0, 3, 0), (1, 3, 0), (2, 0, 0)]
)
def test_capacity_and_quota_hold_together(running: int, begun: int, let_in: int):
    status = {
        "admitted": [start(f"r{index}", -5) for index in range(running)],
        "taskStartHistory": [start(f"h{index}", -5) for index in range(begun)],
    }
    by = agent(maxConcurrentTasks=2, quota=quota(3), status=status)
    decided = decide(by, [came(f"n{index}", index) for index in range(5)])
    assert len(decided.newcomers) == let_in


def test_only_capacity_can_be_waited_for_without_a_clock():
    by = agent(maxConcurrentTasks=1, quota=quota(5), status={"admitted": [start("a", -5)]})
    assert decide(by, [came("b", 0)]).look_again is None


def test_an_agent_without_quota_keeps_no_history():
    by = agent(maxConcurrentTasks=1, status={"taskStartHistory": [start("x", -5)]})
    assert decide(by, [came("a", 0)]).history == ()


def test_deciding_twice_decides_the_same():
    by = agent(maxConcurrentTasks=2, quota=quota(2))
    tasks = [came("a", 0), came("b", 1), came("c", 2)]
    first = decide(by, tasks)
    after = agent(
        maxConcurrentTasks=2,
        quota=quota(2),
        status={"admitted": first.admitted, "taskStartHistory": first.history},
    )
    second = decide(after, tasks, now=1)
    assert (second.admitted, second.history, second.newcomers) == (first.admitted, first.history, ())


def reason(of: Agent, now: float = 0) -> str | None:
    """Why a Task of this Agent waits, in a word."""
    objection = admission.objection(of.spec, of, at(now))
    return objection.reason if objection else None


def test_who_waits_is_told_for_what():
    begun = {"taskStartHistory": [start("x", -5)]}
    held = {"admitted": [start("x", -5)]}
    assert reason(agent(maxConcurrentTasks=1, status=held)) == "AgentAtCapacity"
    assert reason(agent(quota=quota(1), status=begun)) == "QuotaExceeded"
    both = agent(maxConcurrentTasks=1, quota=quota(1), status=begun | held)
    assert (reason(both), reason(both, WINDOW)) == ("QuotaExceeded", "AgentAtCapacity")


def test_nobody_is_told_to_wait_while_there_is_room():
    assert reason(agent(quota=quota(5))) is None
    assert reason(agent(maxConcurrentTasks=2, status={"admitted": [start("x", -5)]})) is None


@dataclass
class World:
    """Tasks as they are, what the lagging caches of two leaders have seen of them, and the Agent's books.

    The books are never stale: they are written over the version that was looked at.
    """

    by: Agent
    tasks: dict[str, Task] = field(default_factory=dict[str, Task])
    changes: list[tuple[str, Task | None]] = field(default_factory=list[tuple[str, Task | None]])
    caches: tuple[dict[str, Task], dict[str, Task]] = field(default_factory=lambda: ({}, {}))
    seen: list[int] = field(default_factory=lambda: [0, 0])
    ever: list[str] = field(default_factory=list[str])
    starts: list[float] = field(default_factory=list[float])
    made: int = 0

    def put(self, what: Task) -> None:
        """A Task appears or changes."""
        self.tasks[what.metadata.uid] = what
        self.changes.append((what.metadata.uid, what))

    def arrive(self, now: float, pick: int) -> None:
        """Somebody makes a Task; its uid says nothing about the order of arrival."""
        self.made += 1
        self.put(came(f"t{pick}-{self.made}", now))

    def turn(self, phase: str, pick: int) -> None:
        """One Task that holds a slot begins or ends."""
        before = {"Running": ("",), "Completed": ("", "Running")}[phase]
        able = [self.tasks[uid] for uid in self.at_work() if self.tasks[uid].status.phase in before]
        if able:
            chosen = able[pick % len(able)]
            self.put(msgspec.structs.replace(chosen, status=msgspec.structs.replace(chosen.status, phase=phase)))

    def delete(self, pick: int) -> None:
        """One Task is deleted, whatever it is doing."""
        if self.tasks:
            uid = sorted(self.tasks)[pick % len(self.tasks)]
            del self.tasks[uid]
            self.changes.append((uid, None))

    def catch_up(self, steps: int, leader: int = 0) -> None:
        """A cache sees some more of what happened, in order."""
        cache, seen = self.caches[leader], self.seen[leader]
        for uid, what in self.changes[seen : seen + steps]:
            cache.pop(uid, None)
            if what is not None:
                cache[uid] = what
        self.seen[leader] = min(len(self.changes), seen + steps)

    def admit(self, now: float, leader: int = 0) -> None:
        """A leader decides on what its cache has, and asks the server for holders that it does not have."""
        cache = self.caches[leader]
        held = {each.taskUID for each in self.by.status.admitted}
        gone = {uid for uid in held - set(cache) if not self.active(uid)}
        decided = admission.decide(self.by.spec, self.by, cache.values(), gone, at(now))
        self.ever += [t.metadata.uid for t in decided.newcomers]
        self.starts += [now] * len(decided.newcomers)
        status = msgspec.structs.replace(self.by.status, admitted=decided.admitted, taskStartHistory=decided.history)
        self.by = msgspec.structs.replace(self.by, status=status)

    def active(self, uid: str) -> bool:
        """A Task exists and has not ended."""
        return uid in self.tasks and self.tasks[uid].status.phase not in FINISHED

    def at_work(self) -> list[str]:
        """Tasks that were let in and have not ended, whatever the books say of them now."""
        return sorted(uid for uid in set(self.ever) if self.active(uid))

    def tell(self, what: str, amount: int, now: float, leader: int = 0) -> None:
        """One thing happens."""
        match what:
            case "arrive":
                self.arrive(now, amount)
            case "admit":
                self.admit(now, leader)
            case "run":
                self.turn("Running", amount)
            case "finish":
                self.turn("Completed", amount)
            case "delete":
                self.delete(amount)
            case "see":
                self.catch_up(amount, leader)
            case _:
                pass

    def check(self, capacity: int, starts: int | None) -> None:
        """The limits hold."""
        if capacity:
            assert len(self.at_work()) <= capacity
        if starts:
            windows = [sum(first <= each < first + WINDOW for each in self.starts) for first in self.starts]
            assert max(windows, default=0) <= starts


steps = st.lists(
    st.tuples(
        st.sampled_from(["arrive", "arrive", "admit", "admit", "run", "finish", "delete", "see", "see", "wait"]),
        st.integers(min_value=0, max_value=7),
    ),
    min_size=5,
    max_size=60,
)


capacities = st.integers(min_value=0, max_value=3)
quotas = st.one_of(st.none(), st.integers(min_value=1, max_value=3))


def world(capacity: int, starts: int | None) -> World:
    """A world with one Agent that has these limits."""
    spec: dict[str, Any] = {"maxConcurrentTasks": capacity} | ({"quota": quota(starts)} if starts else {})
    return World(agent(**spec))


@settings(deadline=None)
@given(steps, capacities, quotas)
def test_whatever_happens_the_limits_hold_and_nobody_is_let_in_twice(
    story: list[tuple[str, int]], capacity: int, starts: int | None
):
    there, now = world(capacity, starts), 0.0
    for what, amount in story:
        now += amount * 5 if what == "wait" else 0
        there.tell(what, amount, now)
        there.check(capacity, starts)
        assert len(there.ever) == len(set(there.ever))
        assert capacity or starts or not there.ever


deeds = st.tuples(
    st.sampled_from(["arrive", "admit", "finish", "see", "wait"]),
    st.integers(min_value=0, max_value=3),
    st.integers(min_value=0, max_value=1),
)


A_HOLDER_UNSEEN = [("arrive", 3, 0), ("arrive", 1, 0), ("see", 3, 0), ("admit", 0, 0), ("see", 1, 1), ("admit", 0, 1)]
"""The second leader has seen only the first Task, and the slot is held by the other."""


@example(A_HOLDER_UNSEEN, 1, None)
@settings(deadline=None)
@given(st.lists(deeds, min_size=6, max_size=30), st.integers(min_value=1, max_value=2), quotas)
def test_two_leaders_with_caches_of_different_age_never_let_in_too_many(
    story: list[tuple[str, int, int]], capacity: int, starts: int | None
):
    there, now = world(capacity, starts), 0.0
    for what, amount, leader in story:
        now += amount * 5 if what == "wait" else 0
        there.tell(what, amount, now, leader)
        there.check(capacity, starts)


@settings(deadline=None)
@given(st.permutations(range(6)), st.integers(min_value=1, max_value=3))
def test_once_the_cache_is_quiet_everybody_gets_in_in_order(arrival: list[int], capacity: int):
    there = World(agent(maxConcurrentTasks=capacity))
    for seconds in arrival:
        there.put(came(f"t{seconds}", seconds))
    for _ in range(20):
        there.catch_up(100)
        there.admit(100)
        there.turn("Completed", 0)
    assert there.ever == [f"t{seconds}-uid" for seconds in range(6)]
