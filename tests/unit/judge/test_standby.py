"""When an Agent on standby sleeps and wakes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from tests.unit.api.builders import NOW, profile
from tests.unit.api.builders import agent as built

from kubeopencode.api.agent import Agent
from kubeopencode.judge import standby


def agent(idle: str = "30m", **spec: Any) -> Agent:
    found = profile(built(standby={"idleTimeout": idle}, **spec)).agent
    assert found is not None
    return found


def test_an_agent_without_work_begins_to_count():
    rest = standby.decide(agent(), at_work=False, now=NOW)
    assert (rest.status.idleSince, rest.suspend, rest.look_again) == (NOW, False, 1800)


def test_an_agent_that_was_idle_long_enough_sleeps():
    idle = agent(status={"idleSince": (NOW - timedelta(minutes=30)).isoformat()})
    assert standby.decide(idle, at_work=False, now=NOW).suspend


def test_work_wakes_it_and_ends_the_count():
    asleep = agent(suspend=True, status={"idleSince": NOW.isoformat()})
    rest = standby.decide(asleep, at_work=True, now=NOW)
    assert (rest.status.idleSince, rest.suspend) == (None, False)


def test_an_agent_that_was_put_to_sleep_stays_asleep_without_work():
    rest = standby.decide(agent(suspend=True), at_work=False, now=NOW)
    assert (rest.suspend, rest.look_again) == (True, None)


def test_a_person_who_is_connected_keeps_it_awake():
    seen = (NOW - timedelta(seconds=30)).isoformat()
    told = {"annotations": {"kubeopencode.io/last-connection-active": seen}}
    idle = agent(meta=told, status={"idleSince": (NOW - timedelta(hours=1)).isoformat()})
    rest = standby.decide(idle, at_work=False, now=NOW)
    assert (rest.status.idleSince, rest.suspend, rest.look_again) == (None, False, 90)


def test_a_sign_that_cannot_be_read_counts_for_nothing():
    told = {"annotations": {"kubeopencode.io/last-connection-active": "yesterday"}}
    assert standby.decide(agent(meta=told), at_work=False, now=NOW).status.idleSince == NOW


def test_a_very_short_time_is_warned_of():
    (told,) = standby.decide(agent("30s"), at_work=False, now=NOW).status.conditions
    assert (told.type, told.status, told.reason) == ("StandbyConfigWarning", "True", "IdleTimeoutTooShort")
