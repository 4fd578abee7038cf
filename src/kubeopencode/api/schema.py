"""From a type to the structural schema of a CustomResourceDefinition.

The msgspec Structs of this room are the one source of schema, defaults and descriptions. What a CRD cannot say (unions
of objects, recursion, sets) raises here with the path of the offending field, so it never reaches an API server.
"""

from __future__ import annotations

import ast
import functools
import inspect
import itertools
import textwrap
from dataclasses import dataclass
from typing import Any, cast

import msgspec

from kubeopencode.api.meta import Json

UNKNOWN_FIELDS = "x-kubernetes-preserve-unknown-fields"


class InexpressibleError(TypeError):
    """A type says more than a structural schema can."""


@dataclass(frozen=True)
class Rule:
    """One CEL rule of a Struct, named by `RULES`; the message is what a user reads when it does not hold."""

    expression: str
    message: str

    def as_schema(self) -> Json:
        """The rule as `x-kubernetes-validations` has it."""
        return {"rule": self.expression, "message": self.message}


@dataclass(frozen=True)
class Column:
    """One printer column of `kubectl get`; priority 1 shows only with `-o wide`."""

    name: str
    path: str
    type: str = "string"
    priority: int = 0

    def as_schema(self) -> Json:
        """The column as `additionalPrinterColumns` has it."""
        column: Json = {"name": self.name, "type": self.type, "jsonPath": self.path}
        return column | ({"priority": self.priority} if self.priority else {})


def list_map(*keys: str) -> msgspec.Meta:
    """A list whose items are told apart by these keys, as server-side apply needs to know."""
    return msgspec.Meta(extra_json_schema={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)})


def preserved() -> msgspec.Meta:
    """An object whose fields belong to Kubernetes, not to us: kept as they are, not described here."""
    return msgspec.Meta(extra_json_schema={UNKNOWN_FIELDS: True})


def structural(struct: type[msgspec.Struct]) -> Json:
    """The structural schema of `struct`.

    Raises:
        InexpressibleError: the type cannot be said in a structural schema; the message has the path.
    """
    return _struct(struct, struct.__name__, ())


def _struct(struct: type[msgspec.Struct], path: str, above: tuple[type, ...]) -> Json:
    if struct in above:
        raise InexpressibleError(f"{path}: {struct.__name__} contains itself; a structural schema has no recursion")
    info = msgspec.inspect.type_info(struct)
    assert isinstance(info, msgspec.inspect.StructType)
    texts = _field_texts(struct)
    properties: Json = {}
    required: list[str] = []
    for field in info.fields:
        schema = _schema(field.type, f"{path}.{field.encode_name}", (*above, struct))
        if text := texts.get(field.name):
            schema["description"] = text
        if field.required:
            required.append(field.encode_name)
        elif _worth_a_default(field.default):
            schema["default"] = field.default
        properties[field.encode_name] = schema
    result: Json = {"type": "object", "properties": properties}
    if text := _first_paragraph(struct.__doc__):
        result["description"] = text
    if required:
        result["required"] = required
    rules: tuple[Rule, ...] = getattr(struct, "RULES", ())
    if rules:
        result["x-kubernetes-validations"] = [rule.as_schema() for rule in rules]
    return result


def _worth_a_default(default: object) -> bool:
    """Empty values are absence, and absence needs no default in the schema."""
    return isinstance(default, bool | int | str) and bool(default)


def _schema(kind: msgspec.inspect.Type, path: str, above: tuple[type, ...]) -> Json:
    if isinstance(kind, msgspec.inspect.Metadata):
        return _schema(kind.type, path, above) | cast("Json", kind.extra_json_schema or {})  # pyright: ignore[reportUnknownMemberType]  # untyped upstream
    if isinstance(kind, msgspec.inspect.UnionType):
        return _schema(_only_member(kind, path), path, above)
    if isinstance(kind, msgspec.inspect.StructType):
        return _struct(kind.cls, path, above)
    if isinstance(kind, msgspec.inspect.VarTupleType | msgspec.inspect.ListType):
        return _array(kind, path, above)
    if isinstance(kind, msgspec.inspect.DictType):
        return _mapping(kind, path, above)
    return _scalar(kind, path)


def _only_member(kind: msgspec.inspect.UnionType, path: str) -> msgspec.inspect.Type:
    members = [member for member in kind.types if not isinstance(member, msgspec.inspect.NoneType)]
    if len(members) != 1:
        raise InexpressibleError(f"{path}: a union of {len(members)} types; only `T | None` can be said")
    return members[0]


def _array(kind: msgspec.inspect.VarTupleType | msgspec.inspect.ListType, path: str, above: tuple[type, ...]) -> Json:
    bounds = {"minItems": kind.min_length, "maxItems": kind.max_length}
    items = _schema(kind.item_type, f"{path}[]", above)
    return {"type": "array", "items": items} | {name: value for name, value in bounds.items() if value is not None}


def _mapping(kind: msgspec.inspect.DictType, path: str, above: tuple[type, ...]) -> Json:
    if not isinstance(kind.key_type, msgspec.inspect.StrType):
        raise InexpressibleError(f"{path}: keys of JSON objects are text")
    if isinstance(kind.value_type, msgspec.inspect.AnyType):
        return {"type": "object", UNKNOWN_FIELDS: True}
    return {"type": "object", "additionalProperties": _schema(kind.value_type, f"{path}[*]", above)}


def _scalar(kind: msgspec.inspect.Type, path: str) -> Json:
    match kind:
        case msgspec.inspect.StrType():
            limits = {"pattern": kind.pattern, "minLength": kind.min_length, "maxLength": kind.max_length}
            return {"type": "string"} | {name: value for name, value in limits.items() if value is not None}
        case msgspec.inspect.IntType():
            if (kind.gt, kind.lt, kind.multiple_of) != (None, None, None):
                raise InexpressibleError(f"{path}: of the bounds only ge and le can be said")
            limits = {"minimum": kind.ge, "maximum": kind.le}
            return {"type": "integer"} | {name: value for name, value in limits.items() if value is not None}
        case msgspec.inspect.BoolType():
            return {"type": "boolean"}
        case msgspec.inspect.DateTimeType():
            return {"type": "string", "format": "date-time"}
        case msgspec.inspect.LiteralType():
            if not all(isinstance(value, str) for value in kind.values):
                raise InexpressibleError(f"{path}: only a choice of texts can be said")
            return {"type": "string", "enum": list(kind.values)}
        case msgspec.inspect.AnyType():
            return {UNKNOWN_FIELDS: True}
        case _:
            raise InexpressibleError(f"{path}: {type(kind).__name__} has no structural schema")


@functools.cache
def _field_texts(struct: type[msgspec.Struct]) -> dict[str, str]:
    """The docstring below each field, in the order the class and its bases define them."""
    texts: dict[str, str] = {}
    for owner in reversed(struct.__mro__):
        if issubclass(owner, msgspec.Struct) and owner is not msgspec.Struct:
            texts |= _texts_of_class(owner)
    return texts


def _texts_of_class(owner: type[Any]) -> dict[str, str]:
    tree = ast.parse(textwrap.dedent(inspect.getsource(owner)))
    body = cast("ast.ClassDef", tree.body[0]).body
    texts: dict[str, str] = {}
    for field, after in itertools.pairwise(body):
        if not (isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)):
            continue
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) and isinstance(after.value.value, str):
            texts[field.target.id] = _first_paragraph(after.value.value)
    return texts


def _first_paragraph(text: str | None) -> str:
    return " ".join(inspect.cleandoc(text or "").split("\n\n")[0].split())
