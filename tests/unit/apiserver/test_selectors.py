from __future__ import annotations

import pytest

from kubeopencode.api.meta import Key
from kubeopencode.apiserver import selectors
from kubeopencode.apiserver.status import Failure


@pytest.mark.parametrize(
    ("text", "labels", "expected"),
    [
        ("a=1", {"a": "1"}, True),
        ("a==1,b!=2", {"a": "1"}, True),
        ("a in (1, 2),b notin (x)", {"a": "2", "b": "y"}, True),
        ("a,!b", {"a": ""}, True),
        ("a,!b", {"a": "", "b": ""}, False),
        ("n>5", {"n": "6"}, True),
        ("n<5", {"n": "6"}, False),
        ("n>5", {}, False),
        ("a=", {"a": ""}, True),
        ("example.io/x-y_z=v.1", {"example.io/x-y_z": "v.1"}, True),
    ],
)
def test_labels_are_selected(text: str, labels: dict[str, str], expected: bool) -> None:
    found = selectors.parse(text, "", ())
    assert found.matches(Key("", "a"), labels, {}) is expected


@pytest.mark.parametrize("text", ["a b", "(a)", "a in 1", "a=1=2", "n>x", "=a"])
def test_a_selector_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(Failure, match="unable to parse requirement"):
        selectors.parse(text, "", ())


def test_fields_are_selected_when_the_kind_knows_them() -> None:
    found = selectors.parse("", "metadata.name=a,status.phase!=Running", ("status.phase",))
    assert found.matches(Key("n", "a"), {}, {"status.phase": "Failed"})
    assert not found.matches(Key("n", "a"), {}, {"status.phase": "Running"})
    with pytest.raises(Failure, match=r'field label not supported: "spec\.x"'):
        selectors.parse("", "spec.x=1", ("status.phase",))
