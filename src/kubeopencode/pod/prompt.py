"""What a Task tells the agent: the text, files beside it, and contexts for the system prompt. Reads files only."""

from __future__ import annotations

import base64
import mimetypes
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubeopencode.pod.failure import Failure


@dataclass(frozen=True)
class Prompt:
    """The files that make up a prompt, and who shall answer it."""

    file: str
    contexts: tuple[str, ...] = ()
    attachments: tuple[str, ...] = ()
    model: str = ""
    """`provider/model`; empty for the server's own choice."""
    agent: str = ""

    def body(self) -> dict[str, Any]:
        """The request that carries everything, whatever its length or first character.

        Raises:
            Failure: a file cannot be read, the text is empty, or the model is not `provider/model`.
        """
        text = _read(self.file).decode("utf-8", "replace")
        if not text.strip():
            raise Failure(f"--file: {self.file} is empty; the agent needs something to do")
        parts: list[dict[str, Any]] = [{"type": "text", "text": text}]
        parts += [_attachment(path) for path in self.attachments]
        body: dict[str, Any] = {"parts": parts}
        if contexts := "\n\n".join(_read(path).decode("utf-8", "replace") for path in self.contexts):
            body["system"] = contexts
        if self.model:
            provider, slash, name = self.model.partition("/")
            if not (provider and slash and name):
                raise Failure(f'--model: "{self.model}" is not provider/model')
            body["model"] = {"providerID": provider, "modelID": name}
        return {**body, "agent": self.agent} if self.agent else body


def _attachment(path: str) -> dict[str, Any]:
    content = _read(path)
    try:
        content.decode("utf-8")
        kind = "text/plain"
    except UnicodeDecodeError:
        kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
    url = f"data:{kind};base64,{base64.b64encode(content).decode()}"
    return {"type": "file", "mime": kind, "filename": Path(path).name, "url": url}


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise Failure(f"{path} cannot be read: {error.strerror}") from None
