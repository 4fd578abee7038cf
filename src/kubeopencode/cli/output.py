"""How things look on the terminal: tables, YAML, JSON, names, JSONPath. Nothing here decides anything."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import click
import msgspec

FORMATS = "wide, yaml, json, name or jsonpath=EXPRESSION"


def print_table(table: Any, *, wide: bool, namespaces: bool) -> None:
    """A Table as the server made it. Columns of lower priority show only when `wide`."""
    columns = [index for index, column in enumerate(table["columnDefinitions"]) if wide or not column.get("priority")]
    head = [table["columnDefinitions"][index]["name"].upper() for index in columns]
    rows: list[list[str]] = []
    for row in table.get("rows") or ():
        cells = [_cell(row["cells"][index]) for index in columns]
        if namespaces:
            cells.insert(0, row["object"]["metadata"].get("namespace", ""))
        rows.append(cells)
    print_rows(["NAMESPACE", *head] if namespaces else head, rows)


def print_rows(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns with three blanks between, as kubectl prints them."""
    widths = [max(len(row[index]) for row in (head, *rows)) for index in range(len(head))]
    for row in (head, *rows):
        line = "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo(line.rstrip())


def print_object(value: Any, how: str, noun: str = "") -> None:
    """An object or list as YAML, JSON, names or what a JSONPath finds.

    Raises:
        click.BadParameter: the format is none of those.
    """
    if how == "json":
        click.echo(msgspec.json.format(msgspec.json.encode(value), indent=4))
    elif how == "yaml":
        click.echo(as_yaml(value), nl=False)
    elif how == "name":
        for item in value.get("items", [value]):
            click.echo(f"{noun}/{item['metadata']['name']}")
    elif how.startswith("jsonpath="):
        click.echo(_templated(how.removeprefix("jsonpath="), value), nl=False)
    else:
        raise click.BadParameter(f"{how!r} is no format; use {FORMATS}", param_hint="-o")


def _templated(template: str, value: Any) -> str:
    """A JSONPath template as kubectl reads it: text outside braces as it is, paths and quoted texts inside them.

    Raises:
        click.BadParameter: a path that cannot be read, or `range`, which kubectl has and we have not.
    """
    from kubeopencode.apiserver import jsonpath

    template = template.strip("'")
    pieces: list[str] = []
    for text, expression in re.findall(r"([^{]+)|\{([^}]*)\}", template if "{" in template else "{" + template + "}"):
        expression = expression.strip()
        if text:
            pieces.append(text)
        elif expression[:1] in "\"'":
            pieces.append(expression[1:-1].replace("\\n", "\n").replace("\\t", "\t"))
        elif expression.split()[0] in ("range", "end"):
            raise click.BadParameter("range is not supported here; use kubectl, or -o json with jq", param_hint="-o")
        else:
            found = jsonpath.compile_path(expression.removeprefix("$"))(value)
            pieces.append(" ".join(_plain(each) for each in found))
    return "".join(pieces)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def as_yaml(value: Any) -> str:
    """YAML as people write it: keys in order, long texts as blocks."""
    import yaml

    class Dumper(yaml.SafeDumper):
        """Texts of several lines become blocks."""

    def text(dumper: Any, data: str) -> Any:
        return dumper.represent_scalar("tag:yaml.org,2002:str", data, style="|" if "\n" in data else None)

    Dumper.add_representer(str, text)
    return yaml.dump(value, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=120)


def age(stamp: str | None) -> str:
    """How long ago a timestamp was, as kubectl says it: 5s, 3m, 2h, 4d."""
    if not stamp:
        return "<unknown>"
    seconds = int((datetime.now(UTC) - datetime.fromisoformat(stamp)).total_seconds())
    for length, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= length * (2 if unit == "m" else 1):
            return f"{seconds // length}{unit}"
    return f"{max(seconds, 0)}s"


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)
