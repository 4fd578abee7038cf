from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from kubeopencode.apiserver import fields, schema

NODE = schema.compile_schema(
    {
        "type": "object",
        "properties": {
            "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
            "keyed": {
                "type": "array",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name", "kind"],
                "items": {
                    "type": "object",
                    "properties": {"name": {"type": "string"}, "kind": {"type": "string", "default": "x"}},
                },
            },
            "plain": {"type": "array", "items": {"type": "string"}},
        },
    }
)
TREES = st.recursive(
    st.just({}), lambda below: st.dictionaries(st.sampled_from("abc"), below, max_size=3), max_leaves=8
)


def test_a_trie_names_items_by_keys_and_defaults() -> None:
    value = {"set": ["a"], "keyed": [{"name": "n", "v": 1}], "plain": ["x"]}
    assert fields.trie(NODE, value) == {
        "f:set": {'v:"a"': {}},
        "f:keyed": {'k:{"kind":"x","name":"n"}': {".": {}, "f:name": {}, "f:v": {}}},
        "f:plain": {},
    }


def test_changes_are_what_differs() -> None:
    old = {"a": 1, "b": {"c": 1, "d": 1}, "keyed": [{"name": "n", "v": 1}]}
    new = {"a": 1, "b": {"c": 2}, "keyed": [{"name": "n", "v": 2}, {"name": "m"}]}
    changed, removed = fields.changes(NODE, old, new)
    assert removed == {"f:b": {"f:d": {}}}
    assert changed == {
        "f:b": {"f:c": {}},
        "f:keyed": {
            'k:{"kind":"x","name":"n"}': {"f:v": {}},
            'k:{"kind":"x","name":"m"}': {".": {}, "f:name": {}},
        },
    }


def test_paths_are_shown_as_people_write_them() -> None:
    path = ("f:spec", "f:containers", 'k:{"name":"a"}', "f:image")
    assert fields.shown(path) == '.spec.containers[name="a"].image'


def test_values_are_found_by_path() -> None:
    value = {"keyed": [{"name": "n", "v": 1}], "set": ["a"]}
    assert fields.value_at(NODE, value, ("f:keyed", 'k:{"kind":"x","name":"n"}', "f:v")) == 1
    assert fields.value_at(NODE, value, ("f:set", 'v:"a"')) == "a"
    assert fields.value_at(NODE, value, ("f:nope",)) is None


@given(TREES, TREES)
def test_a_union_holds_the_paths_of_both(left: Any, right: Any) -> None:
    both = fields.union(left, right)
    kept = set(fields.leaves(both))
    for path in (*fields.leaves(left), *fields.leaves(right)):
        assert path in kept or any(other[: len(path)] == path for other in kept)


@given(TREES)
def test_nothing_is_left_when_everything_is_taken(tree: Any) -> None:
    assert fields.subtract(tree, tree) == {}
    assert fields.union(tree, {}) == tree
