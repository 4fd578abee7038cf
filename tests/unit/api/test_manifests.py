"""The manifests of the documents decode into our types, and nothing in them is lost on the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from kubeopencode.api import kinds

FOLDER = Path(__file__).parents[2] / "manifests"
BY_KIND = {resource.kind: resource for resource in kinds.KINDS}


def documents() -> list[Any]:
    """Every object of every manifest, with a readable id."""
    found: list[Any] = []
    for file in sorted(FOLDER.glob("*.yaml")):
        for index, wire in enumerate(yaml.safe_load_all(file.read_text())):
            found.append(pytest.param(wire, id=f"{file.stem}-{index}"))
    return found


def unmentioned(wire: Any, decoded: Any, path: str = "") -> list[str]:
    """Fields of `wire` that `decoded` does not have with the same value; a default may be left out."""
    if isinstance(wire, dict) and isinstance(decoded, dict):
        return [
            lost for key, value in wire.items() for lost in unmentioned(value, decoded.get(key, ...), f"{path}.{key}")
        ]
    if isinstance(wire, list) and isinstance(decoded, list) and len(wire) == len(decoded):
        pairs = enumerate(zip(wire, decoded, strict=True))
        return [lost for index, (left, right) in pairs for lost in unmentioned(left, right, f"{path}[{index}]")]
    return [] if wire == decoded else [f"{path}: {wire!r} became {decoded!r}"]


def everything(value: Any) -> Any:
    """A decoded object as plain data with its defaults spelled out, which encoding would leave out."""
    if isinstance(value, msgspec.Struct):
        return {name: everything(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, tuple | list):
        return [everything(item) for item in value]
    if isinstance(value, dict):
        return {name: everything(item) for name, item in value.items()}
    return value


def test_there_are_manifests_of_both_documents():
    names = {file.name.split("-")[0] for file in FOLDER.glob("*.yaml")}
    assert names == {"readme", "features"}


@pytest.mark.parametrize("wire", documents())
def test_a_manifest_decodes_into_the_type_of_its_kind_and_loses_nothing(wire: dict[str, Any]):
    resource = BY_KIND[wire["kind"]]
    assert wire["apiVersion"] == resource.api_version
    decoded = msgspec.convert(wire, resource.type)
    body = {key: value for key, value in wire.items() if key not in ("apiVersion", "kind")}
    assert unmentioned(body, everything(decoded)) == []


@pytest.mark.parametrize("wire", documents())
def test_a_manifest_survives_the_way_to_json_and_back(wire: dict[str, Any]):
    kind = BY_KIND[wire["kind"]].type
    decoded = msgspec.convert(wire, kind)
    assert msgspec.json.decode(msgspec.json.encode(decoded), type=kind) == decoded


def test_octal_and_decimal_file_modes_of_the_documents_mean_what_their_writers_meant():
    wire = yaml.safe_load((FOLDER / "features-03-agent-configuration.yaml").read_text())
    assert msgspec.convert(wire, kinds.AGENTS.type).spec.credentials[1].fileMode == 0o400
    wire = yaml.safe_load((FOLDER / "features-02-contexts.yaml").read_text())
    assert msgspec.convert(wire, kinds.AGENTS.type).spec.contexts[1].fileMode == 0o755
