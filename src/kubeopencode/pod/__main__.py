"""The door of the system image: `/kubeopencode SUBCOMMAND`. Loads only what the subcommand needs."""

from __future__ import annotations

import importlib
import sys

from kubeopencode.pod.failure import Failure

COMMANDS = {
    "context-init": "kubeopencode.pod.context_init",
    "record": "kubeopencode.pod.record",
    "task-run": "kubeopencode.pod.task_run",
    "git-init": "kubeopencode.pod.git_init",
}
"""Each module has `main(arguments) -> exit status`."""


def main(arguments: list[str]) -> int:
    """Run a subcommand; what the user can mend ends as one sentence on standard error and status 1."""
    if not arguments or arguments[0] not in COMMANDS:
        given = f'"{arguments[0]}" is no subcommand' if arguments else "a subcommand is missing"
        sys.stderr.write(f"kubeopencode: {given}; use one of {', '.join(COMMANDS)}\n")
        return 2
    try:
        return int(importlib.import_module(COMMANDS[arguments[0]]).main(arguments[1:]))
    except Failure as failure:
        sys.stderr.write(f"{arguments[0]}: {failure}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
