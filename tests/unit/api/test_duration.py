"""Durations as Kubernetes writes them."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubeopencode.api import duration
from kubeopencode.api.duration import PATTERN as DURATION


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("30m", 1800), ("1h30m", 5400), ("1.5h", 5400), ("500ms", 0.5), ("1h0m1s", 3601), ("250us", 0.00025)],
)
def test_a_duration_is_the_sum_of_its_parts(text: str, seconds: float):
    assert duration.parse(text) == timedelta(seconds=seconds)
    assert re.fullmatch(DURATION, text), "the schema must allow what the parser reads"


@pytest.mark.parametrize(
    "text", ["", "90", "s", "-5m", "1h 30m", "1d", "5M", "1h30", "x1h", "1hx", "1e3s", ".5h", "1h\n"]
)
def test_what_is_no_duration_is_refused_with_the_form_to_write(text: str):
    with pytest.raises(ValueError, match="90s, 30m or 1h30m") as error:
        duration.parse(text)
    assert repr(text) in str(error.value)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (59, "59s"), (60, "1m"), (3600, "1h"), (5400, "1h30m"), (3601, "1h1s"), (90000, "25h")],
)
def test_a_duration_is_spoken_without_empty_parts(seconds: int, text: str):
    assert duration.spoken(timedelta(seconds=seconds)) == text


@settings(deadline=None)
@given(st.integers(min_value=0, max_value=10**7))
def test_what_is_spoken_can_be_read_again(seconds: int):
    length = timedelta(seconds=seconds)
    assert duration.parse(duration.spoken(length)) == length
