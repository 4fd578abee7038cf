from __future__ import annotations

from typing import Any

from tests.plane.apiserver.plane import CORE, TASKS, Api, task

MAP = f"{CORE}/configmaps/m"


def config(**data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": data}


async def test_apply_creates_and_then_changes_nothing(api: Api) -> None:
    first = await api.apply(MAP, config(a="1"), "one")
    again = await api.apply(MAP, config(a="1"), "one")
    assert (first.code, again.code) == (201, 200)
    assert first.json["metadata"]["resourceVersion"] == again.json["metadata"]["resourceVersion"]
    [entry] = first.json["metadata"]["managedFields"]
    assert (entry["manager"], entry["operation"], entry["fieldsV1"]) == ("one", "Apply", {"f:data": {"f:a": {}}})


async def test_what_a_manager_no_longer_says_goes_unless_another_says_it(api: Api) -> None:
    await api.apply(MAP, config(a="1", b="2", c="3"), "one")
    await api.apply(MAP, config(b="2"), "two")
    found = await api.apply(MAP, config(a="1"), "one")
    assert found.json["data"] == {"a": "1", "b": "2"}


async def test_a_conflict_names_the_manager_and_the_field(api: Api) -> None:
    await api.apply(MAP, config(a="1"), "one")
    answer = await api.apply(MAP, config(a="2"), "two")
    assert answer.code == 409
    assert answer.message == 'Apply failed with 1 conflict: conflict with "one": .data.a'
    assert answer.json["details"]["causes"][0]["reason"] == "FieldManagerConflict"
    forced = await api.apply(MAP, config(a="2"), "two", force=True)
    assert forced.json["data"] == {"a": "2"}
    assert [entry["manager"] for entry in forced.json["metadata"]["managedFields"]] == ["two"]


async def test_an_update_takes_a_field_over(api: Api) -> None:
    await api.apply(MAP, config(a="1", b="1"), "one")
    await api.patch(f"{MAP}?fieldManager=editor", {"data": {"a": "2"}})
    answer = await api.apply(MAP, config(a="1", b="1"), "one")
    assert answer.message == 'Apply failed with 1 conflict: conflict with "editor" using v1: .data.a'


async def test_two_managers_share_a_list_by_its_keys(tasks: Api) -> None:
    path = f"{TASKS}/t"
    await tasks.apply(path, task("t", steps=[{"name": "a", "run": "1"}]), "one")
    other = {"apiVersion": "example.io/v1", "kind": "Task", "metadata": {"name": "t"}}
    await tasks.apply(path, other | {"spec": {"steps": [{"name": "b", "run": "2"}], "tags": ["x"]}}, "two")
    found = await tasks.apply(path, task("t", steps=[{"name": "c"}]), "one")
    assert [step["name"] for step in found.json["spec"]["steps"]] == ["b", "c"]
    assert found.json["spec"]["tags"] == ["x"]


async def test_status_is_applied_apart(tasks: Api) -> None:
    await tasks.apply(f"{TASKS}/t", task("t"), "one")
    body = {"apiVersion": "example.io/v1", "kind": "Task", "metadata": {"name": "t"}, "status": {"phase": "Done"}}
    answer = await tasks.apply(f"{TASKS}/t/status", body, "controller")
    assert answer.json["status"] == {"phase": "Done"}
    assert answer.json["spec"]["size"] == 1
    assert (await tasks.apply(f"{TASKS}/t", task("t"), "one")).json["status"] == {"phase": "Done"}


async def test_the_same_port_may_be_open_for_two_protocols(api: Api) -> None:
    ports = [{"port": 53, "protocol": "UDP", "name": "u"}, {"port": 53, "name": "t"}]
    body = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": ports}}
    await api.apply(f"{CORE}/services/s", body, "one")
    again = await api.apply(f"{CORE}/services/s", body, "one")
    assert [(port["port"], port["protocol"]) for port in again.json["spec"]["ports"]] == [(53, "UDP"), (53, "TCP")]
