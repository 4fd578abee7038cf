"""`task-run`: hands a Task to an Agent's live server and follows it to its end.

It prints the session as it goes, leaves usage and result in the termination message, and its exit status tells the
truth: OpenCode's own client exits 0 when the provider refuses. Killed and started again it follows the session that
it finds; a prompt is never sent twice. The password comes by environment and is never printed.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import signal
import sys
from typing import Any

from kubeopencode.pod import termination
from kubeopencode.pod.failure import Failure
from kubeopencode.pod.follow import Follower, Limits, Terminated
from kubeopencode.pod.opencode_api import Server
from kubeopencode.pod.prompt import Prompt
from kubeopencode.pod.session import Session
from kubeopencode.pod.transcript import Transcript, clean

TERMINATED = 143
"""Exit status after SIGTERM or SIGINT, as a shell would tell it."""


def main(arguments: list[str]) -> int:
    """Run the Task; 0 when the agent has finished, 1 when it could not, 143 when it was told to stop."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _terminate)
    signal.signal(signal.SIGINT, _terminate)
    try:
        report, status = _run(options), 0
    except Terminated as stopped:
        report, status = {"error": {"name": "Terminated", "message": str(stopped)}}, TERMINATED
    except Failure as failure:
        report, status = {"error": {"name": type(failure).__name__, "message": str(failure)}}, 1
    if "error" in report:
        status = status or (TERMINATED if report["error"]["name"] == "Terminated" else 1)
        _print(f"error: {report['error']['message']}")
    termination.write(report)
    return status


def _run(options: argparse.Namespace) -> dict[str, Any]:
    prompt = Prompt(options.file, tuple(options.context), tuple(options.attachment), options.model, options.agent)
    body = prompt.body()
    server = Server(
        options.attach,
        username=os.environ.get("OPENCODE_SERVER_USERNAME") or "opencode",
        password=os.environ.get("OPENCODE_SERVER_PASSWORD") or "",
        directory=options.directory,
    )
    session = Session(server, options.session or _session_id(options.title))
    limits = Limits(patience=options.patience, timeout=options.timeout)
    follower = Follower(session, Transcript(_print), limits, _policy())
    return follower.run(options.title, body)


def _session_id(title: str) -> str:
    """The same for the same title, so that a second run finds the session of the first."""
    return "ses_" + hashlib.sha256(title.encode()).hexdigest()[:24]


def _policy() -> str:
    """What to reply to questions of permission."""
    value = os.environ.get("TASK_PERMISSION") or "allow"
    if value not in ("allow", "reject"):
        raise Failure(f'TASK_PERMISSION: "{value}" is neither allow nor reject')
    return "once" if value == "allow" else "reject"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="task-run", allow_abbrev=False, description="Run a Task on a live server.")
    parser.add_argument("--attach", required=True, metavar="URL", help="the server")
    parser.add_argument("--title", required=True, help="title of the session")
    parser.add_argument("--file", required=True, help="the prompt")
    parser.add_argument("--context", action="append", default=[], metavar="FILE", help="goes to the system prompt")
    parser.add_argument("--attachment", action="append", default=[], metavar="FILE", help="goes along as a file")
    parser.add_argument("--directory", default="", help="where the server works; default its own")
    parser.add_argument("--session", default="", metavar="ID", help="id of the session; default from the title")
    parser.add_argument("--model", default="", metavar="PROVIDER/MODEL")
    parser.add_argument("--agent", default="", metavar="NAME")
    parser.add_argument("--timeout", type=float, default=0.0, metavar="S", help="end the work after this; 0 = never")
    parser.add_argument("--patience", type=float, default=120.0, metavar="S", help="how long the server may be away")
    return parser


def _terminate(number: int, _frame: object) -> None:
    """Interrupt whatever is going on, once: the way down must not be interrupted."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise Terminated(f"stopped by {signal.Signals(number).name}")


def _print(line: str) -> None:
    sys.stdout.write(clean(line) + "\n")
    sys.stdout.flush()
