"""OpenAPI v2 as protobuf, the only form in which kubectl before 1.27 reads it. Pure.

The field numbers are those of gnostic's `openapiv2/OpenAPIv2.proto`; only what kubectl looks at is written.
"""

from __future__ import annotations

from typing import Any

from kubeopencode.api.meta import Json
from kubeopencode.apiserver import objects

CONTENT_TYPE = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
"""What a client must accept to be sent this form."""
ANSWER_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
"""What the answer calls itself: the name that is asked for is no valid media type."""


def _varint(number: int) -> bytes:
    made = bytearray()
    while number > 0x7F:
        made.append(number & 0x7F | 0x80)
        number >>= 7
    made.append(number)
    return bytes(made)


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _text(number: int, text: Any) -> bytes:
    return _field(number, str(text).encode()) if text else b""


def _named(number: int, name: str, value: bytes) -> bytes:
    return _field(number, _text(1, name) + _field(2, value))


def _extension(number: int, name: str, value: Any) -> bytes:
    return _named(number, name, _text(2, objects.encode(value).decode()))


def _schema(source: Json) -> bytes:
    made = _text(1, source.get("$ref")) + _text(2, source.get("format")) + _text(4, source.get("description"))
    made += b"".join(_text(19, name) for name in objects.items(source, "required"))
    values = objects.section(source, "additionalProperties")
    if values:
        made += _field(21, _field(1, _schema(values)))
    if source.get("type"):
        made += _field(22, _text(1, source["type"]))
    items = objects.section(source, "items")
    if items:
        made += _field(23, _field(1, _schema(items)))
    properties = objects.section(source, "properties")
    if properties:
        made += _field(25, b"".join(_named(1, name, _schema(child)) for name, child in properties.items()))
    return made + b"".join(
        _extension(31, name, value) for name, value in source.items() if name.startswith("x-kubernetes-")
    )


def encode(document: Json) -> bytes:
    """An OpenAPI v2 document without its paths."""
    info = objects.section(document, "info")
    definitions = objects.section(document, "definitions")
    return (
        _text(1, "2.0")
        + _field(2, _text(1, info.get("title")) + _text(2, info.get("version")))
        + _field(8, b"")
        + _field(9, b"".join(_named(1, name, _schema(source)) for name, source in definitions.items()))
    )
