"""Serves a script as an OpenAI-compatible model. Binds where it is told, keeps nothing on disk, calls nobody."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import secrets
from collections import Counter, deque
from dataclasses import dataclass
from typing import cast

from aiohttp import web

from kubeopencode.api.meta import Json
from kubeopencode.replay import completions, conversation
from kubeopencode.replay.conversation import Conversation
from kubeopencode.replay.script import Reply, Script, Step, Tool

KEPT_REQUESTS = 200
"""Requests that `/requests` still knows."""

MAX_REQUEST = 64 * 1024 * 1024
"""Bytes of one request; histories with attached files are large."""

_FAULT_MODEL = re.compile(r"^replay-(?:(401|429|500|stall|cut|slow)|flaky-(\d+))$")
_MESSAGES = {
    401: "Incorrect API key provided",
    429: "Rate limit reached, please wait",
    500: "The model is broken for the moment",
}


@dataclass(frozen=True)
class _Turn:
    """One request with what will be done about it."""

    asked: Conversation
    step: Step
    reply: Reply | None
    fault: str


class ReplayServer:
    """A model that answers from a script; `async with` starts and stops it.

    Without `api_key` every caller is welcome. Port 0 takes a free one; `port` tells which.
    """

    def __init__(self, script: Script, *, host: str = "127.0.0.1", port: int = 0, api_key: str = "") -> None:
        self.script = script
        self.host = host
        self.port = port
        self.requests: deque[Json] = deque(maxlen=KEPT_REQUESTS)
        """The bodies of the last completion requests, oldest first."""
        self.count = 0
        """All completion requests so far."""
        self._api_key = api_key
        self._shown: Counter[str] = Counter()
        self._stopping = asyncio.Event()
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """What goes into a provider's `baseURL`."""
        return f"http://{self.host}:{self.port}/v1"

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the address is taken.
        """
        app = web.Application(client_max_size=MAX_REQUEST)
        app.router.add_post("/v1/chat/completions", self._complete)
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/requests", self._log)
        self._stopping.clear()
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, self.host, self.port).start()
        except OSError:
            await runner.cleanup()
            raise
        self._runner = runner
        self.port = int(runner.addresses[0][1])

    async def stop(self) -> None:
        """End all answers, also the stalled ones, and close the port."""
        self._stopping.set()
        if self._runner:
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> ReplayServer:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _models(self, request: web.Request) -> web.Response:
        if not self._admitted(request):
            return _refusal(401)
        listed = [{"id": name, "object": "model", "created": 0, "owned_by": "replay"} for name in self.script.models]
        return web.json_response({"object": "list", "data": listed})

    async def _log(self, request: web.Request) -> web.Response:
        if not self._admitted(request):
            return _refusal(401)
        return web.json_response({"count": self.count, "requests": list(self.requests)})

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        if not self._admitted(request):
            return _refusal(401)
        try:
            body: object = json.loads(await request.read())
            if not isinstance(body, dict):
                raise ValueError("a JSON object is expected")
            asked = conversation.read(cast("Json", body))
        except ValueError as error:
            return web.json_response(completions.error(400, f"the request cannot be read: {error}"), status=400)
        self.count += 1
        self.requests.append(cast("Json", body))
        turn = self._turn(asked)
        if turn.fault.isdigit():
            return _refusal(int(turn.fault), turn.step.retry_after)
        answer = _answer(turn, self.script)
        if not asked.streams and turn.fault not in ("stall", "cut"):
            if turn.fault == "slow":
                await self._pause(turn.step.seconds)
            return web.json_response(completions.whole(answer))
        return await self._stream(request, turn, answer)

    def _turn(self, asked: Conversation) -> _Turn:
        reply = self.script.answer(asked.question) if asked.offers_tools else None
        step = _step(reply, asked.step) if reply else Step(text=self.script.title)
        if asked.offers_tools and reply is None:
            step = Step(text="The script has no reply to this question.")
        return _Turn(asked, step, reply, self._fault(asked, step))

    def _fault(self, asked: Conversation, step: Step) -> str:
        """The fault to show now: the model's name decides first, then the step."""
        if named := _FAULT_MODEL.match(asked.model):
            if named[1]:
                return named[1]
            return "500" if self._once_more(f"{asked.model}/{asked.identity}", int(named[2])) else ""
        if not step.fault or not step.times:
            return step.fault
        return step.fault if self._once_more(asked.identity, step.times) else ""

    def _once_more(self, identity: str, times: int) -> bool:
        self._shown[identity] += 1
        return self._shown[identity] <= times

    async def _stream(self, request: web.Request, turn: _Turn, answer: completions.Answer) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
        await response.prepare(request)
        for index, piece in enumerate(completions.pieces(answer)):
            if turn.fault == "slow":
                await self._pause(turn.step.seconds)
            if index == 1 and turn.fault == "stall":
                await self._stopping.wait()
            if index == 1 and turn.fault in ("stall", "cut"):
                _hang_up(request)
                return response
            await response.write(b"data: " + json.dumps(piece).encode() + b"\n\n")
        await response.write(b"data: [DONE]\n\n")
        await response.write_eof()
        return response

    async def _pause(self, seconds: float) -> None:
        """Wait, but never longer than the server lives."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    def _admitted(self, request: web.Request) -> bool:
        given = request.headers.get("Authorization", "")
        return not self._api_key or secrets.compare_digest(given.encode(), f"Bearer {self._api_key}".encode())


def _step(reply: Reply, index: int) -> Step:
    """The step to show; the last one is shown for ever after, without its tool, so that no agent runs in circles."""
    if index < len(reply.steps):
        return reply.steps[index]
    return Step(text=reply.steps[-1].text or "That is all.")


def _answer(turn: _Turn, script: Script) -> completions.Answer:
    asked, step = turn.asked, turn.step
    usage = step.usage or (turn.reply or script.replies[0]).usage
    tool = step.tool and Tool(step.tool.name, conversation.filled(step.tool.args, asked.workspace))
    text = step.text or ("" if tool else "Done.")
    return completions.Answer(asked.identity, asked.model, conversation.filled(text, asked.workspace), tool, usage)


def _refusal(status: int, retry_after: float | None = None) -> web.Response:
    headers = {} if retry_after is None else {"retry-after": f"{retry_after:g}"}
    return web.json_response(completions.error(status, _MESSAGES[status]), status=status, headers=headers)


def _hang_up(request: web.Request) -> None:
    """Cut the connection in the middle, without the end that the protocol asks for."""
    if request.transport is not None:
        request.transport.abort()
