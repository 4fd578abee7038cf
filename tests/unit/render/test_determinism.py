"""The same spec gives the same bytes; otherwise every pass would write, and every server would restart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.api import builders
from tests.unit.render.builders import as_bytes

from kubeopencode.api import kinds
from kubeopencode.api.meta import Key
from kubeopencode.render import parts, server
from kubeopencode.render import task as render
from kubeopencode.world import Cluster, Observed, profile_of_agent

FOLDER = Path(__file__).parents[2] / "manifests"
words = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=20)
labels = st.dictionaries(st.sampled_from("abcdef"), st.sampled_from("xyz"), max_size=4)


@st.composite
def shapes(draw: st.DrawFn) -> dict[str, Any]:
    """The spec of an Agent or a template."""
    texts = st.fixed_dictionaries({"type": st.just("Text"), "text": words}, optional={"name": words})
    whole = st.fixed_dictionaries({"type": st.just("ConfigMap"), "configMap": st.just({"name": "m"})})
    spec: dict[str, Any] = {"contexts": draw(st.lists(st.one_of(texts, whole), max_size=4))}
    if draw(st.booleans()):
        spec["config"] = draw(st.dictionaries(words, words, max_size=4))
    if draw(st.booleans()):
        spec["podSpec"] = {"labels": draw(labels), "scheduling": {"nodeSelector": draw(labels)}}
    if draw(st.booleans()):
        spec["credentials"] = [{"name": "a", "secretRef": {"name": "s", "key": "k"}, "env": "K"}]
    return spec


def shuffled(data: dict[str, str], order: list[str]) -> dict[str, str]:
    """The same mapping in another order."""
    return {key: data[key] for key in order if key in data}


@settings(max_examples=40, deadline=None)
@given(shapes(), st.permutations("abcdef"), words)
def test_the_same_spec_gives_the_same_bytes(spec: dict[str, Any], order: list[str], description: str):
    data = {key: key.upper() for key in "abcdef"}

    def rendered(data: dict[str, str]) -> bytes:
        maps = {Key("team", "m"): builders.config_map("m", data)}
        what = builders.seen(builders.task(description=description), builders.template(**spec), other_maps=maps)
        profile = builders.profile(builders.agent(**spec))
        return as_bytes([*render.desired(what), *server.desired(profile, Cluster(), maps)])

    assert rendered(data) == rendered(data) == rendered(shuffled(data, order))


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.yaml")), ids=lambda file: file.stem)
def test_a_manifest_of_the_documents_renders_twice_the_same_or_is_refused_twice_the_same(file: Path):
    def rendered() -> list[bytes | str]:
        found: list[bytes | str] = []
        for wire in yaml.safe_load_all(file.read_text()):
            wire["metadata"] |= {"uid": "12345678-9", "namespace": wire["metadata"].get("namespace", "team")}
            try:
                found.append(as_bytes(list(objects_of(wire))))
            except parts.Refused as refusal:
                found.append(f"{refusal.reason}: {refusal}")
        return found

    first = rendered()
    assert first == rendered()
    refused = [each for each in first if isinstance(each, str)]
    assert all("contexts are not carried out" in each or "there is no ConfigMap" in each for each in refused), refused


def objects_of(wire: Any) -> tuple[Any, ...]:
    """What becomes of one manifest: a Task runs with a plain Agent, an Agent gets its server."""
    if wire["kind"] == "Task":
        task = msgspec.convert(wire, kinds.TASKS.type)
        return render.desired(Observed(task, task.spec, Cluster(), builders.profile(builders.agent())))
    if wire["kind"] == "Agent":
        found = profile_of_agent(msgspec.convert(wire, kinds.AGENTS.type), None)
        return server.desired(found, Cluster(), {})
    return ()
