"""What an Agent is given (contexts, credentials, configuration, a folder) is what the real agent finds."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from kit.product import Place, Product, configuration, texts
from kubeopencode.api import core, kinds, workloads

pytestmark = pytest.mark.asyncio(loop_scope="session")

MODES = ("attached", "standalone")
VALUES = {"token": "raw-token-3141", "one": "raw-whole-one-5926", "two": "raw-whole-two-5358", "pem": "raw-pem-9793"}
AGENTS_FILE = "Every commit needs a heron."
WORKSPACE_CONFIG = json.dumps({"model": "replay/other"})


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def house(product: Product) -> Place:
    """Both kinds of Agents, furnished alike, with a Task for each; they start at once, on the same port."""
    place = await product.place("house")
    config = configuration(place.model)
    await place.apply(
        place.config_map("guides", one_md="Guide one.", two_md="Guide two."),
        place.secret("keys", token=VALUES["token"], pem=VALUES["pem"]),
        place.secret("whole", WHOLE_ONE=VALUES["one"], two=VALUES["two"]),
        place.agent("attached", config=config, **_furniture()),
        place.agent("attached-trusting", config=json.dumps(config), trustWorkspaceConfig=True, contexts=_own_rules()),
        place.template("standalone", config=json.dumps(config), **_furniture()),
        place.template("standalone-trusting", config=config, trustWorkspaceConfig=True, contexts=_own_rules()),
    )
    for name in ("attached", "attached-trusting"):
        await place.apply(place.task(name, f"look around, {name}.", agentRef={"name": name}))
    for name in ("standalone", "standalone-trusting"):
        await place.apply(place.task(name, f"look around, {name}.", templateRef={"name": name}))
    return place


def _own_rules() -> list[dict[str, Any]]:
    """What a repository brings along: rules for agents and a configuration."""
    return [
        {"type": "Text", "text": AGENTS_FILE, "mountPath": "AGENTS.md"},
        {"type": "Text", "text": WORKSPACE_CONFIG, "mountPath": "opencode.json"},
    ]


def _furniture() -> dict[str, Any]:
    contexts = [
        *_own_rules(),
        {"type": "Text", "name": "hint", "text": "The hint is blue."},
        {"type": "ConfigMap", "name": "all", "configMap": {"name": "guides"}},
        {"type": "ConfigMap", "name": "single", "configMap": {"name": "guides", "key": "two.md"}},
        {"type": "Runtime"},
        {"type": "Text", "text": "deep down\n", "mountPath": "notes/deep/a.md"},
        {"type": "Text", "text": "#!/bin/sh\n", "mountPath": "run.sh", "fileMode": 0o755},
        {"type": "ConfigMap", "configMap": {"name": "guides"}, "mountPath": "team"},
        {"type": "ConfigMap", "configMap": {"name": "guides", "key": "one.md"}, "mountPath": "/guides/one.md"},
        {"type": "Text", "text": "at the root\n", "mountPath": "/plain.txt"},
        {"type": "ConfigMap", "configMap": {"name": "nowhere"}, "optional": True},
        {"type": "ConfigMap", "configMap": {"name": "nowhere", "optional": True}, "mountPath": "missing"},
        {"type": "ConfigMap", "configMap": {"name": "guides", "key": "x", "optional": True}, "mountPath": "no.md"},
    ]
    credentials = [
        {"name": "env", "secretRef": {"name": "keys", "key": "token"}, "env": "API_TOKEN"},
        {"name": "file", "secretRef": {"name": "keys", "key": "pem"}, "mountPath": "/creds/key.pem"},
        {"name": "variables", "secretRef": {"name": "whole"}},
        {"name": "folder", "secretRef": {"name": "whole"}, "mountPath": "/creds/all"},
    ]
    return {"contexts": contexts, "credentials": credentials, "workspaceDir": "/data/place"}


@pytest.mark.parametrize("mode", MODES)
async def test_contexts_lie_where_they_are_wanted(house: Place, mode: str) -> None:
    await house.ended(mode)
    seen = texts(house.asked(f"look around, {mode}.")[-1], "tool")
    assert "/data/place\n" in seen
    assert "755 run.sh\n644 notes/deep/a.md\n" in seen
    for file, content in {
        "notes/deep/a.md": "deep down",
        "run.sh": "#!/bin/sh",
        "team/one.md": "Guide one.",
        "team/two.md": "Guide two.",
        "/guides/one.md": "Guide one.",
        "/plain.txt": "at the root",
    }.items():
        assert f"==> {file} <==\n{content}" in seen


@pytest.mark.parametrize("mode", MODES)
async def test_texts_reach_the_system_prompt(house: Place, mode: str) -> None:
    await house.ended(mode)
    system = texts(house.asked(f"look around, {mode}.")[0], "system")
    assert '<context name="hint" namespace="house" type="Text">\nThe hint is blue.\n</context>' in system
    assert '<file name="one.md">\nGuide one.\n</file>\n<file name="two.md">\nGuide two.\n</file>' in system
    assert 'name="single" namespace="house" type="ConfigMap">\nGuide two.\n</context>' in system
    assert "TASK_NAME" in system


@pytest.mark.parametrize("mode", MODES)
async def test_credentials_are_there_for_the_agents_tools_and_for_nobody_else(house: Place, mode: str) -> None:
    await house.ended(mode)
    seen = texts(house.asked(f"look around, {mode}.")[-1], "tool")
    digests = [hashlib.sha256(VALUES[name].encode()).hexdigest() for name in ("token", "one", "pem", "two")]
    assert "".join(f"{digest}  -\n" for digest in digests) in seen
    assert "600 /creds/key.pem" in seen
    shown = await _all_that_is_shown(house) + await house.log(f"{mode}-pod")
    assert not [value for value in VALUES.values() if value in shown]


@pytest.mark.parametrize("mode", MODES)
async def test_a_repositorys_rules_reach_the_agent_and_its_configuration_does_not(house: Place, mode: str) -> None:
    await house.ended(mode)
    request = house.asked(f"look around, {mode}.")[0]
    assert AGENTS_FILE in texts(request, "system")
    assert request["model"] == "replay"


@pytest.mark.parametrize("mode", MODES)
async def test_a_trusted_repository_changes_the_configuration(house: Place, mode: str) -> None:
    await house.ended(f"{mode}-trusting")
    request = house.asked(f"look around, {mode}-trusting.")[0]
    assert texts(request, "system").count(AGENTS_FILE) == 1
    assert request["model"] == "other"


async def _all_that_is_shown(place: Place) -> str:
    """Every object of the namespace but the Secrets."""
    shown: list[bytes] = []
    resources = (
        *(core.PODS, core.CONFIGMAPS, core.EVENTS, core.SERVICES, kinds.TASKS, kinds.AGENTS, kinds.AGENTTEMPLATES),
        *(workloads.DEPLOYMENTS, workloads.REPLICASETS),
    )
    for resource in resources:
        listed = await place.api.list(resource, place.namespace)
        shown += [msgspec.json.encode(each) for each in listed.items]
    return b"\n".join(shown).decode()
