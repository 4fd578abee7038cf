from __future__ import annotations

import aiohttp
from tests.plane.apiserver.plane import CORE, TASKS, Api, config_map, event, task

from kubeopencode.apiserver.server import ApiServer

MAPS = f"{CORE}/configmaps"


async def test_a_created_object_has_what_the_server_gives_it(api: Api) -> None:
    made = (await api.create(MAPS, config_map("a", x="y"))).json
    assert made["apiVersion"] == "v1"
    assert made["kind"] == "ConfigMap"
    assert made["metadata"]["uid"]
    assert made["metadata"]["creationTimestamp"]
    assert int(made["metadata"]["resourceVersion"]) > 1
    assert (await api.get(f"{MAPS}/a")).json == made


async def test_a_name_is_taken_once(api: Api) -> None:
    await api.create(MAPS, config_map("a"))
    answer = await api.create(MAPS, config_map("a"))
    assert (answer.code, answer.json["reason"]) == (409, "AlreadyExists")
    assert answer.message == 'configmaps "a" already exists'


async def test_what_is_missing_is_named(api: Api) -> None:
    answer = await api.get(f"{MAPS}/nope")
    assert (answer.code, answer.message) == (404, 'configmaps "nope" not found')
    assert (await api.get("/apis/nope.io/v1/things")).code == 404
    answer = await api.create("/api/v1/namespaces/nope/configmaps", config_map("a"))
    assert (answer.code, answer.message) == (404, 'namespaces "nope" not found')


async def test_a_bad_name_is_refused_in_the_real_servers_words(api: Api) -> None:
    answer = await api.create(MAPS, config_map("Bad_Name"))
    assert answer.code == 422
    assert answer.message.startswith(
        'ConfigMap "Bad_Name" is invalid: metadata.name: Invalid value: "Bad_Name": a lowercase RFC 1123 subdomain must'
    )


async def test_generate_name_makes_different_names(api: Api) -> None:
    body = {"metadata": {"generateName": "a-"}}
    names = {(await api.create(MAPS, body)).json["metadata"]["name"] for _ in range(5)}
    assert len(names) == 5
    assert all(name.startswith("a-") and len(name) == 7 for name in names)


async def test_dry_run_stores_nothing(api: Api) -> None:
    assert (await api.create(f"{MAPS}?dryRun=All", config_map("a"))).code == 201
    assert (await api.get(f"{MAPS}/a")).code == 404


async def test_a_stale_put_is_a_conflict_and_changes_nothing(api: Api) -> None:
    made = (await api.create(MAPS, config_map("a", x="1"))).json
    await api.patch(f"{MAPS}/a", {"data": {"x": "2"}})
    made["data"]["x"] = "3"
    answer = await api("PUT", f"{MAPS}/a", made)
    assert answer.code == 409
    assert answer.message == (
        'Operation cannot be fulfilled on configmaps "a": the object has been modified; please apply your changes to '
        "the latest version and try again"
    )
    assert (await api.get(f"{MAPS}/a")).json["data"] == {"x": "2"}


async def test_a_write_that_changes_nothing_keeps_the_version(api: Api) -> None:
    made = (await api.create(MAPS, config_map("a", x="1"))).json
    again = (await api.patch(f"{MAPS}/a", {"data": {"x": "1"}})).json
    assert again["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


async def test_json_patches_apply_in_order_or_not_at_all(api: Api) -> None:
    await api.create(MAPS, config_map("a", x="1"))
    good = [{"op": "add", "path": "/data/b", "value": "2"}, {"op": "remove", "path": "/data/x"}]
    assert (await api.patch(f"{MAPS}/a", good, "json")).json["data"] == {"b": "2"}
    bad = [{"op": "add", "path": "/data/z", "value": "1"}, {"op": "test", "path": "/data/z", "value": "2"}]
    assert (await api.patch(f"{MAPS}/a", bad, "json")).code == 422
    assert "z" not in (await api.get(f"{MAPS}/a")).json.get("data", {})


async def test_strategic_patches_merge_containers_by_name(api: Api) -> None:
    spec = {"containers": [{"name": "a", "image": "x"}, {"name": "b", "image": "y"}]}
    await api.create(f"{CORE}/pods", {"metadata": {"name": "p"}, "spec": spec})
    change = {"spec": {"containers": [{"name": "b", "image": "z"}, {"name": "a", "$patch": "delete"}]}}
    answer = await api.patch(f"{CORE}/pods/p", change, "strategic")
    assert [(c["name"], c["image"]) for c in answer.json["spec"]["containers"]] == [("b", "z")]


async def test_selectors_choose(api: Api) -> None:
    for name, labels in (("a", {"t": "1"}), ("b", {"t": "2", "u": "x"}), ("c", {})):
        await api.create(MAPS, config_map(name, labels))

    async def names(query: str) -> list[str]:
        return [item["metadata"]["name"] for item in (await api.get(f"{MAPS}?{query}")).json["items"]]

    assert await names("labelSelector=t%3D1") == ["a"]
    assert await names("labelSelector=t in (1,2)") == ["a", "b"]
    assert await names("labelSelector=t notin (1)") == ["b", "c"]
    assert await names("labelSelector=!t") == ["c"]
    assert await names("labelSelector=t,u!=y") == ["a", "b"]
    assert await names("fieldSelector=metadata.name!=a") == ["b", "c"]
    assert (await api.get(f"{MAPS}?fieldSelector=spec.x=1")).code == 400
    assert (await api.get(f"{MAPS}?labelSelector=a==b==c")).code == 400


async def test_pages_cover_everything_once(api: Api) -> None:
    for index in range(7):
        await api.create(MAPS, config_map(f"m{index}"))
    seen: list[str] = []
    token = ""
    while True:
        page = (await api.get(f"{MAPS}?limit=3&continue={token}")).json
        seen += [item["metadata"]["name"] for item in page["items"]]
        token = page["metadata"].get("continue", "")
        if not token:
            break
    assert seen == [f"m{index}" for index in range(7)]


async def test_status_and_spec_are_written_apart(tasks: Api) -> None:
    made = await tasks.create(TASKS, task("t") | {"status": {"x": 1}})
    assert "status" not in made.json
    await tasks.patch(f"{TASKS}/t/status", {"status": {"x": 2}, "spec": {"size": 5}})
    await tasks.patch(f"{TASKS}/t", {"status": {"x": 3}, "spec": {"size": 2}})
    found = (await tasks.get(f"{TASKS}/t")).json
    assert (found["spec"]["size"], found["status"], found["metadata"]["generation"]) == (2, {"x": 2}, 2)


async def test_scale_shows_and_changes_the_replicas(tasks: Api) -> None:
    await tasks.create(TASKS, task("t"))
    assert (await tasks.get(f"{TASKS}/t/scale")).json["spec"] == {"replicas": 1}
    await tasks.patch(f"{TASKS}/t/scale", {"spec": {"replicas": 3}})
    assert (await tasks.get(f"{TASKS}/t")).json["spec"]["size"] == 3


async def test_a_finalizer_holds_an_object_until_it_is_taken_away(api: Api) -> None:
    await api.create(MAPS, {"metadata": {"name": "a", "finalizers": ["example.io/hold"]}})
    assert (await api.delete(f"{MAPS}/a")).json["metadata"]["deletionTimestamp"]
    refused = await api.patch(f"{MAPS}/a", {"metadata": {"finalizers": ["example.io/hold", "example.io/more"]}})
    assert refused.code == 422
    await api.patch(f"{MAPS}/a", {"metadata": {"finalizers": None}})
    assert (await api.get(f"{MAPS}/a")).code == 404


async def test_a_deletion_can_insist_on_an_identity(api: Api) -> None:
    made = (await api.create(MAPS, config_map("a"))).json
    assert (await api.delete(f"{MAPS}/a", {"preconditions": {"uid": "other"}})).code == 409
    assert (await api.delete(f"{MAPS}/a", {"preconditions": {"uid": made["metadata"]["uid"]}})).code == 200


async def test_a_bound_pod_waits_for_its_kubelet(api: Api) -> None:
    spec = {"nodeName": "here", "containers": [{"name": "a", "image": "x"}]}
    await api.create(f"{CORE}/pods", {"metadata": {"name": "p"}, "spec": spec})
    left = (await api.delete(f"{CORE}/pods/p")).json
    assert left["metadata"]["deletionGracePeriodSeconds"] == 30
    assert (await api.delete(f"{CORE}/pods/p", {"gracePeriodSeconds": 0})).json["status"] == "Success"
    assert (await api.get(f"{CORE}/pods/p")).code == 404


def owned(name: str, owner: dict[str, object], **more: object) -> dict[str, object]:
    meta = owner["metadata"]
    assert isinstance(meta, dict)
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": meta["name"], "uid": meta["uid"]} | more
    return {"metadata": {"name": name, "ownerReferences": [reference]}}


async def test_dependents_go_with_their_owner(api: Api) -> None:
    owner = (await api.create(MAPS, config_map("owner"))).json
    child = (await api.create(MAPS, owned("child", owner))).json
    await api.create(MAPS, owned("grandchild", child))
    await api.delete(f"{MAPS}/owner")
    await api.gone(f"{MAPS}/grandchild")
    assert (await api.get(MAPS)).json["items"] == []


async def test_an_owner_that_never_was_takes_its_dependents(api: Api) -> None:
    await api.create(MAPS, owned("child", {"metadata": {"name": "x", "uid": "never"}}))
    await api.gone(f"{MAPS}/child")


async def test_orphans_stay(api: Api) -> None:
    owner = (await api.create(MAPS, config_map("owner"))).json
    await api.create(MAPS, owned("child", owner))
    await api.delete(f"{MAPS}/owner", {"propagationPolicy": "Orphan"})
    assert (await api.get(f"{MAPS}/owner")).code == 404
    assert "ownerReferences" not in (await api.get(f"{MAPS}/child")).json["metadata"]


async def test_a_foreground_deletion_waits_for_dependents(api: Api) -> None:
    owner = (await api.create(MAPS, config_map("owner"))).json
    child = owned("child", owner, blockOwnerDeletion=True)
    child["metadata"] |= {"finalizers": ["example.io/hold"]}  # type: ignore[operator]
    await api.create(MAPS, child)
    assert (await api.delete(f"{MAPS}/owner", {"propagationPolicy": "Foreground"})).json["metadata"]["finalizers"]
    assert (await api.get(f"{MAPS}/owner")).code == 200
    await api.patch(f"{MAPS}/child", {"metadata": {"finalizers": None}})
    await api.delete(f"{MAPS}/child")
    await api.gone(f"{MAPS}/owner")


async def test_a_namespace_takes_everything_along(tasks: Api) -> None:
    await tasks.create("/api/v1/namespaces", {"metadata": {"name": "n"}})
    await tasks.create("/api/v1/namespaces/n/configmaps", config_map("a"))
    await tasks.create("/apis/example.io/v1/namespaces/n/tasks", task("t"))
    left = await tasks.delete("/api/v1/namespaces/n")
    assert left.json["status"]["phase"] == "Terminating"
    await tasks.gone("/api/v1/namespaces/n")
    assert (await tasks.get("/apis/example.io/v1/tasks")).json["items"] == []


async def test_a_collection_is_deleted_by_selector(api: Api) -> None:
    await api.create(MAPS, config_map("a", {"t": "1"}))
    await api.create(MAPS, config_map("b"))
    await api.delete(f"{MAPS}?labelSelector=t=1")
    assert [item["metadata"]["name"] for item in (await api.get(MAPS)).json["items"]] == ["b"]


async def test_secrets_keep_texts_as_data(api: Api) -> None:
    made = await api.create(f"{CORE}/secrets", {"metadata": {"name": "s"}, "stringData": {"a": "b"}})
    assert (made.json["data"], made.json["type"], "stringData" in made.json) == ({"a": "Yg=="}, "Opaque", False)


async def test_an_oversized_body_is_refused(api: Api) -> None:
    assert (await api.create(MAPS, config_map("a", x="y" * 1_600_000))).code == 413
    assert (await api.create(MAPS, config_map("a", x="y" * 3_200_000))).code == 413


async def test_events_are_one_storage_seen_twice(api: Api) -> None:
    body = {
        "metadata": {"name": "e"},
        "note": "hello",
        "reason": "R",
        "type": "Normal",
        "regarding": {"kind": "Pod", "name": "p"},
        "reportingController": "me",
    }
    await api.create("/apis/events.k8s.io/v1/namespaces/default/events", body)
    listed = await api.get(f"{CORE}/events?fieldSelector=involvedObject.name=p,involvedObject.kind=Pod")
    [found] = listed.json["items"]
    assert (found["apiVersion"], found["message"], found["source"]) == ("v1", "hello", {"component": "me"})


async def test_an_unwanted_token_is_refused_over_tcp(server: ApiServer, api: Api) -> None:
    port = await server.listen_tcp("127.0.0.1", 0, None)
    async with aiohttp.ClientSession() as session:
        async with session.get(f"http://127.0.0.1:{port}/api/v1/namespaces") as answer:
            assert answer.status == 401
        headers = {"Authorization": "Bearer secret"}
        async with session.get(f"http://127.0.0.1:{port}/api/v1/namespaces", headers=headers) as answer:
            assert answer.status == 200


async def test_a_table_shows_columns(tasks: Api) -> None:
    await tasks.create(TASKS, task("t"))
    conditions = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    await tasks.patch(f"{TASKS}/t/status", conditions)
    table = (await tasks.get(TASKS, Accept="application/json;as=Table;v=v1;g=meta.k8s.io")).json
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Size", "Ready"]
    assert table["rows"][0]["cells"] == ["t", 1, "True"]
    async with tasks.session.get(
        f"{TASKS}?watch=true", headers={"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    ) as response:
        assert (await event(response))["object"]["kind"] == "Table"
