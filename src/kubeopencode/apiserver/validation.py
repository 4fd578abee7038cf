"""Objects against their schema, refused in the words of the real server. Pure."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any, cast

from kubeopencode.api.meta import Json
from kubeopencode.apiserver import objects, status
from kubeopencode.apiserver.schema import Schema
from kubeopencode.apiserver.status import Cause

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list,),
    "integer": (int,),
    "number": (int, float),
}
_IPV4 = re.compile(r"(\d{1,3})(\.\d{1,3}){3}")
_UUID = re.compile(r"(?i)[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}")
_DURATION = re.compile(r"[+-]?(\d+(\.\d*)?(ns|us|µs|ms|s|m|h)\s*)+|0")


def validate(node: Schema, value: Any, path: str, causes: list[Cause]) -> None:
    """Collect everything that is wrong with `value` below `path`."""
    if value is None and node.nullable:
        return
    if not _type_fits(node, value):
        causes.append(_wrong_type(node, value, path))
        return
    if node.enum and value not in node.enum:
        causes.append(status.unsupported(path, value, node.enum))
    if isinstance(value, dict):
        _map(node, cast(Json, value), path, causes)
    elif isinstance(value, list):
        _list(node, cast("list[Any]", value), path, causes)
    elif isinstance(value, str):
        _string(node, value, path, causes)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        _number(node, value, path, causes)
    if node.junctors:
        _junctors(node, value, path, causes)


def _type_fits(node: Schema, value: Any) -> bool:
    if node.int_or_string:
        return isinstance(value, (int, str)) and not isinstance(value, bool)
    wanted = _TYPES.get(node.type)
    if wanted is None:
        return True
    if isinstance(value, bool):
        return node.type == "boolean"
    if node.type == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, wanted)


def _name_of(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    return next((name for name, types in _TYPES.items() if isinstance(value, types)), "object")


def _wrong_type(node: Schema, value: Any, path: str) -> Cause:
    wanted = "integer,string" if node.int_or_string else node.type
    found = _name_of(value)
    where = path or "<nil>"
    return Cause(
        "FieldValueTypeInvalid",
        path,
        f'Invalid value: "{found}": {where} in body must be of type {wanted}: "{found}"',
    )


def _map(node: Schema, value: Json, path: str, causes: list[Cause]) -> None:
    prefix = f"{path}." if path else ""
    for name in node.required:
        if name not in value:
            causes.append(status.required(prefix + name))
    properties, additional = node.properties, node.additional
    for name, child_value in value.items():
        child = properties.get(name)
        if child is not None:
            validate(child, child_value, prefix + name, causes)
        elif additional is not None:
            validate(additional, child_value, prefix + name, causes)
    bounds = node.bounds
    if bounds:
        least, most = bounds.get("minProperties"), bounds.get("maxProperties")
        if least is not None and len(value) < least:
            causes.append(status.invalid_value(path, value, f"{path} in body should have at least {least} properties"))
        if most is not None and len(value) > most:
            causes.append(Cause("FieldValueTooMany", path, f"Too many: {len(value)}: must have at most {most} items"))


def _list(node: Schema, value: list[Any], path: str, causes: list[Cause]) -> None:
    if node.items is not None:
        for index, child in enumerate(value):
            validate(node.items, child, f"{path}[{index}]", causes)
    least, most = node.bounds.get("minItems"), node.bounds.get("maxItems")
    if least is not None and len(value) < least:
        causes.append(status.invalid_value(path, len(value), f"{path} in body should have at least {least} items"))
    if most is not None and len(value) > most:
        causes.append(Cause("FieldValueTooMany", path, f"Too many: {len(value)}: must have at most {most} items"))
    if node.list_type == "map":
        _unique_keys(node, value, path, causes)
    elif node.list_type == "set":
        seen: set[bytes] = set()
        for index, child in enumerate(value):
            marked = objects.encode(child)
            if marked in seen:
                causes.append(status.duplicate(f"{path}[{index}]", child))
            seen.add(marked)


def _unique_keys(node: Schema, value: list[Any], path: str, causes: list[Cause]) -> None:
    seen: set[bytes] = set()
    for index, child in enumerate(value):
        if not isinstance(child, dict):
            continue
        keys = {key: cast(Json, child).get(key) for key in node.keys if key in child}
        marked = objects.encode(keys)
        if keys and marked in seen:
            causes.append(status.duplicate(f"{path}[{index}]", keys))
        seen.add(marked)


def _string(node: Schema, value: str, path: str, causes: list[Cause]) -> None:
    least, most = node.bounds.get("minLength"), node.bounds.get("maxLength")
    if least is not None and len(value) < least:
        causes.append(status.invalid_value(path, value, f"{path} in body should be at least {least} chars long"))
    if most is not None and len(value) > most:
        causes.append(Cause("FieldValueTooLong", path, f"Too long: may not be more than {most} bytes"))
    if node.pattern is not None and not node.pattern.search(value):
        source = node.source.get("pattern")
        causes.append(status.invalid_value(path, value, f"{path} in body should match '{source}'"))
    if node.format and not _format_fits(node.format, value):
        detail = f"{path} in body must be of type {node.format}: {status.shown(value)}"
        causes.append(status.invalid_value(path, value, detail))


def _format_fits(name: str, value: str) -> bool:
    if name == "date-time":
        return objects.moment(value) is not None and "T" in value.upper()
    if name in ("uri", "url"):
        return "://" in value or value.startswith("/")
    if name == "ipv4":
        return bool(_IPV4.fullmatch(value)) and all(int(part) < 256 for part in value.split("."))
    if name == "uuid":
        return bool(_UUID.fullmatch(value))
    if name == "duration":
        return bool(_DURATION.fullmatch(value))
    if name == "byte":
        try:
            base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            return False
    return True


def _number(node: Schema, value: float, path: str, causes: list[Cause]) -> None:
    bounds = node.bounds
    least, most = bounds.get("minimum"), bounds.get("maximum")
    if least is not None and (value < least or (bounds.get("exclusiveMinimum") and value == least)):
        words = "greater than" if bounds.get("exclusiveMinimum") else "greater than or equal to"
        causes.append(status.invalid_value(path, value, f"{path} in body should be {words} {least}"))
    if most is not None and (value > most or (bounds.get("exclusiveMaximum") and value == most)):
        words = "less than" if bounds.get("exclusiveMaximum") else "less than or equal to"
        causes.append(status.invalid_value(path, value, f"{path} in body should be {words} {most}"))
    step = bounds.get("multipleOf")
    if step and value % step:
        causes.append(status.invalid_value(path, value, f"{path} in body should be a multiple of {step}"))


def _junctors(node: Schema, value: Any, path: str, causes: list[Cause]) -> None:
    for child in node.junctors.get("allOf", ()):
        validate(child, value, path, causes)
    for name, wanted in (("anyOf", "must validate at least one schema (anyOf)"), ("oneOf", _ONE_OF)):
        choices = node.junctors.get(name)
        if not choices:
            continue
        results = [_complaints(choice, value, path) for choice in choices]
        passed = sum(1 for found in results if not found)
        if passed == 0 or (name == "oneOf" and passed > 1):
            causes.append(status.invalid_value(path, value, f"{path} in body {wanted}"))
            if passed == 0:
                causes += min(results, key=len)
    for child in node.junctors.get("not", ()):
        if not _complaints(child, value, path):
            causes.append(status.invalid_value(path, value, f"{path} in body must not validate the schema (not)"))


_ONE_OF = "must validate one and only one schema (oneOf)"


def _complaints(node: Schema, value: Any, path: str) -> list[Cause]:
    found: list[Cause] = []
    validate(node, value, path, found)
    return found
