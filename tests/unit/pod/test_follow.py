"""The driver against a server that can be told to misbehave in ways the real one cannot be made to."""

from __future__ import annotations

import threading

import pytest

from kubeopencode.pod import follow
from kubeopencode.pod.opencode_api import Refused, Unreachable
from kubeopencode.pod.session import Session
from kubeopencode.pod.transcript import Transcript

USER = {"info": {"id": "msg_1", "role": "user"}, "parts": []}
ANSWER = {
    "info": {"id": "msg_2", "role": "assistant", "time": {"completed": 1}, "finish": "stop"},
    "parts": [{"id": "prt_1", "messageID": "msg_2", "type": "text", "text": "Done.", "time": {"end": 1}}],
}
HALF = {"info": {"id": "msg_2", "role": "assistant", "time": {}}, "parts": []}


class Server:
    """What the driver needs of a server, in memory."""

    def __init__(self) -> None:
        self.url, self.directory = "http://server", "/workspace"
        self.messages: list = []
        self.status: dict = {}
        self.prompts = 0
        self.aborts = 0
        self.answers = [ANSWER]
        self.lose_prompt_reply = False
        self.failures = 0
        self.stop = threading.Event()

    def check_health(self):
        self.get("/global/health")

    def get(self, path):
        if self.failures:
            self.failures -= 1
            raise Unreachable("connection refused")
        if path == "/session/status":
            return self.status
        if path.endswith("/message"):
            return self.messages
        if path.endswith("/children"):
            return []
        return {"id": "ses_1", "title": "t", "cost": 0.5} if path.startswith("/session/") else []

    def post(self, path, body=None):
        if path.endswith("/prompt_async"):
            self.prompts += 1
            self.messages = [USER, *self.answers]
            if self.lose_prompt_reply:
                raise Unreachable("the connection broke")
        if path.endswith("/abort"):
            self.aborts += 1
            self.status = {}

    def request(self, method, path, body=None):
        return None

    def events(self):
        yield {"type": "server.connected", "properties": {}}
        self.stop.wait()


@pytest.fixture
def server():
    made = Server()
    yield made
    made.stop.set()


@pytest.fixture
def lines():
    return []


@pytest.fixture
def run(server, lines, monkeypatch):
    monkeypatch.setattr(follow, "START_SECONDS", 0.2)

    def start(**limits):
        transcript = Transcript(lines.append)
        follower = follow.Follower(Session(server, "ses_1"), transcript, follow.Limits(**limits), "once")
        return follower.run("t", {"parts": []})

    return start


def test_a_prompt_whose_receipt_was_lost_is_not_sent_again(server, run):
    server.lose_prompt_reply = True

    assert run()["result"] == "Done."
    assert server.prompts == 1


def test_a_server_that_forgot_the_work_is_told_apart_from_a_slow_one(server, run):
    server.answers = [HALF]

    assert "was it restarted?" in run()["error"]["message"]


def test_a_short_absence_of_the_server_is_survived(server, run):
    server.failures = 2

    assert run(patience=10.0)["result"] == "Done."


def test_a_long_absence_ends_the_task(server, run):
    server.failures = 1000

    with pytest.raises(follow.Lost, match="has not answered for 0 s"):
        run(patience=0.0)


def test_a_session_that_somebody_deletes_ends_the_task(server, run):
    original = server.get

    def get(path):
        if path.endswith("/message") and server.prompts:
            raise Refused(404, "no such session")
        return original(path)

    server.get = get

    assert run()["error"] == {"name": "Refused", "message": "no such session"}


def test_a_timeout_ends_the_work_on_the_server(server, run):
    server.answers = [HALF]
    server.status = {"ses_1": {"type": "busy"}}

    report = run(timeout=0.2)

    assert report["error"]["name"] == "TimedOut"
    assert server.aborts == 1
    assert report["session"]["cost"] == "0.500000"
