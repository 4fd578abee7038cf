from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from kubeopencode.api import core
from kubeopencode.node import life
from kubeopencode.node.runner import Exited, Running

START = datetime(2026, 1, 1, tzinfo=UTC)


def spec(*mains: str, inits: tuple[str, ...] = (), sidecars: tuple[str, ...] = ()) -> core.PodSpec:
    before = [core.Container(name) for name in inits]
    before += [core.Container(name, restartPolicy="Always") for name in sidecars]
    return core.PodSpec(containers=tuple(core.Container(name) for name in mains), initContainers=tuple(before))


class World:
    """Carries out plans in no time: the Pod's containers, their policy, and what the clock says."""

    def __init__(self, pod: core.PodSpec, policy: str) -> None:
        self.tracks = {track.name: track for track in life.tracks(pod)}
        self.policy = policy
        self.now = START
        self.ending = False

    def step(self) -> life.Plan:
        return life.plan(self.policy, list(self.tracks.values()), self.now, ending=self.ending)

    def settle(self) -> life.Plan:
        while (plan := self.step()).start:
            for track in plan.start:
                life.starting(track)
                track.state = Running(self.now)
                track.started = True
        return plan

    def exits(self, name: str, code: int = 0) -> None:
        track = self.tracks[name]
        assert isinstance(track.state, Running)
        life.ended(track, Exited(code, "Error" if code else "Completed", track.state.started_at, self.now))

    def passes(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    @property
    def running(self) -> set[str]:
        return {track.name for track in self.tracks.values() if track.running}


def test_init_containers_run_one_after_another_and_main_containers_together():
    world = World(spec("a", "b", inits=("first", "second")), "Never")
    world.settle()
    assert world.running == {"first"}
    world.exits("first")
    world.settle()
    assert world.running == {"second"}
    world.exits("second")
    assert world.settle().initialized
    assert world.running == {"a", "b"}


def test_a_failed_init_container_ends_the_pod_when_nothing_is_restarted():
    world = World(spec("a", inits=("first",)), "Never")
    world.settle()
    world.exits("first", 1)
    plan = world.settle()
    assert plan.over
    assert world.tracks["a"].attempt == -1


def test_a_failed_init_container_is_tried_again_otherwise():
    world = World(spec("a", inits=("first",)), "OnFailure")
    world.settle()
    world.exits("first", 1)
    world.settle()
    assert world.running == {"first"}
    assert world.tracks["first"].attempt == 1


def test_a_sidecar_starts_before_the_main_container_and_stops_after_it():
    world = World(spec("main", sidecars=("helper",)), "Never")
    world.settle()
    assert world.running == {"helper", "main"}
    world.exits("main")
    plan = world.settle()
    assert [track.name for track in plan.stop] == ["helper"]
    world.exits("helper", 143)
    assert world.settle().over


def test_a_sidecar_that_has_not_started_holds_back_what_follows():
    world = World(spec("main", sidecars=("helper",)), "Never")
    plan = world.step()
    assert [track.name for track in plan.start] == ["helper"]
    life.starting(plan.start[0])
    plan.start[0].state = Running(world.now)
    assert world.step().start == []
    plan.start[0].started = True
    assert [track.name for track in world.step().start] == ["main"]


def test_a_sidecar_is_restarted_while_the_main_container_runs():
    world = World(spec("main", sidecars=("helper",)), "Never")
    world.settle()
    world.exits("helper", 1)
    world.settle()
    assert world.running == {"helper", "main"}


def test_a_crashing_container_waits_ten_seconds_then_twice_as_long_up_to_five_minutes():
    world = World(spec("main"), "Always")
    waits: list[float] = []
    world.settle()
    for _ in range(9):
        world.exits("main", 1)
        waited = 0.0
        while world.settle().later is not None:
            later = world.step().later
            assert later is not None
            waited += later
            world.passes(later)
        waits.append(waited)
    assert waits == [0, 10, 20, 40, 80, 160, 300, 300, 300]


def test_ten_calm_minutes_forgive_the_crashes_before():
    world = World(spec("main"), "Always")
    world.settle()
    world.exits("main", 1)
    world.settle()
    world.passes(601)
    world.exits("main", 1)
    world.settle()
    assert world.running == {"main"}


@pytest.mark.parametrize(("policy", "code", "again"), [
    ("Always", 0, True), ("Always", 1, True), ("OnFailure", 0, False),
    ("OnFailure", 1, True), ("Never", 0, False), ("Never", 1, False),
])  # fmt: skip
def test_the_restart_policy_decides(policy: str, code: int, again: bool):
    world = World(spec("main"), policy)
    world.settle()
    world.exits("main", code)
    plan = world.settle()
    assert (world.running == {"main"}) is again
    assert plan.over is not again


def test_a_deleted_pod_stops_main_containers_first_and_sidecars_in_reverse_order():
    world = World(spec("a", "b", sidecars=("one", "two")), "Always")
    world.settle()
    world.ending = True
    order: list[list[str]] = []
    while not (plan := world.step()).over:
        order.append(sorted(track.name for track in plan.stop))
        for track in plan.stop:
            world.exits(track.name, 143)
    assert order == [["a", "b"], ["two"], ["one"]]


def test_a_container_that_could_not_be_started_is_tried_again_later_and_later():
    world = World(spec("main"), "Never")
    track = world.tracks["main"]
    life.refused(track, core.Waiting("ErrImagePull"), world.now)
    assert world.step().later == 2
    world.passes(2)
    assert world.step().start == [track]
    life.refused(track, core.Waiting("ImagePullBackOff"), world.now)
    assert world.step().later == 4
