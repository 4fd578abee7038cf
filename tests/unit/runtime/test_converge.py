from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.patches import merged
from kubeopencode.api import core, meta
from kubeopencode.runtime import converge, difference

OWNER = converge.Owner("example.org/v1", "Boss", meta.Key("ns", "boss"), "uid-boss")
PATH = "/api/v1/namespaces/ns/configmaps/x"
KINDS = (
    converge.Kind(core.CONFIGMAPS),
    converge.Kind(core.PODS, converge.Policy.ONCE),
    converge.Kind(core.SECRETS, converge.Policy.BLIND),
)


@pytest.fixture
def converger(api):
    return converge.Converger(api.client, KINDS, uid_label="example.org/owner-uid")


def config_map(**data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "labels": {"app": "x"}}, "data": data}


async def test_what_is_absent_is_created_with_its_owner_on_it(api, converger):
    changes = await converger.converge(OWNER, [config_map(a="1")])
    assert [str(ref) for ref in changes.created] == ["ConfigMap ns/x"]
    live = api.objects[PATH]
    assert live["metadata"]["ownerReferences"] == [OWNER.reference()]
    assert live["data"] == {"a": "1"}


async def test_what_is_right_is_not_written(api, converger):
    await converger.converge(OWNER, [config_map(a="1")])
    api.objects[PATH]["data"]["theirs"] = "kept"
    api.objects[PATH]["metadata"]["annotations"] = {"somebody": "else"}
    before = len(api.writes)
    assert not await converger.converge(OWNER, [config_map(a="1")])
    assert len(api.writes) == before


async def test_only_the_fields_that_differ_are_patched(api, converger):
    await converger.converge(OWNER, [config_map(a="1", b="2")])
    version = api.objects[PATH]["metadata"]["resourceVersion"]
    changes = await converger.converge(OWNER, [config_map(a="1", b="3")])
    assert [str(ref) for ref in changes.patched] == ["ConfigMap ns/x"]
    assert api.writes[-1] == ("patch", PATH, {"data": {"b": "3"}, "metadata": {"resourceVersion": version}})


@pytest.mark.parametrize("owners", [[], [{**OWNER.reference(), "uid": "uid-of-a-former-boss"}]])
async def test_what_somebody_else_owns_is_refused_and_not_touched(api, converger, owners):
    api.keep(PATH, {"metadata": {"name": "x", "namespace": "ns", "ownerReferences": owners}, "data": {"a": "theirs"}})
    with pytest.raises(converge.NameConflict, match=r"ConfigMap ns/x belongs to .*choose another name"):
        await converger.converge(OWNER, [config_map(a="1")])
    assert api.writes == []


async def test_an_object_that_is_being_deleted_is_left_alone_and_reported(api, converger):
    await converger.converge(OWNER, [config_map(a="1")])
    api.objects[PATH]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    changes = await converger.converge(OWNER, [config_map(a="2")])
    assert [str(ref) for ref in changes.leaving] == ["ConfigMap ns/x"]
    assert len(api.writes) == 1


async def test_a_pod_is_made_once_and_never_patched(api, converger):
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [{"image": "one"}]}}
    await converger.converge(OWNER, [pod])
    await converger.converge(OWNER, [{**pod, "spec": {"containers": [{"image": "two"}]}}])
    assert [verb for verb, _, _ in api.writes] == ["create"]


async def test_a_secret_is_made_and_never_read(api, converger):
    def never(path, body):
        raise AssertionError("a Secret was read")

    api.get = never
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"a": "b"}}
    assert (await converger.converge(OWNER, [secret])).created
    assert not await converger.converge(OWNER, [secret])


async def test_in_another_namespace_a_label_says_whose_it_is(api, converger):
    body = config_map(a="1")
    body["metadata"]["namespace"] = "far"
    await converger.converge(OWNER, [body])
    (live,) = api.objects.values()
    assert "ownerReferences" not in live["metadata"]
    assert live["metadata"]["labels"] == {"app": "x", "example.org/owner-uid": "uid-boss"}
    assert not await converger.converge(OWNER, [body])
    live["metadata"]["labels"]["example.org/owner-uid"] = "another"
    with pytest.raises(converge.NameConflict):
        await converger.converge(OWNER, [body])


async def test_a_kind_nobody_declared_is_an_error_of_ours(converger):
    with pytest.raises(ValueError, match="apps/v1 Deployment is not among the kinds"):
        await converger.converge(OWNER, [{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}}])


async def test_pruning_deletes_only_what_is_ours_and_not_wanted(api, converger):
    found = []
    for name, uid in (("keep", "uid-boss"), ("extra", "uid-boss"), ("theirs", "uid-other")):
        reference = {**OWNER.reference(), "uid": uid}
        path = f"/api/v1/namespaces/ns/configmaps/{name}"
        api.keep(path, {"metadata": {"name": name, "namespace": "ns", "ownerReferences": [reference]}})
        found.append(await api.client.get(core.CONFIGMAPS, name, "ns"))
    deleted = await converger.prune(OWNER, core.CONFIGMAPS, found, keep={meta.Key("ns", "keep")})
    assert deleted == [meta.Key("ns", "extra")]
    assert sorted(path.rpartition("/")[2] for path in api.objects) == ["keep", "theirs"]


async def test_pruning_spares_a_new_object_under_an_old_name(api, converger):
    body = {"metadata": {"name": "x", "namespace": "ns", "ownerReferences": [OWNER.reference()]}}
    api.keep(PATH, body)
    old = await api.client.get(core.CONFIGMAPS, "x", "ns")
    api.objects[PATH]["metadata"]["uid"] = "another"
    assert await converger.prune(OWNER, core.CONFIGMAPS, [old]) == []
    assert PATH in api.objects


@pytest.mark.parametrize(
    ("desired", "live"),
    [
        ({"spec": {"a": 1}}, {"spec": {"a": 1, "b": 2}}),
        ({"spec": {"list": [{"name": "x"}]}}, {"spec": {"list": [{"name": "x", "defaulted": True}]}}),
        ({"spec": {"off": False, "none": {}, "no": []}}, {"spec": {}}),
        (
            {"spec": {"limits": {"cpu": "0.5", "memory": "1024Mi"}}},
            {"spec": {"limits": {"cpu": "500m", "memory": "1Gi"}}},
        ),
        ({"spec": {"requests": {"cpu": 1}}}, {"spec": {"requests": {"cpu": "1"}}}),
        ({"metadata": {"name": "x", "labels": {"a": "b"}}}, {"metadata": {"labels": {"a": "b", "c": "d"}}}),
        ({"spec": {"gone": None}}, {"spec": {}}),
        ({"status": {"x": 1}}, {"status": {"x": 2}}),
    ],
)
def test_these_are_no_differences(desired, live):
    assert difference.merge_patch(desired, live) == {}


@pytest.mark.parametrize(
    ("desired", "live", "patch"),
    [
        ({"spec": {"a": 1}}, {"spec": {"a": 2, "b": 2}}, {"spec": {"a": 1}}),
        ({"spec": {"a": 0}}, {"spec": {"a": 1}}, {"spec": {"a": 0}}),
        ({"spec": {"a": True}}, {"spec": {"a": 1}}, {"spec": {"a": True}}),
        ({"spec": {"a": [1, 2]}}, {"spec": {"a": [1]}}, {"spec": {"a": [1, 2]}}),
        ({"spec": {"gone": None}}, {"spec": {"gone": 1}}, {"spec": {"gone": None}}),
        ({"spec": {"limits": {"cpu": "1"}}}, {"spec": {"limits": {"cpu": "2"}}}, {"spec": {"limits": {"cpu": "1"}}}),
        ({"data": {"a": "1000m"}}, {"data": {"a": "1"}}, {"data": {"a": "1000m"}}),
        ({"metadata": {"labels": {"a": "b"}}}, {"metadata": {}}, {"metadata": {"labels": {"a": "b"}}}),
    ],
)
def test_these_are_differences(desired, live, patch):
    assert difference.merge_patch(desired, live) == patch


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["", "a", "1000m", "1"]),
    lambda inner: (
        st.lists(inner.filter(lambda value: value is not None), max_size=2)
        | st.dictionaries(st.sampled_from(["a", "b", "limits"]), inner, max_size=2)
    ),
    max_leaves=8,
)
SPECS = st.fixed_dictionaries({"spec": st.dictionaries(st.sampled_from(["a", "b", "requests"]), VALUES, max_size=3)})


@given(desired=SPECS, live=SPECS)
def test_after_a_patch_nothing_differs(desired, live):
    """So an object is written at most once for each change of what is wanted."""
    assert difference.merge_patch(desired, merged(live, difference.merge_patch(desired, live))) == {}
