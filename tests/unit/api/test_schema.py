"""From types to structural schemas: what an API server would refuse never leaves this room."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import msgspec
import pytest
import yaml
from msgspec import Meta

from kubeopencode.api import crds, schema

CHART = Path(__file__).parents[3] / "charts" / "kubeopencode" / "crds"
DEFINITIONS = {crd["spec"]["names"]["kind"]: crd for crd in crds.definitions()}


def body(kind: str) -> dict[str, Any]:
    """The schema of one kind."""
    return DEFINITIONS[kind]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def nodes(node: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema inside a schema, with its path."""
    yield path, node
    for name, inner in node.get("properties", {}).items():
        yield from nodes(inner, f"{path}.{name}")
    if "items" in node:
        yield from nodes(node["items"], f"{path}[]")
    if isinstance(node.get("additionalProperties"), dict):
        yield from nodes(node["additionalProperties"], f"{path}[*]")


def offenders(offends: Any) -> list[str]:
    """The paths of all schemas of all kinds that `offends` objects to."""
    return [path for kind in DEFINITIONS for path, node in nodes(body(kind), kind) if offends(node)]


class Inner(msgspec.Struct, frozen=True):
    """Something small."""

    name: str
    """What it is called.

    This paragraph is for readers of the code.
    """


class Outer(msgspec.Struct, frozen=True):
    """Something with parts.

    Only the first paragraph is for users.
    """

    RULES: ClassVar[tuple[schema.Rule, ...]] = (schema.Rule("self.count > 0", "count must be positive"),)

    count: int
    """How many."""
    parts: Annotated[tuple[Inner, ...], schema.list_map("name")] = ()
    """The parts."""
    level: Annotated[int, Meta(ge=1, le=9)] = 5
    """From 1 to 9."""
    colour: Literal["red", "blue"] = "red"
    loud: bool = False
    labels: dict[str, str] = {}
    foreign: Annotated[dict[str, Any], schema.preserved()] | None = None
    anything: Any = None
    name: Annotated[str, Meta(pattern="^[a-z]+$", min_length=1, max_length=63)] | None = None


@pytest.mark.parametrize("word", ["$ref", "$defs", "anyOf", "oneOf", "allOf", "definitions", "uniqueItems", "title"])
def test_no_schema_uses_what_structural_schemas_do_not_have(word: str):
    assert offenders(lambda node: word in node) == []


def test_every_schema_has_a_type_unless_it_keeps_unknown_fields():
    assert offenders(lambda node: "type" not in node and not node.get(schema.UNKNOWN_FIELDS)) == []


def test_no_default_is_null_or_empty():
    assert offenders(lambda node: "default" in node and node["default"] in (None, "", 0, False, [], {}, ())) == []


def test_a_default_has_the_type_of_its_field():
    types = {"string": str, "integer": int, "boolean": bool}
    assert offenders(lambda node: "default" in node and type(node["default"]) is not types[node["type"]]) == []


def test_the_keys_of_a_list_map_are_required_in_its_items():
    def offends(node: dict[str, Any]) -> bool:
        keys = node.get("x-kubernetes-list-map-keys")
        return keys is not None and not set(keys) <= set(node["items"].get("required", []))

    assert offenders(offends) == []


def test_required_fields_exist():
    assert offenders(lambda node: not set(node.get("required", [])) <= set(node.get("properties", {}))) == []


def test_properties_and_additional_properties_never_meet():
    assert offenders(lambda node: "properties" in node and "additionalProperties" in node) == []


def test_every_field_of_our_own_has_a_description():
    silent = [
        f"{path}.{name}"
        for kind in DEFINITIONS
        for path, node in nodes(body(kind), kind)
        for name, inner in node.get("properties", {}).items()
        if path != kind and not inner.get("description")
    ]
    # metav1.Condition is Kubernetes' own and documented there.
    assert [path for path in silent if ".conditions[]" not in path] == []


def test_a_schema_says_all_that_the_type_says():
    assert schema.structural(Outer) == {
        "type": "object",
        "description": "Something with parts.",
        "required": ["count"],
        "x-kubernetes-validations": [{"rule": "self.count > 0", "message": "count must be positive"}],
        "properties": {
            "count": {"type": "integer", "description": "How many."},
            "parts": {
                "type": "array",
                "description": "The parts.",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
                "items": {
                    "type": "object",
                    "description": "Something small.",
                    "required": ["name"],
                    "properties": {"name": {"type": "string", "description": "What it is called."}},
                },
            },
            "level": {"type": "integer", "minimum": 1, "maximum": 9, "default": 5, "description": "From 1 to 9."},
            "colour": {"type": "string", "enum": ["blue", "red"], "default": "red"},
            "loud": {"type": "boolean"},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "foreign": {"type": "object", schema.UNKNOWN_FIELDS: True},
            "anything": {schema.UNKNOWN_FIELDS: True},
            "name": {"type": "string", "pattern": "^[a-z]+$", "minLength": 1, "maxLength": 63},
        },
    }


class Left(msgspec.Struct, tag=True):
    """One of two."""


class Right(msgspec.Struct, tag=True):
    """The other."""


class Looped(msgspec.Struct):
    """Contains itself."""

    again: Looped | None = None


class TwoScalars(msgspec.Struct):
    field: list[int | str]


class TwoObjects(msgspec.Struct):
    field: list[Left | Right]


class Unordered(msgspec.Struct):
    field: list[set[str]]


class Fraction(msgspec.Struct):
    field: list[float]


class Bytes(msgspec.Struct):
    field: list[bytes]


class Positions(msgspec.Struct):
    field: list[tuple[int, str]]


class NumberedChoice(msgspec.Struct):
    field: list[Literal[1, 2]]


class NumberedKeys(msgspec.Struct):
    field: list[dict[int, str]]


class OpenBound(msgspec.Struct):
    field: list[Annotated[int, Meta(gt=0)]]


@pytest.mark.parametrize(
    "kind",
    [
        TwoScalars,
        TwoObjects,
        Unordered,
        Fraction,
        Bytes,
        Positions,
        NumberedChoice,
        NumberedKeys,
        OpenBound,
    ],
)
def test_what_cannot_be_expressed_raises_with_its_path(kind: type[msgspec.Struct]):
    with pytest.raises(schema.InexpressibleError, match=rf"{kind.__name__}\.field\[\]"):
        schema.structural(kind)


def test_recursion_raises_with_its_path():
    with pytest.raises(schema.InexpressibleError, match=r"Looped\.again: Looped contains itself"):
        schema.structural(Looped)


@pytest.mark.parametrize("kind", sorted(DEFINITIONS))
def test_the_committed_definition_is_current(kind: str):
    crd = DEFINITIONS[kind]
    file = CHART / f"kubeopencode.io_{crd['spec']['names']['plural']}.yaml"
    assert yaml.safe_load(file.read_text()) == crd, "run `make generate`"


def test_the_chart_has_no_other_definitions():
    assert len(list(CHART.glob("*.yaml"))) == len(DEFINITIONS)


def test_writing_twice_gives_the_same_bytes(tmp_path: Path):
    crds.write(tmp_path / "one")
    crds.write(tmp_path / "two")
    for file in (tmp_path / "one").iterdir():
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes()
