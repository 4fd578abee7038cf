"""Objects as `meta.k8s.io/v1` tables, the form in which kubectl asks for lists. Pure but for the clock."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from kubeopencode.api.meta import Json
from kubeopencode.apiserver import columns, objects
from kubeopencode.apiserver.registry import Kind


def wanted(accept: str) -> bool:
    """Whether the client asks for a table."""
    return "as=Table" in accept


def partial(obj: Json) -> Json:
    """Only the metadata of an object."""
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj.get("metadata", {})}


def bookmark(holder: Json, version: str) -> Json:
    """A bookmark as table watchers expect it: one row that carries the version."""
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": version},
        "columnDefinitions": [],
        "rows": [{"cells": [], "object": holder}],
    }


class Rows:
    """How the objects of one kind become rows; `include` is None, Metadata or Object."""

    def __init__(self, kind: Kind, include: str) -> None:
        self._printers = columns.of(kind)
        self._include = include
        self._definitions: list[Json] | None = [
            {
                "name": printer.column.name,
                "type": printer.column.type,
                "format": "name" if printer.column.name == "Name" else printer.column.format,
                "description": printer.column.description,
                "priority": printer.column.priority,
            }
            for printer in self._printers
        ]

    def table(self, found: list[Json], version: str) -> Json:
        """The table of these objects."""
        now = datetime.now(UTC)
        return {
            "kind": "Table",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": {"resourceVersion": version},
            "columnDefinitions": self._definitions,
            "rows": [self._row(obj, now) for obj in found],
        }

    def _row(self, obj: Json, now: datetime) -> Json:
        cells: list[Any] = [printer.cell(obj, now) for printer in self._printers]
        row: Json = {"cells": cells}
        if self._include == "Object":
            row["object"] = obj
        elif self._include != "None":
            row["object"] = partial({"metadata": objects.metadata(obj)})
        return row
