from __future__ import annotations

from datetime import UTC, datetime, timedelta

from kubeopencode.api import conditions, core, meta
from kubeopencode.node import life, podstatus
from kubeopencode.node.runner import Exited, Running

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def pod(*names: str, policy: str = "Never", inits: tuple[str, ...] = ()) -> core.Pod:
    spec = core.PodSpec(
        tuple(core.Container(name) for name in names),
        tuple(core.Container(name) for name in inits),
        restartPolicy=policy,
    )
    return core.Pod(meta.ObjectMeta(name="p", namespace="ns", uid="u"), spec)


def told(owner: core.Pod, tracks: list[life.Track], failure: tuple[str, str] = ("", "")) -> core.PodStatus:
    plan = life.plan(owner.spec.restartPolicy, tracks, NOW, ending=bool(failure[0]))
    return podstatus.status(owner, tracks, podstatus.Facts("127.64.0.1", NOW, plan, failure))


def runs(track: life.Track) -> None:
    life.starting(track)
    track.state, track.started, track.ready = Running(NOW), True, True


def ends(track: life.Track, code: int = 0) -> None:
    life.ended(track, Exited(code, "Error" if code else "Completed", NOW - timedelta(seconds=1), NOW))


def is_true(status: core.PodStatus, type_: str) -> bool:
    return conditions.is_true(status.conditions, type_)


def test_a_pod_whose_init_containers_run_is_pending_and_its_main_container_waits_for_them():
    owner = pod("main", inits=("first",))
    tracks = life.tracks(owner.spec)
    runs(tracks[0])
    status = told(owner, tracks)
    assert status.phase == "Pending"
    assert not is_true(status, "Initialized")
    waiting = status.containerStatuses[0].state.waiting
    assert waiting is not None
    assert waiting.reason == "PodInitializing"


def test_a_pod_is_ready_when_all_its_containers_are():
    owner = pod("a", "b", policy="Always")
    tracks = life.tracks(owner.spec)
    for track in tracks:
        runs(track)
    assert is_true(told(owner, tracks), "Ready")
    tracks[1].ready = False
    status = told(owner, tracks)
    assert not is_true(status, "Ready")
    found = conditions.find(status.conditions, "ContainersReady")
    assert found is not None
    assert found.message == "containers with unready status: [b]"


def test_all_containers_must_end_well_for_a_pod_to_succeed():
    owner = pod("a", "b")
    tracks = life.tracks(owner.spec)
    for track in tracks:
        runs(track)
    ends(tracks[0])
    assert told(owner, tracks).phase == "Running"
    ends(tracks[1], 2)
    assert told(owner, tracks).phase == "Failed"
    ends(tracks[1], 0)
    status = told(owner, tracks)
    assert status.phase == "Succeeded"
    found = conditions.find(status.conditions, "Ready")
    assert found is not None
    assert found.reason == "PodCompleted"


def test_a_crashed_container_that_waits_tells_its_backoff_and_its_last_end():
    owner = pod("main", policy="Always")
    tracks = life.tracks(owner.spec)
    for _ in range(2):
        runs(tracks[0])
        ends(tracks[0], 1)
    found = told(owner, tracks).containerStatuses[0]
    assert found.state.waiting is not None
    assert found.state.waiting.message == "back-off 10s restarting failed container=main pod=p_ns(u)"
    assert found.lastState.terminated is not None
    assert found.lastState.terminated.exitCode == 1
    assert found.restartCount == 1


def test_a_pod_ended_from_outside_tells_why():
    owner = pod("main")
    tracks = life.tracks(owner.spec)
    runs(tracks[0])
    ends(tracks[0], 143)
    status = told(owner, tracks, ("DeadlineExceeded", "too long"))
    assert (status.phase, status.reason, status.message) == ("Failed", "DeadlineExceeded", "too long")


def test_a_condition_keeps_its_time_while_its_status_stays():
    owner = pod("main", policy="Always")
    tracks = life.tracks(owner.spec)
    runs(tracks[0])
    first = told(owner, tracks)
    later = core.Pod(owner.metadata, owner.spec, first)
    assert told(later, tracks) == first
