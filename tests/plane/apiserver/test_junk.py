"""Whatever a client sends is an answer of the 400s, never a failure of the server."""

from __future__ import annotations

import random
from typing import Any

import pytest
from tests.plane.apiserver.plane import CORE, CRD, CRDS, TASKS, Api, task

from kubeopencode.apiserver import objects

JUNK: tuple[Any, ...] = (None, 1, -1, 1.5, True, "", "x", [], {}, [None], [1], {"a": None}, [{}], [[]], "x" * 70)
CONTAINER = {
    "name": "a",
    "image": "x",
    "env": [{"name": "a", "value": "b"}],
    "ports": [{"containerPort": 1}],
    "volumeMounts": [{"name": "v", "mountPath": "/x"}],
    "livenessProbe": {"httpGet": {"port": 1}},
}
SPEC: Any = {"containers": [CONTAINER], "volumes": [{"name": "v", "secret": {"secretName": "x"}}]}
TEMPLATE: Any = {"metadata": {"labels": {"a": "b"}}, "spec": SPEC}
OWNER = {"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": "y"}
BODIES: dict[str, Any] = {
    f"{CORE}/pods": {"metadata": {"name": "p", "labels": {"a": "b"}, "ownerReferences": [OWNER]}, "spec": SPEC},
    "/apis/apps/v1/namespaces/default/deployments": {
        "metadata": {"name": "d"},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": TEMPLATE},
    },
    f"{CORE}/services": {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 1}], "selector": {"a": "b"}}},
    f"{CORE}/secrets": {"metadata": {"name": "s"}, "stringData": {"a": "b"}, "data": {"x": "eA=="}},
    f"{CORE}/events": {"metadata": {"name": "e"}, "involvedObject": {"kind": "Pod"}, "source": {"component": "x"}},
    TASKS: task("t", steps=[{"name": "a"}], tags=["x"], free={"a": 1}),
    CRDS: CRD,
    "/api/v1/namespaces": {"metadata": {"name": "n"}, "spec": {"finalizers": ["kubernetes"]}},
}


def spoiled(body: Any, dice: random.Random) -> Any:
    made = objects.copy(body)
    places: list[tuple[Any, Any]] = []

    def walk(value: Any) -> None:
        for key in value if isinstance(value, dict) else range(len(value)):
            places.append((value, key))
            if isinstance(value[key], (dict, list)):
                walk(value[key])

    walk(made)
    holder, key = dice.choice(places)
    holder[key] = dice.choice(JUNK)
    return made


@pytest.mark.parametrize("path", BODIES)
async def test_junk_is_the_clients_fault(tasks: Api, path: str) -> None:
    dice = random.Random(path)
    body = BODIES[path]
    one = f"{path}/{body['metadata']['name']}"
    await tasks.create(path, body)
    for _ in range(80):
        junk = spoiled(body, dice)
        answers = [
            await tasks.create(f"{path}?dryRun=All", junk),
            await tasks.patch(f"{one}?dryRun=All", junk, dice.choice(("merge", "strategic"))),
            await tasks.apply(f"{one}?dryRun=All", junk, "me", force=True),
            await tasks("PUT", f"{one}?dryRun=All", junk),
            await tasks.patch(
                f"{one}?dryRun=All", dice.choice(JUNK), dice.choice(("merge", "json", "strategic", "apply"))
            ),
        ]
        assert [answer.message for answer in answers if answer.code >= 500] == []
