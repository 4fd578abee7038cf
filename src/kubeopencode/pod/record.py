"""`record`: after an agent has ended, reads what its session came to and the results it promised.

It runs beside the agent. As a native sidecar it gets SIGTERM when the agent's container has ended; as an ordinary
container it waits for the file `done` beside the database. It reads only: the database is the agent's.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import stat
import sys
from contextlib import closing
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

from kubeopencode.pod import termination, wire
from kubeopencode.pod.failure import Failure

MAX_PARAMETER = 4096
"""Bytes of one result; Kubernetes keeps no more of all of them together."""

_SIGNALS = (signal.SIGTERM, signal.SIGINT)

_SESSION = """
    SELECT * FROM session WHERE parent_id IS NULL
    ORDER BY title = :title DESC, time_created DESC, id LIMIT 1
"""

_USAGE = """
    WITH RECURSIVE family(id) AS (SELECT ? UNION SELECT session.id FROM session JOIN family ON parent_id = family.id)
    SELECT sum(tokens_input) AS input, sum(tokens_output) AS output, sum(tokens_reasoning) AS reasoning,
        sum(tokens_cache_read + tokens_cache_write) AS cache, sum(cost) AS cost
    FROM session JOIN family USING (id)
"""
# Sub-agents work in sessions of their own, and what they spend counts.


def main(arguments: list[str]) -> int:
    """Wait for the agent's end, then leave the report as termination message.

    Raises:
        Failure: OUTPUT_SPEC cannot be read.
    """
    if arguments:
        raise Failure(f'"{arguments[0]}" is not expected; record is configured by its environment')
    _hold_signals()
    parameters = _parameters(os.environ.get("OUTPUT_SPEC") or "{}")
    database = Path(os.environ.get("OPENCODE_DB") or "/record/opencode.db")
    wait(database.parent / "done")
    report = session_report(database, os.environ.get("TASK_TITLE") or "")
    report.update(outputs(parameters, Path(os.environ.get("WORKSPACE_DIR") or "/workspace")))
    termination.write(report)
    return 0


POLL = 0.1
"""Seconds between two looks for the file that says that the agent has ended."""


def wait(done: Path) -> None:
    """Return when a signal says that the agent has ended, or when the file is there."""
    _hold_signals()
    while not done.exists():
        if signal.sigtimedwait(_SIGNALS, POLL) is not None:
            return


def _hold_signals() -> None:
    """Blocked and taken later: neither lost before we wait nor ignored because we are the first process."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)


def session_report(database: Path, title: str) -> dict[str, Any]:
    """Session, result and error of the newest session with this title; without one, of the newest of all.

    Empty when the agent left no database, which is so when it failed before it began.
    """
    if not database.is_file():
        return {}
    try:
        with closing(sqlite3.connect(f"file:{quote(str(database))}?mode=ro", uri=True, timeout=5)) as connection:
            connection.row_factory = sqlite3.Row
            found = connection.execute(_SESSION, {"title": title}).fetchone()
            return _read(connection, found) if found else {}
    except sqlite3.Error as error:
        sys.stderr.write(f"record: the session cannot be read from {database}: {error}\n")
        return {}


def outputs(parameters: list[dict[str, Any]], workspace: Path) -> dict[str, Any]:
    """The promised results: white space trimmed, the default where the file is missing, long ones cut and named."""
    values: dict[str, str] = {}
    truncated: list[str] = []
    for parameter in parameters:
        name = str(parameter["name"])
        text = _content(workspace, str(parameter["path"]))
        if text is None:
            default = parameter.get("default")
            text = default if isinstance(default, str) else None
        if text is None:
            continue
        values[name] = termination.cut(text.strip(), MAX_PARAMETER)
        if values[name] != text.strip():
            truncated.append(name)
    report: dict[str, Any] = {"outputs": {"parameters": values}} if values else {}
    return {**report, "truncated": truncated} if truncated else report


def _parameters(text: str) -> list[dict[str, Any]]:
    try:
        spec: object = json.loads(text)
    except ValueError:
        spec = None
    if isinstance(spec, dict):
        parameters = wire.objects(cast("dict[str, Any]", spec).get("parameters"))
        if all(wire.text(each, "name") and wire.text(each, "path") for each in parameters):
            return parameters
    raise Failure('OUTPUT_SPEC: {"parameters":[{"name":…,"path":…}]} is expected')


def _content(workspace: Path, path: str) -> str | None:
    """The beginning of a regular file below the workspace. Links that lead out of it are not followed."""
    try:
        home = workspace.resolve()
        real = (workspace / path).resolve()
        if home not in real.parents:
            sys.stderr.write(f'record: "{path}" is outside of {workspace} and is left out\n')
            return None
        # Without O_NONBLOCK a named pipe would hold us until somebody writes to it.
        with os.fdopen(os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return None
            # White space is trimmed before the limit counts, so there is room for some of it.
            return file.read(16 * MAX_PARAMETER).decode("utf-8", "replace")
    except (OSError, ValueError, RuntimeError):
        return None


def _read(connection: sqlite3.Connection, session: sqlite3.Row) -> dict[str, Any]:
    query = "SELECT id, data FROM message WHERE session_id = ? ORDER BY time_created, id"
    messages = [(row["id"], json.loads(row["data"])) for row in connection.execute(query, (session["id"],))]
    usage = connection.execute(_USAGE, (session["id"],)).fetchone()
    answers = [(identity, data) for identity, data in messages if data.get("role") == "assistant"]
    report: dict[str, Any] = {
        "session": {
            "id": session["id"],
            "title": session["title"],
            "messageCount": len(messages),
            "tokens": {kind: usage[kind] for kind in ("input", "output", "reasoning", "cache")},
            "cost": f"{usage['cost']:.6f}",
            "filesChanged": session["summary_files"] or 0,
            "additions": session["summary_additions"] or 0,
            "deletions": session["summary_deletions"] or 0,
        },
        "result": _last_words(connection, [identity for identity, _ in answers]),
    }
    if answers and (problem := answers[-1][1].get("error")):
        report["error"] = termination.error(problem)
    return report


def _last_words(connection: sqlite3.Connection, answers: list[str]) -> str:
    query = "SELECT data FROM part WHERE message_id = ? ORDER BY id"
    for identity in reversed(answers):
        parts = [json.loads(row["data"]) for row in connection.execute(query, (identity,))]
        texts = [str(part.get("text") or "") for part in parts if part.get("type") == "text"]
        if text := "\n".join(texts).strip():
            return text
    return ""
