from __future__ import annotations

import pytest

from kubeopencode.pod.transcript import Transcript, brief, clean


@pytest.fixture
def lines():
    return []


@pytest.fixture
def transcript(lines):
    written = Transcript(lines.append)
    written.message({"id": "msg_a", "role": "assistant"})
    return written


def text(words, *, ended=False):
    return {"id": "prt_t", "messageID": "msg_a", "type": "text", "text": words, "time": {"end": 1} if ended else {}}


def tool(status, **state):
    return {"id": "prt_x", "messageID": "msg_a", "type": "tool", "tool": "bash", "state": {"status": status, **state}}


def test_words_are_printed_by_whole_lines_and_the_rest_at_the_end(transcript, lines):
    transcript.part(text(""))
    transcript.delta("msg_a", "prt_t", "one\ntw")
    assert lines == ["one"]
    transcript.delta("msg_a", "prt_t", "o")
    transcript.part(text("one\ntwo", ended=True))
    assert lines == ["one", "two"]


def test_what_was_printed_is_never_printed_again(transcript, lines):
    for _ in range(3):
        transcript.part(text("one\ntwo", ended=True))
        transcript.part(tool("completed", input={"command": "ls"}, output="a\nb", metadata={"exit": 0}))

    assert lines == ["one", "two", "> bash: ls", "  ok: b"]


def test_words_come_before_the_tool_that_follows_them(transcript, lines):
    transcript.part(text("I look."))
    transcript.part(tool("running", input={"command": "ls"}))

    assert lines == ["I look.", "> bash: ls"]


def test_an_older_snapshot_takes_no_words_back(transcript, lines):
    transcript.part(text("one\ntwo\n"))
    transcript.part(text("one\n"))
    transcript.part(text("one\ntwo\nthree", ended=True))

    assert lines == ["one", "two", "three"]


def test_a_failed_tool_tells_why(transcript, lines):
    transcript.part(tool("error", input={"command": "rm x"}, error="refused\nby rule"))

    assert lines == ["> bash: rm x", "  failed: refused by rule"]


def test_the_prompt_is_not_repeated(transcript, lines):
    transcript.message({"id": "msg_u", "role": "user"})
    transcript.part(text("the prompt\n") | {"messageID": "msg_u"})

    assert lines == []


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07x", "x"),
        ("a\x07b\x9b", "ab"),
        ("tab\tstays", "tab\tstays"),
        ("turn\u202earound", "turnaround"),
        ("over\rwrite\r\nline", "overwrite\nline"),
    ],
)
def test_nothing_can_act_upon_the_terminal(given, shown):
    assert clean(given) == shown


def test_long_inputs_are_shortened_to_a_line():
    assert brief("a\nb " + "x" * 500).startswith("a b x")
    assert len(brief("x" * 500)) == 200
