"""The last message of a container: a small JSON object that the controller reads from the Pod's status.

Kubernetes keeps at most 4096 bytes of it, so the longest texts give way first, with a mark where they were cut.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kubeopencode.pod import wire

LIMIT = 4096
"""Bytes that Kubernetes keeps of a termination message."""

MARK = " [truncated]"


def write(report: Mapping[str, Any]) -> None:
    """Leave the report where Kubernetes looks for it: TERMINATION_LOG, else /dev/termination-log."""
    path = Path(os.environ.get("TERMINATION_LOG") or "/dev/termination-log")
    try:
        path.write_bytes(encode(report))
    except OSError as error:
        sys.stderr.write(f"the termination message cannot be written to {path}: {error.strerror}\n")


def encode(report: Mapping[str, Any]) -> bytes:
    """The report in at most `LIMIT` bytes. Values of `outputs` that were cut are named in `truncated`."""
    whole: dict[str, Any] = json.loads(json.dumps(report))
    encoded = _encode(whole)
    while len(encoded) > LIMIT:
        if not _shorten(whole, len(encoded) - LIMIT):
            return _encode({"error": {"name": "ReportTooLarge", "message": "the report does not fit into 4096 bytes"}})
        encoded = _encode(whole)
    return encoded


def cut(text: str, size: int) -> str:
    """The text in at most `size` bytes of UTF-8, marked where it was cut."""
    raw = text.encode("utf-8", "replace")
    if len(raw) <= size:
        return text
    return raw[: max(0, size - len(MARK))].decode("utf-8", "ignore") + MARK


def error(reported: dict[str, Any]) -> dict[str, Any]:
    """A provider's error as OpenCode words it, in the words of the report."""
    details = wire.section(reported, "data")
    name = wire.text(reported, "name") or "Error"
    report: dict[str, Any] = {"name": name, "message": wire.text(details, "message") or name}
    status = details.get("statusCode")
    return {**report, "statusCode": status} if isinstance(status, int) else report


def _encode(report: Mapping[str, Any]) -> bytes:
    return json.dumps(report, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _shorten(report: dict[str, Any], excess: int) -> bool:
    """Take about `excess` bytes from the result, then from the longest output, then from the error and the title."""
    outputs: dict[str, Any] = wire.section(wire.section(report, "outputs"), "parameters")
    longest = max(outputs, key=lambda name: len(outputs[name]), default="")
    places: list[tuple[dict[str, Any], str]] = [(report, "result")]
    if longest:
        places.append((outputs, longest))
    places += [(wire.section(report, "error"), "message"), (wire.section(report, "session"), "title")]
    for holder, name in places:
        text = holder.get(name)
        if not isinstance(text, str) or len(text) <= 64:
            continue
        holder[name] = _shorter(text, excess)
        if holder is outputs and name not in report.setdefault("truncated", []):
            report["truncated"].append(name)
        return True
    return False


def _shorter(text: str, excess: int) -> str:
    """The text made shorter by at least a little, however its characters are escaped."""
    body = text[: -len(MARK)] if text.endswith(MARK) else text
    size = len(body.encode("utf-8", "replace"))
    step = max(1, min(excess, size // 4)) + len(MARK)
    return cut(body, max(32, size - step))
