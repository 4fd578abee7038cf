from __future__ import annotations

from typing import Any

import pytest

from kubeopencode.apiserver import builtin_types, patch, strategic
from kubeopencode.apiserver.status import Failure


@pytest.mark.parametrize(
    ("target", "change", "expected"),
    [
        ({"a": {"b": 1}}, {"a": {"c": 2}}, {"a": {"b": 1, "c": 2}}),
        ({"a": 1}, {"a": None}, {}),
        ({"a": [1]}, {"a": [2]}, {"a": [2]}),
        ({"a": 1}, {"a": {"b": None, "c": 1}}, {"a": {"c": 1}}),
    ],
)
def test_merge_patches_follow_the_standard(target: Any, change: Any, expected: Any) -> None:
    assert patch.merge(target, change) == expected


@pytest.mark.parametrize(
    ("operations", "expected"),
    [
        ([{"op": "add", "path": "/l/-", "value": 3}], {"l": [1, 2, 3]}),
        ([{"op": "add", "path": "/l/0", "value": 0}], {"l": [0, 1, 2]}),
        ([{"op": "move", "from": "/l/0", "path": "/m"}], {"l": [2], "m": 1}),
        ([{"op": "copy", "from": "/l", "path": "/m"}, {"op": "remove", "path": "/m/0"}], {"l": [1, 2], "m": [2]}),
        ([{"op": "test", "path": "/l/1", "value": 2}], {"l": [1, 2]}),
        ([{"op": "add", "path": "/a~1b", "value": 1}], {"l": [1, 2], "a/b": 1}),
    ],
)
def test_json_patches_follow_the_standard(operations: Any, expected: Any) -> None:
    document = {"l": [1, 2]}
    assert patch.apply_json(document, operations) == expected
    assert document == {"l": [1, 2]}


@pytest.mark.parametrize(
    "operations",
    [
        {},
        [{"op": "remove", "path": "/x"}],
        [{"op": "replace", "path": "/l/9", "value": 1}],
        [{"op": "nope", "path": "/l"}],
        [{"op": "add", "path": "l", "value": 1}],
        [{"op": "add", "path": "/x/y/z", "value": 1}],
        [{"path": "/l"}],
    ],
)
def test_a_json_patch_that_does_not_fit_is_refused(operations: Any) -> None:
    with pytest.raises(Failure):
        patch.apply_json({"l": [1, 2]}, operations)


def merged(target: Any, change: Any) -> Any:
    return strategic.merge(builtin_types.schema("Pod"), {"spec": target}, {"spec": change})["spec"]


def test_strategic_lists_merge_by_their_key() -> None:
    target = {"containers": [{"name": "a", "env": [{"name": "X", "value": "1"}]}]}
    change = {"containers": [{"name": "a", "env": [{"name": "Y", "value": "2"}]}]}
    assert [env["name"] for env in merged(target, change)["containers"][0]["env"]] == ["X", "Y"]


def test_strategic_directives_replace_delete_and_retain() -> None:
    target = {"volumes": [{"name": "v", "emptyDir": {}}], "nodeSelector": {"a": "1"}}
    assert merged(target, {"nodeSelector": {"$patch": "replace", "b": "2"}})["nodeSelector"] == {"b": "2"}
    assert merged(target, {"volumes": [{"name": "v", "$patch": "delete"}]})["volumes"] == []
    retained = {"volumes": [{"name": "v", "$retainKeys": ["name", "secret"], "secret": {"secretName": "s"}}]}
    assert merged(target, retained)["volumes"] == [{"name": "v", "secret": {"secretName": "s"}}]


def test_strategic_patches_take_members_out_of_sets_and_order_lists() -> None:
    root = builtin_types.schema("Pod")
    held = {"metadata": {"finalizers": ["a", "b"]}}
    change = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}}
    assert strategic.merge(root, held, change) == {"metadata": {"finalizers": ["b"]}}
    ordered = merged(
        {"containers": [{"name": "a"}, {"name": "b"}]},
        {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}], "containers": [{"name": "a", "image": "x"}]},
    )
    assert [container["name"] for container in ordered["containers"]] == ["b", "a"]


def test_a_strategic_item_needs_its_key() -> None:
    with pytest.raises(Failure, match="does not contain declared merge key: name"):
        merged({"containers": []}, {"containers": [{"image": "x"}]})
