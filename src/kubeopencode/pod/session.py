"""One session on an OpenCode server: found or made, given its prompt once, read, answered for, ended.

The server is asked, never believed by its event stream alone: events may be lost, the state may not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

from kubeopencode.pod import termination, wire
from kubeopencode.pod.opencode_api import Refused, Server

_GENERATIONS = 8
"""How deep sub-agents may start sub-agents and still have their questions answered."""


@dataclass(frozen=True)
class State:
    """A session at one moment."""

    status: dict[str, Any]
    """`{"type": "idle" | "busy" | "retry", …}`."""
    messages: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """`{"info": …, "parts": […]}`, oldest first."""

    @property
    def idle(self) -> bool:
        """Whether the server works on nothing of this session."""
        return self.status.get("type", "idle") == "idle"

    @property
    def answers(self) -> list[dict[str, Any]]:
        """The assistant's messages."""
        return [each for each in self.messages if each["info"].get("role") == "assistant"]

    @property
    def prompted(self) -> bool:
        """Whether the session has its prompt."""
        return any(each["info"].get("role") == "user" for each in self.messages)

    @property
    def error(self) -> dict[str, Any] | None:
        """What broke the last answer."""
        problem = self.answers[-1]["info"].get("error") if self.answers else None
        return termination.error(problem) if problem else None

    @property
    def complete(self) -> bool:
        """Whether the last message is an answer that the assistant has ended, well or badly."""
        if not self.messages or self.messages[-1]["info"].get("role") != "assistant":
            return False
        info = self.messages[-1]["info"]
        return bool(info.get("error") or wire.section(info, "time").get("completed"))

    @property
    def interrupted(self) -> bool:
        """Whether the answer ended at a tool, so that the work was given up half-way: a refused permission does it."""
        return self.complete and self.error is None and self.answers[-1]["info"].get("finish") == "tool-calls"

    @property
    def result(self) -> str:
        """The assistant's last words."""
        for answer in reversed(self.answers):
            texts = [str(part.get("text") or "") for part in answer["parts"] if part.get("type") == "text"]
            if text := "\n".join(texts).strip():
                return text
        return ""


class Session:
    """The session with this id; nothing is asked of the server before a method is called."""

    def __init__(self, server: Server, identity: str) -> None:
        self.server = server
        self.id = identity
        self._known: dict[str, bool] = {identity: True}

    def ensure(self, title: str) -> None:
        """Make the session where it is missing, and give it its title."""
        try:
            found = self.server.get(f"/session/{self.id}")
        except Refused as refused:
            if refused.status != 404:
                raise
            self.server.post("/api/session", {"id": self.id, "location": {"directory": self.server.directory}})
            found = None
        if not isinstance(found, dict) or wire.text(cast("dict[str, Any]", found), "title") != title:
            self.server.request("PATCH", f"/session/{self.id}", {"title": title})

    def prompt(self, body: dict[str, Any]) -> None:
        """Hand over the prompt; the server answers before it begins to work."""
        self.server.post(f"/session/{self.id}/prompt_async", body)

    def status(self) -> dict[str, Any]:
        """What the server does for the session now."""
        return wire.section(self.server.get("/session/status"), self.id) or {"type": "idle"}

    def state(self) -> State:
        """Status and messages. The status is read first: what is idle then has all its messages afterwards."""
        status = self.status()
        return State(status, wire.objects(self.server.get(f"/session/{self.id}/message")))

    def abort(self) -> None:
        """End all work on the session."""
        self.server.post(f"/session/{self.id}/abort")

    def answer_questions(self, reply: str) -> list[str]:
        """Reply to what the session and its sub-agents ask; returns a line about each.

        `reply` is `once` or `reject`, for permissions. Questions for a person are always declined.
        """
        lines: list[str] = []
        for asked in wire.objects(self.server.get("/permission")):
            if self.owns(asked["sessionID"]) and self._reply(f"/permission/{asked['id']}/reply", {"reply": reply}):
                word = "allowed" if reply == "once" else "rejected"
                lines.append(
                    f"{asked.get('permission')} {' '.join(map(str, asked.get('patterns', ())))}: {word} by policy"
                )
        for asked in wire.objects(self.server.get("/question")):
            if self.owns(asked["sessionID"]) and self._reply(f"/question/{asked['id']}/reject", None):
                lines.append("a question for a person was declined; nobody watches this session")
        return lines

    def owns(self, session: str) -> bool:
        """Whether this is the session or one that its sub-agents run in. Other sessions are none of our business."""
        trail: list[str] = []
        current = session
        while current not in self._known and len(trail) < _GENERATIONS:
            trail.append(current)
            try:
                current = str(self.server.get(f"/session/{current}").get("parentID") or "")
            except Refused:
                current = ""
            if not current:
                break
        ours = self._known.get(current, False)
        self._known.update(dict.fromkeys(trail, ours))
        return ours

    def report(self, state: State) -> dict[str, Any]:
        """The session as the termination message has it; tokens and cost include those of its sub-agents."""
        family = self._family()
        info, tokens = family[0], [wire.section(each, "tokens") for each in family]
        summary, cache = wire.section(info, "summary"), [wire.section(each, "cache") for each in tokens]
        report: dict[str, Any] = {
            "session": {
                "id": self.id,
                "title": info.get("title") or "",
                "messageCount": len(state.messages),
                "tokens": {
                    **{
                        kind: sum(wire.whole(each, kind) for each in tokens)
                        for kind in ("input", "output", "reasoning")
                    },
                    "cache": sum(wire.whole(each, "read") + wire.whole(each, "write") for each in cache),
                },
                "cost": f"{sum(float(each.get('cost') or 0) for each in family):.6f}",
                "filesChanged": wire.whole(summary, "files"),
                "additions": wire.whole(summary, "additions"),
                "deletions": wire.whole(summary, "deletions"),
            },
            "result": state.result,
        }
        return {**report, "error": state.error} if state.error else report

    def _family(self) -> list[dict[str, Any]]:
        """The session and those of its sub-agents, as far down as they go."""
        family: list[dict[str, Any]] = [self.server.get(f"/session/{self.id}")]
        generation = family
        for _ in range(_GENERATIONS):
            children = [wire.objects(self.server.get(f"/session/{each['id']}/children")) for each in generation]
            generation = [child for each in children for child in each]
            family = [*family, *generation]
            if not generation:
                break
        return family

    def _reply(self, path: str, body: Any) -> bool:
        try:
            self.server.post(path, body)
        except Refused as refused:
            if refused.status == 401:
                raise
            return False  # somebody else, for example a person in the web interface, has answered meanwhile
        return True
