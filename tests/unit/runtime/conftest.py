"""An API server that is a middleware: objects in a dictionary, versions, conflicts, merge patches. No socket."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from kit.patches import merged
from kubeopencode.kube import client, config, errors, retry, transport
from kubeopencode.runtime import clock


class FakeApi:
    """Objects by path. `writes` are the successful ones, as (verb, path, body)."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.version = 100
        self.writes: list[tuple[str, str, Any]] = []
        self.down = False
        settings = config.local_socket(Path("/nowhere"))
        self.client = client.Client(settings, middleware=[self.answer], policy=retry.Policy(attempts=1))

    async def answer(self, request: transport.Request, _: transport.Transport) -> transport.Answer:
        if self.down:
            raise errors.ConnectionFailed("the server is down")
        body = json.loads(request.body) if request.body else None
        code, found = getattr(self, request.method.lower())(request.path, body)
        if request.writes and code < 300:
            self.writes.append((request.verb, request.path, body))
        return transport.Answer(code, json.dumps(found).encode())

    def keep(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        self.version += 1
        known = self.objects.get(path, {}).get("metadata", {})
        body["metadata"] |= {"resourceVersion": str(self.version)}
        body["metadata"].setdefault("uid", known.get("uid", f"uid-{self.version}"))
        self.objects[path] = body
        return body

    def get(self, path: str, _: Any) -> tuple[int, Any]:
        return (200, self.objects[path]) if path in self.objects else refusal(404, "NotFound")

    def post(self, path: str, body: Any) -> tuple[int, Any]:
        path = f"{path}/{body['metadata']['name']}"
        return refusal(409, "AlreadyExists") if path in self.objects else (201, self.keep(path, body))

    def patch(self, path: str, body: Any) -> tuple[int, Any]:
        if path not in self.objects:
            return refusal(404, "NotFound")
        live = deepcopy(self.objects[path])
        wanted = body.get("metadata", {}).get("resourceVersion")
        if wanted and wanted != live["metadata"]["resourceVersion"]:
            return refusal(409, "Conflict")
        after = merged(live, body)
        return 200, after if after == self.objects[path] else self.keep(path, after)

    def delete(self, path: str, body: Any) -> tuple[int, Any]:
        if path not in self.objects:
            return refusal(404, "NotFound")
        uid = body.get("preconditions", {}).get("uid")
        if uid and uid != self.objects[path]["metadata"]["uid"]:
            return refusal(409, "Conflict")
        return 200, self.objects.pop(path)


def refusal(code: int, reason: str) -> tuple[int, Any]:
    return code, {"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": reason}


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


@pytest.fixture
def time() -> clock.ManualClock:
    return clock.ManualClock()
