from __future__ import annotations

from typing import Any

import pytest
from tests.plane.apiserver.plane import CRD, CRDS, TASKS, Api, task


async def test_a_definition_is_established_and_completed(tasks: Api) -> None:
    found = (await tasks.get(f"{CRDS}/tasks.example.io")).json
    assert {c["type"]: c["status"] for c in found["status"]["conditions"]} == {
        "Established": "True",
        "NamesAccepted": "True",
    }
    assert found["status"]["storedVersions"] == ["v1"]
    assert found["spec"]["names"]["listKind"] == "TaskList"


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ({"size": 0}, "spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1"),
        ({"size": "x"}, 'spec.size: Invalid value: "string": spec.size in body must be of type integer: "string"'),
        ({"mode": "C"}, 'spec.mode: Unsupported value: "C": supported values: "A", "B"'),
        ({"name": "A1"}, "spec.name: Invalid value: \"A1\": spec.name in body should match '^[a-z]+$'"),
        ({"name": "abcdef"}, "spec.name: Too long: may not be more than 5 bytes"),
        ({"port": True}, 'spec.port: Invalid value: "boolean"'),
        ({"steps": [{"name": "a"}, {"name": "a"}]}, 'spec.steps[1]: Duplicate value: {"name":"a"}'),
        ({"tags": ["a", "a"]}, 'spec.tags[1]: Duplicate value: "a"'),
        ({"steps": [{}]}, "spec.steps[0].name: Required value"),
        ({"size": 11}, 'spec: Invalid value: "object": too big'),
    ],
)
async def test_a_wrong_field_is_named(tasks: Api, spec: dict[str, Any], complaint: str) -> None:
    answer = await tasks.create(TASKS, {"metadata": {"name": "t"}, "spec": {"size": 1} | spec})
    assert answer.code == 422
    assert complaint in answer.message
    assert answer.message.startswith('Task.example.io "t" is invalid: ')


async def test_defaults_are_filled_in_and_unknown_fields_dropped(tasks: Api) -> None:
    body = task("t", unknown=1, free={"any": {"thing": 1}}, steps=[{"name": "a"}])
    answer = await tasks.create(TASKS, body)
    assert answer.json["spec"] == {
        "size": 1,
        "mode": "A",
        "free": {"any": {"thing": 1}},
        "steps": [{"name": "a", "run": "x"}],
    }
    assert answer.headers["Warning"] == '299 - "unknown field \\"spec.unknown\\""'


async def test_strict_clients_hear_of_unknown_fields(tasks: Api) -> None:
    answer = await tasks.create(f"{TASKS}?fieldValidation=Strict", task("t", unknown=1))
    assert answer.code == 400
    assert 'strict decoding error: unknown field "spec.unknown"' in answer.message


async def test_rules_compare_with_the_old_object(tasks: Api) -> None:
    await tasks.create(TASKS, task("t", size=5))
    answer = await tasks.patch(f"{TASKS}/t", {"spec": {"size": 4}})
    assert (answer.code, answer.message.endswith('Invalid value: "object": only up from 5')) == (422, True)
    assert (await tasks.patch(f"{TASKS}/t", {"spec": {"size": 6}})).code == 200


async def test_a_changed_schema_counts_at_once(tasks: Api) -> None:
    change = [{"op": "replace", "path": f"{SCHEMA}/properties/spec/properties/size/minimum", "value": 3}]
    assert (await tasks.patch(f"{CRDS}/tasks.example.io", change, "json")).code == 200
    assert (await tasks.create(TASKS, task("t"))).code == 422


SCHEMA = "/spec/versions/0/schema/openAPIV3Schema"


async def test_the_objects_go_with_their_definition(tasks: Api) -> None:
    await tasks.create(TASKS, task("t"))
    await tasks.delete(f"{CRDS}/tasks.example.io")
    assert (await tasks.get(TASKS)).code == 404
    await tasks.create(CRDS, CRD)
    assert (await tasks.get(TASKS)).json["items"] == []


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        ("/metadata/name", "wrong.example.io", 'must be spec.names.plural+"."+spec.group'),
        ("/spec/scope", "Everywhere", 'spec.scope: Unsupported value: "Everywhere"'),
        (f"{SCHEMA}/properties/spec/properties/size", {"minimum": 1}, "type: Required value"),
        (f"{SCHEMA}/properties/spec/x-kubernetes-validations/0/rule", "self.size <", "compilation failed"),
    ],
)
async def test_a_wrong_definition_is_refused(api: Api, path: str, value: Any, complaint: str) -> None:
    from kubeopencode.apiserver import patch

    answer = await api.create(CRDS, patch.apply_json(CRD, [{"op": "replace", "path": path, "value": value}]))
    assert answer.code == 422
    assert complaint in answer.message


async def test_discovery_and_openapi_know_custom_kinds(tasks: Api) -> None:
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    groups = (await tasks.get("/apis", Accept=accept)).json["items"]
    [group] = [found for found in groups if found["metadata"]["name"] == "example.io"]
    [resource] = group["versions"][0]["resources"]
    assert (resource["resource"], resource["shortNames"]) == ("tasks", ["tk"])
    assert {sub["subresource"] for sub in resource["subresources"]} == {"status", "scale"}
    document = (await tasks.get("/openapi/v3/apis/example.io/v1")).json
    assert "size" in document["components"]["schemas"]["io.example.v1.Task"]["properties"]["spec"]["properties"]
    parameters = document["paths"]["/apis/example.io/v1/namespaces/{namespace}/tasks/{name}"]["patch"]["parameters"]
    assert "fieldValidation" in {parameter["name"] for parameter in parameters}
