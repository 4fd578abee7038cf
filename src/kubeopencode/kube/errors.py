# ruff: noqa: N818 - these are the reasons of the Kubernetes API, in its words
"""What can go wrong at the border to an API server, as types.

Every answer that is not a success is translated here, once, from the server's `Status`; the rest of the product never
looks at a status code. No message carries a header, a token or a body.
"""

from __future__ import annotations

from typing import Any

import msgspec


class KubeError(Exception):
    """Anything the API client raises on purpose."""


class ConfigError(KubeError):
    """The configuration (kubeconfig, service account, credential plugin) cannot be used as it is."""


class ConnectionFailed(KubeError):
    """No answer was had: refused, reset, timed out or broken off. A write may or may not have happened."""


class DecodeError(KubeError):
    """The server answered with an object that does not fit the type we read it as."""


class StatusDetails(msgspec.Struct, frozen=True, omit_defaults=True):
    """`Status.details`: which object the answer speaks of, and when to come back."""

    name: str = ""
    group: str = ""
    kind: str = ""
    uid: str = ""
    retryAfterSeconds: int = 0
    causes: tuple[dict[str, Any], ...] = ()


class Status(msgspec.Struct, frozen=True, omit_defaults=True):
    """The `metav1.Status` a Kubernetes server answers with when it refuses."""

    status: str = ""
    message: str = ""
    reason: str = ""
    code: int = 0
    details: StatusDetails | None = None


class ApiError(KubeError):
    """The server refused; `status`, `reason`, `details` and `retry_after` (seconds or None) say how."""

    def __init__(self, status: Status, *, where: str = "", retry_after: float | None = None) -> None:
        self.status = status.code
        self.reason = status.reason
        self.message = status.message or f"the server answered {status.code}"
        self.details = status.details or StatusDetails()
        self.retry_after = retry_after if retry_after is not None else self.details.retryAfterSeconds or None
        super().__init__(f"{where}: {self.message} ({status.code} {status.reason})" if where else self.message)


class BadRequest(ApiError):
    """400: the request cannot be understood."""


class Unauthorized(ApiError):
    """401: the server does not know who we are."""


class Forbidden(ApiError):
    """403: the server knows who we are and says no."""


class NotFound(ApiError):
    """404: there is no such object, or no such kind."""


class Conflict(ApiError):
    """409: the object changed since it was read, or a precondition does not hold."""


class AlreadyExists(Conflict):
    """409 with reason AlreadyExists: the name is taken."""


class Gone(ApiError):
    """410: the resourceVersion or continue token is too old; only a new list helps."""


class Invalid(ApiError):
    """422: the object does not pass validation."""


class TooManyRequests(ApiError):
    """429: come back after `retry_after` seconds."""


class ServerError(ApiError):
    """5xx: the server's own trouble."""


_BY_CODE: dict[int, type[ApiError]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    422: Invalid,
    429: TooManyRequests,
}
_STATUS = msgspec.json.Decoder(Status)


def from_status(status: Status, *, where: str = "", retry_after: float | None = None) -> ApiError:
    """The error a `Status` stands for; reasons Expired and Gone count as 410 whatever the code."""
    if status.reason in ("Expired", "Gone"):
        return Gone(status, where=where, retry_after=retry_after)
    if status.reason == "AlreadyExists":
        return AlreadyExists(status, where=where, retry_after=retry_after)
    kind = _BY_CODE.get(status.code, ServerError if status.code >= 500 else ApiError)
    return kind(status, where=where, retry_after=retry_after)


def from_response(code: int, body: bytes, *, where: str = "", retry_after: str | None = None) -> ApiError:
    """The error for an HTTP answer; a body that is no `Status` (a proxy's page) still names the code."""
    try:
        status = _STATUS.decode(body)
    except msgspec.MsgspecError:
        status = Status(message=f"the server answered {code} without a Status")
    if status.code != code:
        status = msgspec.structs.replace(status, code=code)
    return from_status(status, where=where, retry_after=_seconds(retry_after))


def _seconds(header: str | None) -> float | None:
    """`Retry-After` in seconds; the date form is not used by API servers and is ignored."""
    if header is None or not header.strip().isdigit():
        return None
    return float(header.strip())
