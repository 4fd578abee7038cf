"""JSON merge patch as the standard has it, to hold our own against."""

from __future__ import annotations

from typing import Any


def merged(live: Any, patch: Any) -> Any:
    """`live` after `patch`. Source: RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    result = dict(live) if isinstance(live, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result
