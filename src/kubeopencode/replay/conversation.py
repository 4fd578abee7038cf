"""Reads a chat-completions request: what was asked, how far the work is, where the agent works. Pure."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any, cast

from kubeopencode.api.meta import Json

_DIRECTORY = re.compile(r"^\s*(?:Working directory|working directory|cwd)\s*:\s*(\S.*?)\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Conversation:
    """What the scripted model makes of a request."""

    model: str
    question: str
    """The last words of the user."""
    step: int
    """Answers of the model since the question."""
    workspace: str
    """The agent's working directory as its system prompt tells it; empty if it does not."""
    streams: bool
    offers_tools: bool
    identity: str
    """The same for the same request, so that ids are the same in each run."""


def read(request: Json) -> Conversation:
    """The conversation in a request.

    Raises:
        ValueError: `messages` is not a list of objects.
    """
    raw = request.get("messages")
    if not isinstance(raw, list):
        raise ValueError("messages: a list is expected")
    messages = [cast("Json", each) for each in cast("list[object]", raw) if isinstance(each, dict)]
    asked = _last_question(messages)
    system = "\n".join(text_of(each) for each in messages if each.get("role") in ("system", "developer"))
    question = "\n".join(text_of(each) for each in messages[_first_of_run(messages, asked) : asked + 1])
    step = sum(1 for each in messages[asked + 1 :] if each.get("role") == "assistant")
    directory = _DIRECTORY.search(system)
    seed = f"{request.get('model')}\0{question}\0{step}"
    return Conversation(
        model=str(request.get("model") or ""),
        question=question,
        step=step,
        workspace=directory.group(1) if directory else "",
        streams=bool(request.get("stream")),
        offers_tools=bool(request.get("tools")),
        identity=hashlib.sha256(seed.encode()).hexdigest()[:16],
    )


def text_of(message: Json) -> str:
    """The words of a message, whether its content is a text or a list of parts."""
    content: Any = message.get("content")
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    parts = [cast("Json", each) for each in cast("list[object]", content) if isinstance(each, dict)]
    return "\n".join(str(part.get("text") or "") for part in parts if part.get("type") == "text")


def filled(value: Any, workspace: str) -> Any:
    """The value with `{workspace}` replaced in all its texts."""
    if isinstance(value, str):
        return value.replace("{workspace}", workspace or ".")
    if isinstance(value, list):
        return [filled(each, workspace) for each in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {name: filled(each, workspace) for name, each in cast("Json", value).items()}
    return value


def _last_question(messages: list[Json]) -> int:
    return max((index for index, each in enumerate(messages) if each.get("role") == "user"), default=-1)


def _first_of_run(messages: list[Json], last: int) -> int:
    """A question may arrive as several messages of the user in a row, for example with an attached file."""
    first = max(last, 0)
    while first > 0 and messages[first - 1].get("role") == "user":
        first -= 1
    return first
