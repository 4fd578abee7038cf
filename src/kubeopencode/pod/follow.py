"""Follows a session to its end: events make it lively, the server's state decides.

The stream of events is read by a thread of its own. It only ever says "look"; whether the work has ended, how, and
what was said is read from the server, so a lost event costs seconds and never the result.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from kubeopencode.pod import termination, wire
from kubeopencode.pod.failure import Failure
from kubeopencode.pod.opencode_api import Refused, Server, Unreachable
from kubeopencode.pod.session import Session, State
from kubeopencode.pod.transcript import Transcript, brief

T = TypeVar("T")

LOOK_SECONDS = 5.0
"""The state is looked at this often even when no event asks for it."""

START_SECONDS = 20.0
"""How long a session may be idle after its prompt without an answer, before we take the work for lost."""

ABORT_SECONDS = 8.0
"""How long we try to end the work on the server; a Pod has 30 s of grace."""


class Terminated(BaseException):
    """Somebody told us to stop. No ordinary handler may swallow it."""


class Lost(Failure):
    """The server has forgotten the work, or has been away for too long."""


class TimedOut(Failure):
    """The work took longer than it was allowed to."""


@dataclass(frozen=True)
class Limits:
    """Seconds. `patience` is for a server that does not answer; `timeout` is for the whole work, 0 for none."""

    patience: float = 120.0
    timeout: float = 0.0


class Follower:
    """Runs one prompt in one session; `reply` is what permissions are answered with, `once` or `reject`."""

    def __init__(self, session: Session, transcript: Transcript, limits: Limits, reply: str) -> None:
        self.session = session
        self.transcript = transcript
        self.limits = limits
        self.reply = reply
        self._events: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._deadline = time.monotonic() + limits.timeout if limits.timeout else float("inf")
        self._idle_since: float | None = None
        self._said_last: dict[str, Any] | None = None

    def run(self, title: str, body: dict[str, Any]) -> dict[str, Any]:
        """Prompt the session unless that was done before, follow it, report.

        Raises:
            Failure: the server is not there, or refuses what is asked of it.
            Terminated: we were told to stop before there was a session.
        """
        server = self.session.server
        self._insist(server.check_health)
        if not server.directory:
            server.directory = str(self._insist(lambda: server.get("/path")).get("directory") or "")
        try:
            self._insist(lambda: self.session.ensure(title))
            self.transcript.note(f"session {self.session.id} on {server.url}")
            self._begin(body)
            state = self._follow()
        except (Terminated, Lost, TimedOut, Refused) as ending:
            return self._abandon(ending)
        return self._report(state)

    def _begin(self, body: dict[str, Any]) -> None:
        """Listen first, then prompt, so that not even the first event is missed."""
        listening = threading.Event()
        threading.Thread(target=_listen, args=(self.session.server, self._events, listening), daemon=True).start()
        listening.wait(10.0)
        if self._insist(self.session.state).prompted:
            self.transcript.note("the session has its prompt already; following it")
            return
        try:
            self.session.prompt(body)
        except Unreachable:
            # It may have arrived all the same; only a session without a prompt is given one.
            if not self._insist(self.session.state).prompted:
                self._insist(lambda: self.session.prompt(body))

    def _follow(self) -> State:
        look_at = time.monotonic()
        while True:
            if time.monotonic() > self._deadline:
                raise TimedOut(f"the work took longer than {self.limits.timeout:g} s and was ended")
            if self._drain(min(look_at, self._deadline)) or time.monotonic() >= look_at:
                look_at = time.monotonic() + LOOK_SECONDS
                state = self._insist(self._look)
                if self._ended(state):
                    return state
                if state.idle:
                    look_at = time.monotonic() + 0.5

    def _drain(self, until: float) -> bool:
        """Show events as they come; True as soon as one asks for a look at the state."""
        while (left := until - time.monotonic()) > 0:
            try:
                event = self._events.get(timeout=left)
            except queue.Empty:
                return False
            if self._show(event):
                return True
        return False

    def _show(self, event: dict[str, Any]) -> bool:
        kind, properties = str(event.get("type")), wire.section(event, "properties")
        if kind in ("permission.asked", "question.asked", "server.connected", "stream.dropped"):
            return True
        if properties.get("sessionID", wire.section(properties, "info").get("sessionID")) != self.session.id:
            return False
        if kind == "message.updated":
            self.transcript.message(wire.section(properties, "info"))
        elif kind == "message.part.updated":
            self.transcript.part(wire.section(properties, "part"))
        elif kind == "message.part.delta" and properties.get("field") == "text":
            self.transcript.delta(properties["messageID"], properties["partID"], str(properties.get("delta") or ""))
        elif kind == "session.error":
            self._said_last = wire.section(properties, "error")
            return True
        elif kind == "session.status":
            self._tell_retry(wire.section(properties, "status"))
        return kind == "session.idle"

    def _tell_retry(self, status: dict[str, Any]) -> None:
        if status.get("type") == "retry":
            self.transcript.note(f"! attempt {status.get('attempt')} failed: {brief(str(status.get('message')))}")

    def _look(self) -> State:
        """The session as it is, its questions answered, its new words printed."""
        for line in self.session.answer_questions(self.reply):
            self.transcript.note(f"? {brief(line)}")
        state = self.session.state()
        self._tell_retry(state.status)
        for message in state.messages:
            self.transcript.message(message["info"])
            for part in message["parts"]:
                self.transcript.part(part)
        return state

    def _ended(self, state: State) -> bool:
        """Idle with a finished answer is the end; idle without one is a beginning, or a server that lost the work."""
        if not state.idle:
            self._idle_since = None
            return False
        if state.complete and not state.interrupted:
            return True
        now = time.monotonic()
        self._idle_since = self._idle_since or now
        waited = now - self._idle_since
        if state.interrupted or self._said_last:
            return waited >= 1.0
        if waited >= START_SECONDS:
            raise Lost("the server stopped working on the session without an answer; was it restarted?")
        return False

    def _report(self, state: State) -> dict[str, Any]:
        self.transcript.close()
        report = self._insist(lambda: self.session.report(state))
        if "error" not in report and not state.complete and self._said_last:
            return {**report, "error": termination.error(self._said_last)}
        if "error" not in report and state.interrupted:
            message = "the agent stopped at a tool that was refused, before it had finished"
            return {**report, "error": {"name": "Interrupted", "message": message}}
        return report

    def _abandon(self, ending: BaseException) -> dict[str, Any]:
        """End the work on the server, so that spending stops, then report what there is."""
        self.transcript.close()
        report: dict[str, Any] = {"session": {"id": self.session.id}}
        until = time.monotonic() + ABORT_SECONDS
        while time.monotonic() < until:
            # A prompt on its way may begin after a first abort, so the end is what the server says it is.
            try:
                self.session.abort()
                time.sleep(0.3)
                state = self.session.state()
                if state.idle:
                    report = self.session.report(state)
                    break
            except Refused:
                break  # there is no such session, or we may not touch it
            except Unreachable:
                pass
            time.sleep(0.2)
        return {**report, "error": {"name": type(ending).__name__, "message": str(ending)}}

    def _insist(self, ask: Callable[[], T]) -> T:
        """The answer, however often it takes to ask, within our patience and the time of the whole work.

        Raises:
            Lost: the server has not answered for so long.
            Refused: it answered with an error.
        """
        since = time.monotonic()
        while True:
            try:
                return ask()
            except Unreachable as error:
                if time.monotonic() - since >= self.limits.patience:
                    url = self.session.server.url
                    raise Lost(f"{url} has not answered for {self.limits.patience:g} s: {error}") from None
                if time.monotonic() > self._deadline:
                    raise TimedOut(f"the work took longer than {self.limits.timeout:g} s and was ended") from None
            time.sleep(0.5)


def _listen(server: Server, events: queue.SimpleQueue[dict[str, Any]], listening: threading.Event) -> None:
    """Feed events for ever; a stream that breaks is opened again, and says so, so that the state is read anew."""
    pause = 0.5
    while True:
        with suppress(Unreachable, Refused):
            for event in server.events():
                listening.set()
                pause = 0.5
                events.put(event)
        events.put({"type": "stream.dropped"})
        time.sleep(pause)
        pause = min(5.0, pause * 2)
