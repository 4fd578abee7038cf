"""What a table shows of each kind: a column and how its cell is read. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kubeopencode.api.meta import Json
from kubeopencode.apiserver import jsonpath, objects, printers
from kubeopencode.apiserver.registry import Column, Kind

Cell = Callable[[Json, datetime], Any]


@dataclass(frozen=True)
class Printer:
    """A column and the function that fills its cells."""

    column: Column
    cell: Cell


def _name(obj: Json, _: datetime) -> str:
    return str(objects.metadata(obj).get("name", ""))


def age(since: Any, now: datetime) -> str:
    """How long ago, as kubectl shortens it: 5s, 3m20s, 2h5m, 4d."""
    moment = objects.moment(since)
    if moment is None:
        return "<unknown>"
    seconds = max(0, int((now - moment).total_seconds()))
    for limit, unit, divisor, rest, small in _STEPS:
        if seconds < limit:
            big, left = divmod(seconds, divisor)
            return f"{big}{unit}{left // rest}{small}" if rest and left // rest else f"{big}{unit}"
    return f"{seconds // 31_536_000}y"


_STEPS = (
    (120, "s", 1, 0, ""),
    (600, "m", 60, 1, "s"),
    (10_800, "m", 60, 0, ""),
    (28_800, "h", 3600, 60, "m"),
    (172_800, "h", 3600, 0, ""),
    (691_200, "d", 86_400, 3600, "h"),
    (63_072_000, "d", 86_400, 0, ""),
)


def _age(obj: Json, now: datetime) -> str:
    return age(objects.metadata(obj).get("creationTimestamp"), now)


NAME = Printer(Column("Name", "string", "", "The name of the object, unique in its namespace."), _name)
AGE = Printer(Column("Age", "string", "", "The time since the object was created."), _age)


def _custom(column: Column) -> Printer:
    path = jsonpath.compile_path(column.path)

    def cell(obj: Json, now: datetime) -> Any:
        found = path(obj)
        if not found:
            return None
        value = found[0]
        if column.type == "date":
            return age(value, now)
        if column.type in ("integer", "number", "boolean"):
            return value
        if len(found) > 1 or isinstance(value, (dict, list)):
            return objects.encode(found if len(found) > 1 else value).decode()
        return str(value).lower() if isinstance(value, bool) else str(value)

    return Printer(
        Column(
            column.name,
            "string" if column.type == "date" else column.type,
            "",
            column.description,
            column.priority,
            column.format,
        ),
        cell,
    )


def _built_in(kind: Kind) -> list[Printer]:
    made = [NAME]
    for row in printers.TABLE[kind.kind]:
        if isinstance(row, str):
            made.append(AGE)
            continue
        name, type_name, priority, read = row
        made.append(Printer(Column(name, type_name, "", "", priority), _timeless(read)))
    return made


def _timeless(read: Callable[[Json], Any]) -> Cell:
    return lambda obj, _: read(obj)


def _events() -> list[Printer]:
    def part(index: int) -> Cell:
        return lambda obj, _: printers.event_cells(obj)[index]

    return [
        Printer(Column("Last Seen", "string", ""), lambda obj, now: age(printers.event_cells(obj)[0], now)),
        Printer(Column("Type", "string", ""), part(1)),
        Printer(Column("Reason", "string", ""), part(2)),
        Printer(Column("Object", "string", ""), _timeless(printers.involved)),
        Printer(Column("Message", "string", ""), part(3)),
        Printer(Column("Name", "string", "", "", 1), _name),
    ]


def of(kind: Kind) -> list[Printer]:
    """The columns of a kind; name and age when nothing else is known."""
    if kind.custom:
        return [NAME, *(_custom(column) for column in kind.columns)] if kind.columns else [NAME, AGE]
    if kind.kind == "Event":
        return _events()
    return _built_in(kind) if kind.kind in printers.TABLE else [NAME, AGE]
