"""The few protobuf bodies that kubectl's generators send; everything else speaks JSON."""

from __future__ import annotations

from kubeopencode.api.meta import Json
from kubeopencode.apiserver import status


def decode(raw: bytes) -> Json:
    """The object in a `application/vnd.kubernetes.protobuf` body. Raises Failure 415."""
    raise status.Failure(415, "the body of the request was in an unknown format - application/vnd.kubernetes.protobuf")
