"""How the server says no: every failure is a Kubernetes `Status` with the real reason, code and words.

Nothing here knows HTTP beyond the code number; `routes` turns a `Failure` into a response.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from kubeopencode.api.meta import Json

_REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    406: "NotAcceptable",
    409: "Conflict",
    410: "Expired",
    413: "RequestEntityTooLarge",
    415: "UnsupportedMediaType",
    422: "Invalid",
    500: "InternalError",
    503: "ServiceUnavailable",
    507: "InsufficientStorage",
}


class Failure(Exception):  # noqa: N818 - it is a refusal in the API's sense, not a defect
    """A request that is answered with a `Status` of status `Failure`."""

    def __init__(self, code: int, message: str, *, reason: str = "", details: Json | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.reason = reason or _REASONS.get(code, "Unknown")
        self.details = details

    def status(self) -> Json:
        """The `Status` object to send."""
        body: Json = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
        }
        if self.details:
            body["details"] = self.details
        body["code"] = self.code
        return body


@dataclass(frozen=True)
class Cause:
    """One field that was refused: the reason's machine word, its path and the sentence about it."""

    reason: str
    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


def shown(value: Any) -> str:
    """A value as error messages quote it: JSON, cut when it is long."""
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 400 else text[:400] + "..."


def invalid_value(field: str, value: Any, detail: str) -> Cause:
    """`field: Invalid value: value: detail`."""
    return Cause("FieldValueInvalid", field, f"Invalid value: {shown(value)}: {detail}")


def required(field: str, detail: str = "") -> Cause:
    """`field: Required value`."""
    return Cause("FieldValueRequired", field, f"Required value: {detail}" if detail else "Required value")


def unsupported(field: str, value: Any, choices: Iterable[Any]) -> Cause:
    """`field: Unsupported value: ...: supported values: ...`."""
    named = ", ".join(shown(choice) for choice in choices)
    return Cause("FieldValueNotSupported", field, f"Unsupported value: {shown(value)}: supported values: {named}")


def duplicate(field: str, value: Any) -> Cause:
    """`field: Duplicate value: ...`."""
    return Cause("FieldValueDuplicate", field, f"Duplicate value: {shown(value)}")


def forbidden_field(field: str, detail: str) -> Cause:
    """`field: Forbidden: ...`."""
    return Cause("FieldValueForbidden", field, f"Forbidden: {detail}")


def qualified(name: str, group: str) -> str:
    """`tasks.example.io`, or the bare name in the core group."""
    return f"{name}.{group}" if group else name


def not_found(plural: str, group: str, name: str) -> Failure:
    """No object of that name."""
    details: Json = {"name": name, "kind": plural}
    if group:
        details["group"] = group
    return Failure(404, f'{qualified(plural, group)} "{name}" not found', details=details)


def no_such_path() -> Failure:
    """No such resource type."""
    return Failure(404, "the server could not find the requested resource", details={})


def already_exists(plural: str, group: str, name: str) -> Failure:
    """The name is taken."""
    details: Json = {"name": name, "kind": plural}
    if group:
        details["group"] = group
    return Failure(409, f'{qualified(plural, group)} "{name}" already exists', reason="AlreadyExists", details=details)


def conflict(plural: str, group: str, name: str, why: str) -> Failure:
    """Somebody else was faster, or a precondition did not hold."""
    details: Json = {"name": name, "kind": plural}
    if group:
        details["group"] = group
    where = qualified(plural, group)
    return Failure(409, f'Operation cannot be fulfilled on {where} "{name}": {why}', details=details)


MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"
"""What a stale resourceVersion is told."""


def invalid(kind: str, group: str, name: str, causes: Sequence[Cause]) -> Failure:
    """The object was understood and refused, field by field."""
    texts = list(dict.fromkeys(str(cause) for cause in causes))
    listed = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    details: Json = {"name": name, "kind": kind}
    if group:
        details["group"] = group
    details["causes"] = [{"reason": c.reason, "message": c.message, "field": c.field} for c in causes]
    return Failure(422, f'{qualified(kind, group)} "{name}" is invalid: {listed}', details=details)


def bad_request(message: str) -> Failure:
    """The request itself makes no sense."""
    return Failure(400, message)


def too_old(asked: int, oldest: int) -> Failure:
    """The history no longer reaches back to `asked`."""
    return Failure(410, f"too old resource version: {asked} ({oldest})")


def success(plural: str, group: str, name: str, uid: str) -> Json:
    """What a finished deletion answers."""
    details: Json = {"name": name, "kind": plural, "uid": uid}
    if group:
        details["group"] = group
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
