"""The smallest client of a server, a kubelet that only pretends, and the objects that tests send."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec

from kubeopencode.apiserver.gateway import ExecRequest, LogRequest

CORE = "/api/v1/namespaces/default"
TASKS = "/apis/example.io/v1/namespaces/default/tasks"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


class Answer:
    def __init__(self, code: int, raw: bytes, headers: Any) -> None:
        self.code, self.raw, self.headers = code, raw, headers

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.raw)

    @property
    def message(self) -> str:
        return str(self.json.get("message"))


class Api:
    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session

    async def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        sent = {"Content-Type": "application/json"} | {k.replace("_", "-"): v for k, v in headers.items()}
        raw = None if body is None else io.BytesIO(body if isinstance(body, bytes) else msgspec.json.encode(body))
        async with self.session.request(method, path, data=raw, headers=sent) as response:
            return Answer(response.status, await response.read(), response.headers)

    async def get(self, path: str, **headers: str) -> Answer:
        return await self("GET", path, **headers)

    async def create(self, path: str, body: Any) -> Answer:
        return await self("POST", path, body)

    async def delete(self, path: str, body: Any = None) -> Answer:
        return await self("DELETE", path, body)

    async def patch(self, path: str, body: Any, kind: str = "merge") -> Answer:
        names = {"merge": "merge-patch+json", "json": "json-patch+json", "strategic": "strategic-merge-patch+json"}
        content_type = f"application/{names.get(kind, 'apply-patch+yaml')}"
        return await self("PATCH", path, body, Content_Type=content_type)

    async def apply(self, path: str, body: Any, manager: str, force: bool = False) -> Answer:
        start = "&" if "?" in path else "?"
        query = f"{start}fieldManager={manager}&force={str(force).lower()}"
        return await self.patch(path + query, body, "apply")

    async def gone(self, path: str) -> None:
        async with asyncio.timeout(5):
            while (await self.get(path)).code != 404:
                await asyncio.sleep(0.005)

    def watch(self, path: str) -> Any:
        return self.session.get(path)


async def event(response: aiohttp.ClientResponse) -> Any:
    async with asyncio.timeout(5):
        return msgspec.json.decode(await response.content.readline())


class FakeSession:
    def __init__(self, command: tuple[str, ...]) -> None:
        self.command = command
        self.input: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        if self.command[0] == "cat":
            while (data := await self.input.get()) is not None:
                yield 1, data
        elif self.command[0] == "fail":
            yield 2, b"no\n"
        else:
            yield 1, " ".join(self.command).encode() + b"\n"

    async def write(self, data: bytes) -> None:
        await self.input.put(data)

    async def close_input(self) -> None:
        await self.input.put(None)

    async def resize(self, columns: int, rows: int) -> None: ...

    async def wait(self) -> int:
        return 7 if self.command[0] == "fail" else 0

    async def close(self) -> None:
        await self.input.put(None)


class FakeKubelet:
    async def logs(self, request: LogRequest) -> AsyncIterator[bytes]:
        yield f"{request.container} tail={request.tail} follow={request.follow}\n".encode()

    async def exec(self, request: ExecRequest) -> FakeSession:
        return FakeSession(request.command)

    async def dial(self, pod: Any, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", port)


def config_map(name: str, labels: dict[str, str] | None = None, **data: str) -> Any:
    return {"metadata": {"name": name, "labels": labels or {}}, "data": data}


SPEC: Any = {
    "type": "object",
    "required": ["size"],
    "properties": {
        "size": {"type": "integer", "minimum": 1},
        "mode": {"type": "string", "enum": ["A", "B"], "default": "A"},
        "name": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 5},
        "port": {"x-kubernetes-int-or-string": True},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "steps": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
            "items": {
                "type": "object",
                "required": ["name"],
                "properties": {"name": {"type": "string"}, "run": {"type": "string", "default": "x"}},
            },
        },
        "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
    },
    "x-kubernetes-validations": [
        {"rule": "self.size < 10", "message": "too big"},
        {"rule": "self.size >= oldSelf.size", "messageExpression": "'only up from ' + string(oldSelf.size)"},
    ],
}
CRD: Any = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "tasks.example.io"},
    "spec": {
        "group": "example.io",
        "scope": "Namespaced",
        "names": {"plural": "tasks", "kind": "Task", "shortNames": ["tk"]},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {
                    "status": {},
                    "scale": {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size"},
                },
                "additionalPrinterColumns": [
                    {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
                    {"name": "Ready", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].status'},
                ],
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": SPEC,
                            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                        },
                    }
                },
            }
        ],
    },
}


def task(name: str, **spec: Any) -> Any:
    return {"apiVersion": "example.io/v1", "kind": "Task", "metadata": {"name": name}, "spec": {"size": 1} | spec}
