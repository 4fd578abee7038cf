"""CustomResourceDefinitions, made from KINDS. `python -m kubeopencode.api.crds FOLDER` writes them as YAML."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

from kubeopencode.api import kinds, schema
from kubeopencode.api.meta import Json, Resource


def definition(resource: Resource[Any]) -> Json:
    """The CustomResourceDefinition of one kind, with its one version."""
    body = schema.structural(resource.type)
    properties: Json = body["properties"]
    properties["metadata"] = {"type": "object"}
    body["properties"] = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}} | properties
    body["required"] = [name for name in body.get("required", []) if name != "metadata"]
    if not body["required"]:
        del body["required"]
    version: Json = {
        "name": resource.version,
        "served": True,
        "storage": True,
        "additionalPrinterColumns": [column.as_schema() for column in resource.type.COLUMNS],
        "schema": {"openAPIV3Schema": body},
    }
    if "status" in properties:
        version["subresources"] = {"status": {}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{resource.plural}.{resource.group}"},
        "spec": {
            "group": resource.group,
            "names": _names(resource),
            "scope": "Namespaced" if resource.namespaced else "Cluster",
            "versions": [version],
        },
    }


def _names(resource: Resource[Any]) -> Json:
    return {
        "kind": resource.kind,
        "listKind": f"{resource.kind}List",
        "plural": resource.plural,
        "singular": resource.kind.lower(),
        "shortNames": list(resource.type.SHORT_NAMES),
        "categories": ["kubeopencode"],
    }


def definitions() -> list[Json]:
    """All CustomResourceDefinitions, in the order of KINDS."""
    return [definition(resource) for resource in kinds.KINDS]


def write(folder: Path) -> None:
    """Write one YAML file a kind into `folder`, which is made if it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    for crd in definitions():
        name = f"{crd['spec']['group']}_{crd['spec']['names']['plural']}.yaml"
        (folder / name).write_text("---\n" + yaml.safe_dump(crd, sort_keys=False, allow_unicode=True, width=120))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
