from __future__ import annotations

import pytest

from kubeopencode.api import core, meta, volumes
from kubeopencode.node import environment

PLACE = environment.Place("local", "127.64.0.9")
POD = core.Pod(meta.ObjectMeta(name="p", namespace="ns", uid="u", labels={"app": "x"}))
SOURCES = environment.Sources(
    {"cm": core.ConfigMap(meta.ObjectMeta(name="cm"), {"a": "1", "b": "2"})},
    {"se": core.Secret(meta.ObjectMeta(name="se"), {"token": b"hush"})},
)


def resolve(*env: core.EnvVar, whole: tuple[core.EnvFromSource, ...] = ()) -> dict[str, str]:
    return environment.resolve(POD, core.Container("c", env=env, envFrom=whole), {"BASE": "b"}, SOURCES, PLACE)


def key(name: str, owner: str, wanted: str, optional: bool = False) -> core.EnvVar:
    ref = core.KeyRef(wanted, owner, optional)
    source = core.EnvVarSource(secretKeyRef=ref) if owner.startswith("se") else core.EnvVarSource(configMapKeyRef=ref)
    return core.EnvVar(name, valueFrom=source)


def test_values_may_refer_to_what_came_before_and_dollars_can_be_doubled():
    found = resolve(core.EnvVar("A", "x$(BASE)"), core.EnvVar("B", "$(A) $$(A) $(NO) $A"))
    assert (found["A"], found["B"]) == ("xb", "xb $(A) $(NO) $A")


def test_keys_come_from_config_maps_and_secrets():
    found = resolve(key("ONE", "cm", "a"), key("TWO", "se", "token"))
    assert (found["ONE"], found["TWO"]) == ("1", "hush")


@pytest.mark.parametrize(("variable", "words"), [
    (key("X", "gone", "a"), 'configmap "gone" not found'),
    (key("X", "se-gone", "a"), 'secret "se-gone" not found'),
    (key("X", "cm", "zzz"), "couldn't find key zzz in ConfigMap ns/cm"),
])  # fmt: skip
def test_what_is_missing_is_told_in_the_kubelets_words(variable: core.EnvVar, words: str):
    with pytest.raises(environment.ConfigError, match=words):
        resolve(variable)


def test_what_is_optional_may_be_missing():
    assert "X" not in resolve(key("X", "gone", "a", optional=True))


def test_whole_config_maps_get_a_prefix_and_env_wins():
    source = core.EnvFromSource("P_", configMapRef=core.ObjectRef("cm"))
    found = resolve(core.EnvVar("P_a", "mine"), whole=(source,))
    assert (found["P_a"], found["P_b"]) == ("mine", "2")


@pytest.mark.parametrize(("path", "value"), [
    ("metadata.name", "p"), ("metadata.labels['app']", "x"), ("status.podIP", "127.64.0.9"), ("spec.nodeName", "local"),
])  # fmt: skip
def test_the_downward_api_tells_of_the_pod(path: str, value: str):
    assert environment.downward(POD, path, PLACE) == value


def test_limits_are_told_in_the_unit_asked_for():
    container = core.Container("c", resources=core.ResourceRequirements(limits={"memory": "1Gi", "cpu": "1500m"}))
    assert environment.resource(container, "limits.memory", "1Mi") == "1024"
    assert environment.resource(container, "limits.cpu") == "2"


def test_secrets_do_not_show_in_representations():
    assert "hush" not in repr(SOURCES)
    assert volumes.KeyToPath("a", "b").mode is None
