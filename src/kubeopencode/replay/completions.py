"""An answer in the words of the OpenAI chat-completions API, whole or in pieces. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from kubeopencode.api.meta import Json
from kubeopencode.replay.script import Tool, Usage

_PIECE = 24
"""Characters in one piece of a streamed text: enough pieces to show streaming, few enough to be quick."""


@dataclass(frozen=True)
class Answer:
    """What the model says in one turn."""

    identity: str
    model: str
    text: str
    tool: Tool | None
    usage: Usage

    @property
    def finish(self) -> str:
        """Why the model stopped."""
        return "tool_calls" if self.tool else "stop"


def whole(answer: Answer) -> Json:
    """The answer as one JSON object."""
    message: Json = {"role": "assistant", "content": answer.text or None}
    if answer.tool:
        message["tool_calls"] = [_call(answer, answer.tool)]
    choice = {"index": 0, "message": message, "finish_reason": answer.finish}
    return _frame(answer, "chat.completion") | {"choices": [choice], "usage": _usage(answer.usage)}


def pieces(answer: Answer) -> Iterator[Json]:
    """The answer as the objects of a stream; the last one carries the usage."""
    yield _chunk(answer, {"role": "assistant", "content": ""})
    for start in range(0, len(answer.text), _PIECE):
        yield _chunk(answer, {"content": answer.text[start : start + _PIECE]})
    if answer.tool:
        yield _chunk(answer, {"tool_calls": [{"index": 0} | _call(answer, answer.tool)]})
    yield _chunk(answer, {}, answer.finish)
    yield _frame(answer, "chat.completion.chunk") | {"choices": [], "usage": _usage(answer.usage)}


def error(status: int, message: str) -> Json:
    """A refusal as providers word it."""
    kinds = {400: "invalid_request_error", 401: "authentication_error", 429: "rate_limit_error"}
    return {"error": {"message": message, "type": kinds.get(status, "server_error"), "code": str(status)}}


def _frame(answer: Answer, kind: str) -> Json:
    return {"id": f"chatcmpl-{answer.identity}", "object": kind, "created": 0, "model": answer.model}


def _chunk(answer: Answer, delta: Json, finish: str | None = None) -> Json:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return _frame(answer, "chat.completion.chunk") | {"choices": [choice]}


def _call(answer: Answer, tool: Tool) -> Json:
    function = {"name": tool.name, "arguments": json.dumps(tool.args)}
    return {"id": f"call_{answer.identity}", "type": "function", "function": function}


def _usage(usage: Usage) -> Json:
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
    }
