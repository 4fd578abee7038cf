"""OpenCode's configuration, and values that mean what they say."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.render.builders import env, expanded, file, main, standalone

from kubeopencode.render import parts

CONFIG = {"$schema": "https://opencode.ai/config.json", "model": "google/gemini-2.5-pro"}


@pytest.mark.parametrize("config", [CONFIG, json.dumps(CONFIG), json.dumps(CONFIG, indent=4) + "\n"])
def test_a_configuration_is_an_object_or_a_text_with_json(config: Any):
    config_map, pod = standalone(config=config)
    assert json.loads(file(config_map, pod, "/tools/opencode.json")) == CONFIG
    assert env(main(pod))["OPENCODE_CONFIG"] == "/tools/opencode.json"


def test_without_a_configuration_there_is_no_file_for_it():
    config_map, pod = standalone()
    assert list(config_map["data"]) == ["workspace-task.md"]
    assert "OPENCODE_CONFIG" not in env(main(pod))


@pytest.mark.parametrize("config", [None, {"model": "m"}])
def test_nobody_is_asked_for_permission(config: Any):
    assert env(main(standalone(config=config)[1]))["OPENCODE_PERMISSION"] == '{"*":"allow"}'


def test_permissions_of_the_configuration_are_the_last_word():
    assert "OPENCODE_PERMISSION" not in env(main(standalone(config={"permission": {"bash": "deny"}})[1]))


def test_a_repository_cannot_change_how_the_agent_works_unless_it_is_trusted():
    assert env(main(standalone()[1]))["OPENCODE_DISABLE_PROJECT_CONFIG"] == "1"
    assert "OPENCODE_DISABLE_PROJECT_CONFIG" not in env(main(standalone(trustWorkspaceConfig=True)[1]))


def test_a_repositorys_own_instructions_are_read_all_the_same():
    assert "/workspace/AGENTS.md" in env(main(standalone()[1]))["OPENCODE_CONFIG_CONTENT"]


def test_the_program_neither_updates_nor_publishes_itself():
    found = env(main(standalone()[1]))
    assert found["OPENCODE_DISABLE_AUTOUPDATE"] == found["OPENCODE_DISABLE_SHARE"] == "1"


@settings(deadline=None)
@given(st.text(alphabet=st.sampled_from("aAPI_$()("), max_size=12).filter(lambda text: "$$" not in text))
def test_a_reference_in_a_value_is_not_followed(text: str):
    assert expanded(parts.variable("X", text)["value"], {"A": "leaked", "API_": "leaked", "": "leaked"}) == text


@pytest.mark.parametrize("text", ["$$(A)", "a$$b", "$$$(A)", "$$"])
def test_dollars_in_a_value_arrive_as_they_were_written(text: str):
    assert expanded(parts.variable("X", text)["value"], {"A": "leaked"}) == text


def test_two_parts_never_want_the_same():
    one = parts.PodPart(volumes=({"name": "a"},))
    with pytest.raises(parts.Refused, match="the volume 'a' is wanted twice"):
        parts.merge((one, one))
    shared = parts.PodPart(shared_env=(parts.variable("A", "1"),))
    with pytest.raises(parts.Refused, match="the environment variable 'A' is wanted twice"):
        parts.merge((shared, parts.PodPart(env=(parts.variable("A", "2"),))))


def test_parts_are_joined_in_their_order():
    whole = parts.merge(parts.PodPart(init=({"name": name},)) for name in "abc")
    assert [each["name"] for each in whole.init] == ["a", "b", "c"]
    assert parts.merge(()) == parts.PodPart()
