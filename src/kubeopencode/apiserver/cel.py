"""`x-kubernetes-validations` through the CEL library, compiled once per rule.

The library is optional: without it the server says so once and accepts what only a rule would refuse.
"""

from __future__ import annotations

import functools
import importlib
import itertools
import logging
import re
from collections.abc import Iterator
from typing import Any, NamedTuple, cast

from kubeopencode.api.meta import Json
from kubeopencode.apiserver.schema import Rule, Schema
from kubeopencode.apiserver.status import Cause, shown

_LOG = logging.getLogger(__name__)
_OLD = re.compile(r"\boldSelf\b")
_ABSENT: Any = object()
_WORDS = {
    "FieldValueInvalid": "Invalid value: ",
    "FieldValueForbidden": "Forbidden: ",
    "FieldValueRequired": "Required value: ",
    "FieldValueDuplicate": "Duplicate value: ",
}


class Problem(NamedTuple):
    """A rule that cannot be compiled."""

    path: str
    rule: str
    message: str


@functools.cache
def _environment() -> Any:
    try:
        library = importlib.import_module("cel_expr_python.cel")
        strings = importlib.import_module("cel_expr_python.ext.ext_strings")
        optional = importlib.import_module("cel_expr_python.ext.ext_optional")
    except ImportError:
        _LOG.warning("cel-expr-python is not installed: x-kubernetes-validations are not checked")
        return None
    kinds = library.Type
    variables = {"self": kinds.DYN, "oldSelf": kinds.DYN}
    functions = [_function(library, name, *rest) for name, *rest in _FUNCTIONS]
    return library.NewEnv(
        variables=variables,
        extensions=[strings.ExtStrings(), optional.ExtOptional()],
        functions=functions,
    )


def _function(library: Any, name: str, result: str, parameters: str, implementation: Any) -> Any:
    kinds = library.Type
    types = [getattr(kinds, kind) for kind in parameters.split()]
    overload = library.Overload(
        id=f"kubernetes_{name}",
        return_type=getattr(kinds, result),
        parameters=types,
        is_member=True,
        impl=implementation,
    )
    return library.FunctionDecl(name, [overload])


def _plain(value: Any) -> Any:
    return value.plain_value() if hasattr(value, "plain_value") else value


def _is_sorted(values: Any) -> bool:
    found = [_plain(value) for value in _plain(values)]
    return all(left <= right for left, right in itertools.pairwise(found))


def _sum(values: Any) -> Any:
    return sum(_plain(value) for value in _plain(values))


def _find(text: str, pattern: str) -> str:
    match = re.search(pattern, text)
    return match[0] if match else ""


_FUNCTIONS: tuple[tuple[Any, ...], ...] = (
    ("isSorted", "BOOL", "DYN", _is_sorted),
    ("sum", "DYN", "DYN", _sum),
    ("find", "STRING", "STRING STRING", _find),
)


@functools.lru_cache(maxsize=4096)
def _compiled(expression: str) -> Any:
    environment = _environment()
    return None if environment is None else environment.compile(expression)


def problems(node: Schema, path: str = "") -> Iterator[Problem]:
    """Rules below `node` that do not compile."""
    for rule in node.rules:
        for expression in filter(None, (rule.rule, rule.expression)):
            try:
                _compiled(expression)
            except RuntimeError as error:
                yield Problem(path, expression, str(error).split("\n", 1)[0])
    for name, child in node.properties.items():
        if child.deep_rules:
            yield from problems(child, f"{path}.properties[{name}]")
    for name, child in (("additionalProperties", node.additional), ("items", node.items)):
        if child is not None and child.deep_rules:
            yield from problems(child, f"{path}.{name}")


def check(node: Schema, value: Any, old: Any) -> list[Cause]:
    """What the rules at and below `node` refuse."""
    if _environment() is None:
        return []
    causes: list[Cause] = []
    _walk(node, value, _ABSENT if old is None else old, "", causes)
    return causes


def _walk(node: Schema, value: Any, old: Any, path: str, causes: list[Cause]) -> None:
    for rule in node.rules:
        _one(rule, value, old, path, causes)
    if isinstance(value, dict):
        before = cast(Json, old) if isinstance(old, dict) else {}
        for name, child_value in cast(Json, value).items():
            child = node.child(name)
            if child is not None and child.deep_rules:
                where = f"{path}.{name}" if path else name
                _walk(child, child_value, before.get(name, _ABSENT), where, causes)
    elif isinstance(value, list) and node.items is not None and node.items.deep_rules:
        known = _by_keys(node, old)
        for index, child_value in enumerate(cast("list[Any]", value)):
            _walk(node.items, child_value, known.get(_keys(node, child_value), _ABSENT), f"{path}[{index}]", causes)


def _keys(node: Schema, value: Any) -> tuple[Any, ...]:
    return tuple(cast(Json, value).get(key) for key in node.keys) if isinstance(value, dict) else ()


def _by_keys(node: Schema, old: Any) -> dict[tuple[Any, ...], Any]:
    if node.list_type != "map" or not isinstance(old, list):
        return {}
    return {_keys(node, child): child for child in cast("list[Any]", old)}


def _one(rule: Rule, value: Any, old: Any, path: str, causes: list[Cause]) -> None:
    values = {"self": value}
    if _OLD.search(rule.rule):
        if old is _ABSENT and not rule.optional_old:
            return
        values["oldSelf"] = None if old is _ABSENT else old
    outcome = _evaluate(rule.rule, values)
    if outcome is True:
        return
    where = path + rule.field_path if path or not rule.field_path else rule.field_path.lstrip(".")
    if isinstance(outcome, str):
        detail = f"rule evaluation error: {outcome}, rule: {rule.rule}"
        causes.append(Cause("FieldValueInvalid", where, f"Invalid value: {_type_name(value)}: {detail}"))
        return
    message = _message(rule, values)
    head = _WORDS.get(rule.reason, "Invalid value: ")
    quoted = f"{_type_name(value)}: " if rule.reason == "FieldValueInvalid" else ""
    causes.append(Cause(rule.reason, where, f"{head}{quoted}{message}"))


def _type_name(value: Any) -> str:
    if isinstance(value, dict):
        return '"object"'
    return '"array"' if isinstance(value, list) else shown(value)


def _message(rule: Rule, values: Json) -> str:
    if rule.expression:
        made = _evaluate(rule.expression, {"oldSelf": None, **values}, wanted=str)
        if isinstance(made, tuple):
            return str(cast("tuple[Any, ...]", made)[0])
    return rule.message or f"failed rule: {rule.rule}"


def _evaluate(expression: str, values: Json, wanted: type = bool) -> Any:
    """True or False; an error is its text; a string result comes wrapped in a tuple."""
    try:
        result = _compiled(expression).eval(data=values)
        found = result.plain_value()
    except (RuntimeError, TypeError, ValueError) as error:
        return str(error).split("\n", 1)[0]
    if isinstance(found, bool) and wanted is bool:
        return found
    return (found,) if isinstance(found, wanted) and wanted is str else str(found)
