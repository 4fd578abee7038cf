"""One request as the handlers see it: who asks, for what, in which form. Knows aiohttp's request and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import msgspec
import yaml
from aiohttp import web

from kubeopencode.api.meta import Json
from kubeopencode.apiserver import conversion, protobuf, selectors, status
from kubeopencode.apiserver.admission import Options
from kubeopencode.apiserver.registry import Kind
from kubeopencode.apiserver.selectors import Selector

MAX_BODY = 3 * 1024 * 1024
"""Bytes a request may have."""


@dataclass(frozen=True)
class User:
    """Who asks."""

    name: str
    groups: tuple[str, ...] = ("system:masters", "system:authenticated")


@dataclass(frozen=True)
class Call:
    """One request."""

    request: web.BaseRequest
    user: User
    query: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def accept(self) -> str:
        """What the client wants to read."""
        return self.request.headers.get("Accept", "")

    def number(self, name: str) -> int | None:
        """A query parameter that is a number. Raises Failure 400."""
        text = self.query.get(name)
        if not text:
            return None
        if not text.lstrip("-").isdigit():
            raise status.bad_request(f"{name}: {status.shown(text)} is not a whole number")
        return int(text)

    def flag(self, name: str) -> bool:
        """A query parameter that is a boolean."""
        return self.query.get(name, "") in ("true", "1", "t", "T", "True", "TRUE")

    def selector(self, kind: Kind) -> Selector:
        """The label and field selector of a list, a watch or a deletion. Raises Failure 400."""
        labels, fields = self.query.get("labelSelector", ""), self.query.get("fieldSelector", "")
        if not labels and not fields:
            return Selector()
        found = selectors.parse(labels, fields, kind.fields)
        renamed = tuple((conversion.field_path(kind, path), value, equal) for path, value, equal in found.fields)
        return Selector(found.labels, renamed)

    def options(self, subresource: str = "") -> Options:
        """How a write is meant. Raises Failure 400."""
        manager = self.query.get("fieldManager") or self.request.headers.get("User-Agent", "unknown").split("/")[0]
        validation = self.query.get("fieldValidation") or "Warn"
        if validation not in ("Ignore", "Warn", "Strict"):
            raise status.bad_request(f'fieldValidation: "{validation}" is none of Ignore, Warn and Strict')
        dry_run = self.query.get("dryRun", "")
        if dry_run not in ("", "All"):
            raise status.bad_request(f'dryRun: "{dry_run}" is not "All"')
        return Options(
            manager=manager[:128] or "unknown",
            dry_run=bool(dry_run),
            validation=validation,
            force=self.flag("force"),
            subresource=subresource,
        )

    async def body(self) -> Any:
        """The decoded body; None when there is none. Raises Failure 400, 413 or 415."""
        try:
            raw = await self.request.read()
        except web.HTTPRequestEntityTooLarge as error:
            raise status.Failure(413, f"Request entity too large: limit is {MAX_BODY}") from error
        if not raw:
            return None
        return decode(raw, self.request.headers.get("Content-Type", "application/json").partition(";")[0].strip())


def decode(raw: bytes, content_type: str) -> Any:
    """The value that a body of this type holds. Raises Failure 400 or 415."""
    if content_type == "application/vnd.kubernetes.protobuf":
        return protobuf.decode(raw)
    if "yaml" in content_type and raw.lstrip()[:1] != b"{":
        try:
            return yaml.safe_load(raw)
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise status.bad_request(f"error converting YAML to JSON: {error}") from error
    if not content_type.endswith(("json", "yaml", "octet-stream")):
        raise status.Failure(415, f"the body of the request was in an unknown format - {content_type}")
    try:
        return msgspec.json.decode(raw)
    except msgspec.DecodeError as error:
        raise status.bad_request(f"the object provided is unrecognized: {error}") from error


def read_query(request: web.BaseRequest) -> dict[str, str]:
    """The query parameters, the first of each name."""
    if not request.query_string:
        return {}
    found: dict[str, str] = {}
    for name, value in request.query.items():
        found.setdefault(name, value)
    return found


def as_object(value: Any) -> Json:
    """A body that must be a JSON object. Raises Failure 400."""
    if not isinstance(value, dict):
        raise status.bad_request("the body of the request is not a JSON object")
    return cast(Json, value)
