"""JSON as other programs write it: any part may be missing or of another type, and nothing breaks."""

from __future__ import annotations

from typing import Any, cast


def section(holder: object, name: str) -> dict[str, Any]:
    """The object under this name; empty where there is none."""
    value: object = cast("dict[str, object]", holder).get(name) if isinstance(holder, dict) else None
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def objects(value: object) -> list[dict[str, Any]]:
    """The objects of a list; empty where there is no list."""
    items = cast("list[object]", value) if isinstance(value, list) else []
    return [cast("dict[str, Any]", each) for each in items if isinstance(each, dict)]


def text(holder: dict[str, Any], name: str) -> str:
    """The text under this name; empty where there is none."""
    value = holder.get(name)
    return value if isinstance(value, str) else ""


def whole(holder: dict[str, Any], name: str) -> int:
    """The number under this name without its fraction; 0 where there is none."""
    value = holder.get(name)
    return int(value) if isinstance(value, (int, float)) else 0
