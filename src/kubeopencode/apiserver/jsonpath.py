"""The JSONPath of printer columns: fields, indexes, wildcards and simple filters. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, cast

import msgspec

from kubeopencode.api.meta import Json

Step = Callable[[list[Any]], list[Any]]
_STEP = re.compile(
    r"""\.?\[\?\(@\.([\w.\-]+)\s*(==|!=)\s*("[^"]*"|'[^']*'|[\w.\-]+)\)\]|\[(-?\d+)\]|\.?\[['"]([^'"]+)['"]\]|\[(\*)\]|"""
    r"""\.((?:[\w\-/]|\\.)+)|\.(\*)"""
)


def compile_path(text: str) -> Callable[[Any], list[Any]]:
    """A function from an object to all values at `text`. Raises ValueError for a path that is not understood."""
    source = text.strip().removeprefix("{").removesuffix("}")
    steps: list[Step] = []
    position = 0
    if source in ("", "."):
        return lambda value: [value]
    while position < len(source):
        match = _STEP.match(source, position)
        if match is None:
            raise ValueError(f"{text!r}: the JSONPath is not understood at {source[position:]!r}")
        steps.append(_step(match))
        position = match.end()

    def find(value: Any) -> list[Any]:
        found = [value]
        for step in steps:
            found = step(found)
        return [each for each in found if each is not None]

    return find


def _step(match: re.Match[str]) -> Step:
    path, operator, literal, index, quoted, star, name, wild = match.groups()
    if path:
        return _filter(path.split("."), operator, literal)
    if index is not None:
        return _index(int(index))
    if star or wild:
        return _all
    return _field(quoted if quoted is not None else name.replace("\\", ""))


def _field(name: str) -> Step:
    return lambda values: [cast(Json, value)[name] for value in values if isinstance(value, dict) and name in value]


def _index(index: int) -> Step:
    def step(values: list[Any]) -> list[Any]:
        lists = [cast("list[Any]", value) for value in values if isinstance(value, list)]
        return [value[index] for value in lists if -len(value) <= index < len(value)]

    return step


def _all(values: list[Any]) -> list[Any]:
    found: list[Any] = []
    for value in values:
        if isinstance(value, list):
            found += cast("list[Any]", value)
        elif isinstance(value, dict):
            found += cast(Json, value).values()
    return found


def _filter(path: list[str], operator: str, literal: str) -> Step:
    wanted: Any = literal[1:-1] if literal[0] in "\"'" else msgspec.json.decode(literal)

    def matches(value: Any) -> bool:
        for name in path:
            value = cast(Json, value).get(name) if isinstance(value, dict) else None
        return (value == wanted) is (operator == "==")

    return lambda values: [value for value in _all(values) if matches(value)]
