from __future__ import annotations

import json

import pytest

from kubeopencode.pod import termination

SESSION = {"id": "ses_1", "title": "t", "messageCount": 2}


def test_a_small_report_is_left_as_it_is():
    report = {"session": SESSION, "result": "gut gemacht: ü"}

    assert json.loads(termination.encode(report)) == report


@pytest.mark.parametrize("character", ["x", "ü", '"', "\n", "😀", "\x00", "\ud800"])
def test_a_long_result_gives_way_with_a_mark(character):
    encoded = termination.encode({"session": SESSION, "result": character * 20_000})

    assert len(encoded) <= termination.LIMIT
    report = json.loads(encoded)
    assert report["session"] == SESSION
    assert report["result"].endswith(termination.MARK)


def test_long_outputs_are_cut_and_named():
    outputs = {"short": "1", "long": "y" * 4000, "longer": "z" * 4096}

    encoded = termination.encode({"result": "r" * 4000, "outputs": {"parameters": outputs}})

    assert len(encoded) <= termination.LIMIT
    report = json.loads(encoded)
    assert report["outputs"]["parameters"]["short"] == "1"
    assert set(report["truncated"]) == {"long", "longer"}


def test_what_cannot_be_shortened_is_replaced_by_a_sentence():
    outputs = {f"name-{index}": "v" for index in range(1000)}

    report = json.loads(termination.encode({"outputs": {"parameters": outputs}}))

    assert report["error"]["name"] == "ReportTooLarge"


def test_an_error_without_words_still_has_a_message():
    assert termination.error({}) == {"name": "Error", "message": "Error"}
    assert termination.error({"name": "APIError", "data": {"message": "no", "statusCode": 401}}) == {
        "name": "APIError",
        "message": "no",
        "statusCode": 401,
    }
