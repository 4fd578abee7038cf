from __future__ import annotations

import importlib.resources
from pathlib import Path

import pytest

from kubeopencode.replay import conversation, script

MINIMAL = "replies: [{when: {any: true}, steps: [{text: hello}]}]"


def test_the_first_reply_that_fits_is_taken():
    parsed = script.parse("""
replies:
  - when: {contains: Fix}
    steps: [{text: fixed}]
  - when: {matches: "^say (.*)$"}
    steps: [{text: said}]
""")

    assert parsed.answer("please fix it").steps[0].text == "fixed"
    assert parsed.answer("say it").steps[0].text == "said"
    assert parsed.answer("other") is None


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: [", "not YAML"),
        ("replies: []", r"\$.replies"),
        ("replies: [{when: {any: true}, steps: []}]", r"\$\.replies\[0\]\.steps"),
        ("replies: [{when: {}, steps: [{text: a}]}]", r"replies\[0\].when: give exactly one"),
        ("replies: [{when: {any: true, contains: a}, steps: [{text: a}]}]", "give exactly one"),
        ("replies: [{when: {matches: '('}, steps: [{text: a}]}]", r"replies\[0\].when.matches"),
        ("replies: [{when: {any: true}, steps: [{}]}]", r"replies\[0\].steps\[0\]: a step needs"),
        ("replies: [{when: {any: true}, steps: [{fault: '402'}]}]", r"steps\[0\].fault: \"402\" is unknown"),
        ("replies: [{when: {any: true}, steps: [{text: a, times: 2}]}]", "belong to a fault"),
        ("replies: [{when: {any: true}, steps: [{txt: a}]}]", "txt"),
    ],
)
def test_a_mistake_is_named_with_its_place(text, sentence):
    with pytest.raises(script.ScriptError, match=sentence):
        script.parse(text)


def test_the_shipped_script_is_valid_and_recognises_its_task():
    shipped = Path(str(importlib.resources.files("kubeopencode.replay"))) / "demo.yaml"

    reply = script.parse(shipped.read_text()).answer("Fix the failing test of this project.")

    assert reply is not None
    assert [step.tool.name for step in reply.steps if step.tool] == ["bash", "bash", "read", "edit", "bash"]


def user(text):
    return {"role": "user", "content": [{"type": "text", "text": text}]}


def test_the_step_is_the_number_of_answers_since_the_question():
    call = {"role": "assistant", "content": None, "tool_calls": []}
    result = {"role": "tool", "tool_call_id": "1", "content": "ok"}

    read = conversation.read({"messages": [user("old"), call, user("one"), user("file"), call, result, call, result]})

    assert (read.question, read.step) == ("one\nfile", 2)


def test_the_workspace_is_what_the_system_prompt_says():
    system = {"role": "system", "content": "<env>\n  Working directory: /my folder/x\n  Platform: linux\n</env>"}

    read = conversation.read({"messages": [system, user("a")]})

    assert read.workspace == "/my folder/x"
    assert conversation.filled({"a": ["{workspace}/b"]}, read.workspace) == {"a": ["/my folder/x/b"]}
