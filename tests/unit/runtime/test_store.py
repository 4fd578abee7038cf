from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubeopencode.api import meta
from kubeopencode.runtime import store


def thing(name, version="1", namespace="ns", **labels):
    return meta.PartialObject(
        meta.ObjectMeta(name=name, namespace=namespace, resourceVersion=version, labels=labels, uid=f"uid-{name}")
    )


def by_app(found):
    return found.metadata.labels.values()


def names(found):
    return sorted(item.metadata.name for item in found)


def test_objects_are_found_by_key_namespace_and_index():
    cache = store.Store()
    cache.put(thing("early", app="x"))
    cache.add_index("app", by_app)
    cache.put(thing("late", app="x", tier="y"))
    cache.put(thing("else", namespace="other", app="z"))
    assert cache.get(meta.Key("ns", "early")).metadata.name == "early"
    assert cache.get(meta.Key("ns", "nobody")) is None
    assert names(cache.list("ns")) == ["early", "late"]
    assert names(cache.list()) == ["early", "else", "late"]
    assert names(cache.by_index("app", "x")) == ["early", "late"]
    assert names(cache.by_index("app", "y")) == ["late"]
    assert cache.by_index("app", "nothing") == []


def test_an_index_follows_what_changes_and_what_goes():
    cache = store.Store()
    cache.add_index("app", by_app)
    cache.put(thing("a", app="x"))
    change = cache.put(thing("a", "2", app="y"))
    assert (change.old.metadata.resourceVersion, change.new.metadata.resourceVersion) == ("1", "2")
    assert cache.by_index("app", "x") == []
    assert names(cache.by_index("app", "y")) == ["a"]
    assert cache.remove(meta.Key("ns", "a")).new is None
    assert cache.by_index("app", "y") == []
    assert cache.list("ns") == []
    assert cache.remove(meta.Key("ns", "a")) is None


def test_one_name_is_one_index():
    cache = store.Store()
    cache.add_index("app", by_app)
    cache.add_index("app", by_app)
    with pytest.raises(ValueError, match='already has an index "app"'):
        cache.add_index("app", lambda found: ())


def test_a_replacement_tells_the_difference_only():
    cache = store.Store()
    for name in ("stays", "changes", "goes", "kept"):
        cache.put(thing(name))
    fresh = [thing("stays"), thing("changes", "2"), thing("comes")]
    changes = cache.replace(fresh, keep={meta.Key("ns", "kept")})
    told = {change.key.name: (change.old is not None, change.new is not None) for change in changes}
    assert told == {"goes": (True, False), "changes": (True, True), "comes": (False, True)}
    assert names(cache.list()) == ["changes", "comes", "kept", "stays"]


async def test_whoever_waits_for_a_version_is_woken_when_it_is_seen():
    cache = store.Store()
    cache.advance("9")
    await cache.reached("9")
    waiting = asyncio.create_task(cache.reached("10"))
    await asyncio.sleep(0)
    assert not waiting.done()
    cache.advance("11")
    async with asyncio.timeout(1):
        await waiting


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["x", "y", None]))))
def test_an_index_never_disagrees_with_the_objects(steps):
    cache = store.Store()
    cache.add_index("app", by_app)
    for name, label in steps:
        if label is None:
            cache.remove(meta.Key("ns", name))
        else:
            cache.put(thing(name, app=label))
    for label in ("x", "y"):
        expected = [item for item in cache.list() if item.metadata.labels["app"] == label]
        assert names(cache.by_index("app", label)) == names(expected)
