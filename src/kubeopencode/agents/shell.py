"""Shell scripts that stand before an agent's program. Plain text; nothing of a user's is ever pasted into them."""

from __future__ import annotations


def supervised(command: str, then: str = "") -> str:
    """A script that runs `command`, passes a termination signal on to it, and ends with its exit code.

    Agents install no handler for SIGTERM, and the first process of a container ignores what it does not handle: it
    would be killed only after the grace period. So the shell stays in front. `then` runs after the command.
    """
    lines = (
        f"{command} &",
        "child=$!",
        "trap 'kill -TERM \"$child\" 2>/dev/null' TERM INT",
        'wait "$child"; code=$?',
        'while kill -0 "$child" 2>/dev/null; do wait "$child"; code=$?; done',
        then,
        'exit "$code"',
    )
    return "\n".join(line for line in lines if line) + "\n"
