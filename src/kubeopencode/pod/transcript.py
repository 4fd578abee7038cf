"""A session as text that a person reads: what `kubectl logs` shows.

It may be told the same thing any number of times, by events or by reading the whole session again, and prints it once.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from kubeopencode.pod import termination, wire

# Escape sequences of terminals, then all other control characters and those that turn the direction of text.
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|.)?")
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")

_INPUTS = ("command", "filePath", "path", "pattern", "url", "query", "name", "description", "prompt")
"""Arguments that tell best what a tool is called for; the first that is there is shown."""

WIDTH = 200
"""Characters of a tool's input or outcome."""


def clean(text: str) -> str:
    """The text without anything that could act upon a terminal."""
    return _CONTROLS.sub("", _ESCAPES.sub("", text.replace("\r\n", "\n")))


def brief(text: str) -> str:
    """The text on one line of bounded length."""
    line = " ".join(clean(text).split())
    return line if len(line) <= WIDTH else line[: WIDTH - 1] + "…"


class Transcript:
    """Prints what the assistant says and does, in order, each thing once, through `write` (one whole line a time)."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._assistant: set[str] = set()
        self._texts: dict[str, str] = {}
        self._printed: dict[str, int] = {}
        self._tools: dict[str, str] = {}
        self._notes: set[str] = set()

    def message(self, info: dict[str, Any]) -> None:
        """A message exists; only those of the assistant are shown, the prompt is the Task's own."""
        if info.get("role") == "assistant":
            self._assistant.add(str(info.get("id")))

    def part(self, part: dict[str, Any]) -> None:
        """A part of a message as it is now."""
        if part.get("messageID") not in self._assistant:
            return
        identity, kind = str(part.get("id")), part.get("type")
        if kind == "text":
            said = str(part.get("text") or "")
            # A snapshot taken before the last delta must not take words back.
            if len(said) >= len(self._texts.get(identity, "")):
                self._texts[identity] = said
            self._spoken(identity, ended=bool(wire.section(part, "time").get("end")))
        elif kind == "tool":
            self._tool(identity, str(part.get("tool")), wire.section(part, "state"))
        elif kind == "retry":
            reason = termination.error(wire.section(part, "error"))["message"]
            self.note(f"! attempt {part.get('attempt')} failed: {brief(reason)}")
        elif kind == "subtask":
            self.note(f"> subtask: {brief(str(part.get('description') or ''))}")

    def delta(self, message: str, part: str, text: str) -> None:
        """More words of a text part that is known already."""
        if message in self._assistant and part in self._texts:
            self._texts[part] += text
            self._spoken(part, ended=False)

    def note(self, line: str) -> None:
        """A remark of ours or of the server's; the same one is not repeated."""
        if line not in self._notes:
            self._notes.add(line)
            self._write(line)

    def close(self) -> None:
        """Print what is left of unfinished lines."""
        self._catch_up()

    def _catch_up(self) -> None:
        """Words said so far come before what is done next, even in the middle of a line."""
        for identity, text in self._texts.items():
            self._print(identity, len(text))

    def _print(self, identity: str, end: int) -> None:
        """The text up to `end`, as far as it is new."""
        start = self._printed.get(identity, 0)
        if end <= start:
            return
        self._printed[identity] = end
        for line in clean(self._texts[identity][start:end]).rstrip("\n").split("\n"):
            self._write(line)

    def _spoken(self, identity: str, *, ended: bool) -> None:
        """Print whole lines, and at the end of the text the rest."""
        text = self._texts[identity]
        self._print(identity, len(text) if ended else text.rfind("\n") + 1)

    def _tool(self, identity: str, name: str, state: dict[str, Any]) -> None:
        status, before = str(state.get("status")), self._tools.get(identity, "")
        if status == "pending" or before in ("completed", "error"):
            return
        if not before:
            self._catch_up()
            self._write(f"> {brief(name)}: {_shown_input(state.get('input') or {})}".rstrip(": "))
        self._tools[identity] = status
        if status == "completed":
            self._write("  " + _outcome(state))
        elif status == "error":
            self._write(f"  failed: {brief(str(state.get('error') or 'no reason given'))}")


def _shown_input(arguments: dict[str, Any]) -> str:
    for name in _INPUTS:
        if isinstance(arguments.get(name), str) and arguments[name]:
            return brief(arguments[name])
    return ""


def _outcome(state: dict[str, Any]) -> str:
    metadata = wire.section(state, "metadata")
    status = metadata.get("exit")
    lines = [line for line in clean(str(state.get("output") or "")).split("\n") if line.strip()]
    last = brief(lines[-1]) if lines and isinstance(status, int) else ""
    word = f"exit status {status}" if isinstance(status, int) and status else "ok"
    return f"{word}: {last}" if last else word
