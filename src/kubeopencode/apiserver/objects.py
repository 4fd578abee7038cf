"""Small ways to look into objects that are plain JSON. Reads and writes no state."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast

import msgspec

from kubeopencode.api.meta import Json

encode = msgspec.json.Encoder().encode
"""JSON bytes of any value."""


def decode(raw: bytes) -> Json:
    """An object of our own making; use `parse` for what a client sent."""
    return cast(Json, msgspec.json.decode(raw))


def section(parent: Any, name: str) -> Json:
    """A nested object, or a new empty one that is not attached when it is missing or something else."""
    value = cast(Json, parent).get(name) if isinstance(parent, dict) else None
    return cast(Json, value) if isinstance(value, dict) else {}


def items(parent: Any, name: str) -> list[Any]:
    """A nested list, or an empty one when it is missing or something else."""
    value = cast(Json, parent).get(name) if isinstance(parent, dict) else None
    return cast("list[Any]", value) if isinstance(value, list) else []


def metadata(obj: Json) -> Json:
    """The object's metadata; attached and made when missing."""
    value = obj.get("metadata")
    if not isinstance(value, dict):
        value = obj["metadata"] = cast(Json, {})
    return cast(Json, value)


def at(value: Any, path: tuple[str, ...]) -> Any:
    """The value under nested field names; None when any of them is missing."""
    for name in path:
        if not isinstance(value, dict):
            return None
        value = cast(Json, value).get(name)
    return value


def text_at(value: Any, path: tuple[str, ...]) -> str:
    """The value under nested names as field selectors compare it."""
    found = at(value, path)
    if found is None:
        return ""
    if isinstance(found, bool):
        return "true" if found else "false"
    return str(found)


def copy(value: Any) -> Any:
    """A deep copy of plain JSON; several times quicker than `copy.deepcopy`."""
    if isinstance(value, dict):
        return {name: copy(child) for name, child in cast(Json, value).items()}
    if isinstance(value, list):
        return [copy(child) for child in cast("list[Any]", value)]
    return value


def identical(left: Any, right: Any) -> bool:
    """Whether two values are the same JSON, order included; to Python alone `true` and 1 would be equal."""
    return encode(left) == encode(right)


def clone(obj: Json) -> Json:
    """A deep copy of one object."""
    return cast(Json, copy(obj))


def now() -> str:
    """The present moment as metadata writes it: seconds, UTC."""
    return stamp(datetime.now(UTC))


def stamp(moment: datetime) -> str:
    """A moment as `metav1.Time` writes it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(text: Any) -> datetime | None:
    """The moment a timestamp names; None when it names none."""
    if not isinstance(text, str) or not text:
        return None
    try:
        found = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
