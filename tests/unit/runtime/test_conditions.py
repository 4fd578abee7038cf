from __future__ import annotations

from datetime import UTC, datetime

from kubeopencode.api import conditions, meta

THEN, NOW = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
READY = meta.Condition("Ready", "True", "Up", lastTransitionTime=THEN)


def test_a_new_condition_gets_the_time():
    (found,) = conditions.put((), meta.Condition("Ready", "True"), NOW)
    assert found.lastTransitionTime == NOW


def test_the_time_stays_while_the_status_does_even_if_the_words_change():
    (found,) = conditions.put((READY,), meta.Condition("Ready", "True", "Still", "up and well"), NOW)
    assert (found.lastTransitionTime, found.reason, found.message) == (THEN, "Still", "up and well")


def test_a_change_of_status_gets_the_time_and_keeps_the_place():
    other = meta.Condition("Other", "True", lastTransitionTime=THEN)
    found = conditions.merge((READY, other), [meta.Condition("Ready", "False", "Down")], NOW)
    assert [condition.type for condition in found] == ["Ready", "Other"]
    assert found[0].lastTransitionTime == NOW
    assert found[1] is other


def test_conditions_are_found_asked_and_dropped():
    assert conditions.is_true((READY,), "Ready")
    assert not conditions.is_true((READY,), "Other")
    assert conditions.drop((READY,), "Ready") == ()


def test_saying_the_same_again_changes_nothing():
    assert conditions.put((READY,), meta.Condition("Ready", "True", "Up"), NOW) == (READY,)
