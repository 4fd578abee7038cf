from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest

from kubeopencode.replay import script
from kubeopencode.replay.server import KEPT_REQUESTS, ReplayServer

SCRIPT = script.parse("""
models: [one, two]
title: The title
replies:
  - when: {contains: tool}
    usage: {input: 7, output: 3}
    steps:
      - {text: calling, tool: {name: read, args: {filePath: "{workspace}/a"}}}
      - text: called
  - when: {contains: busy}
    steps: [{text: fine, fault: "429", times: 2, retry_after: 3}]
  - when: {contains: slow}
    steps: [{text: here, fault: slow, seconds: 0.01}]
  - when: {contains: hang}
    steps: [{fault: stall}]
""")


@pytest.fixture
async def server():
    async with ReplayServer(SCRIPT) as running:
        yield running


@pytest.fixture
async def client():
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        yield session


def body(question, *answers, **more):
    messages = [{"role": "system", "content": "Working directory: /w"}, {"role": "user", "content": question}]
    return {"model": "one", "messages": [*messages, *answers], "tools": [{"type": "function"}], **more}


async def ask(client, server, *args, **more):
    async with client.post(f"{server.url}/chat/completions", json=body(*args, **more)) as response:
        return response.status, await response.json()


async def streamed(client, server, *args, **more):
    async with client.post(f"{server.url}/chat/completions", json=body(*args, stream=True, **more)) as response:
        lines = (await response.text()).split("\n\n")
    assert lines[-2:] == ["data: [DONE]", ""]
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-2]]


async def test_a_tool_is_called_with_paths_of_the_workspace(client, server):
    _, answer = await ask(client, server, "use the tool")

    choice = answer["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert json.loads(choice["message"]["tool_calls"][0]["function"]["arguments"]) == {"filePath": "/w/a"}
    assert answer["usage"] == {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}


async def test_after_the_result_comes_the_next_step(client, server):
    turn = ({"role": "assistant", "content": ""}, {"role": "tool", "content": "x"})

    _, answer = await ask(client, server, "use the tool", *turn)

    assert answer["choices"][0]["message"] == {"role": "assistant", "content": "called"}


async def test_a_stream_says_the_same_and_ends_with_the_usage(client, server):
    pieces = await streamed(client, server, "use the tool")

    words = "".join(p["choices"][0]["delta"].get("content") or "" for p in pieces if p["choices"])
    assert words == "calling"
    assert pieces[-1]["usage"]["total_tokens"] == 10
    assert pieces == await streamed(client, server, "use the tool")


async def test_a_request_without_tools_gets_the_title(client, server):
    _, answer = await ask(client, server, "use the tool", tools=[])

    assert answer["choices"][0]["message"]["content"] == "The title"


async def test_a_fault_goes_away_after_its_times(client, server):
    assert [(await ask(client, server, "busy"))[0] for _ in range(4)] == [429, 429, 200, 200]


async def test_a_rate_limit_tells_how_long_to_wait(client, server):
    async with client.post(f"{server.url}/chat/completions", json=body("busy")) as response:
        assert response.headers["retry-after"] == "3"


@pytest.mark.parametrize(("model", "status"), [("replay-401", 401), ("replay-429", 429), ("replay-500", 500)])
async def test_a_models_name_can_ask_for_a_fault(client, server, model, status):
    got, answer = await ask(client, server, "tool", model=model)

    assert got == status
    assert answer["error"]["message"]


async def test_a_flaky_model_works_in_the_end(client, server):
    assert [(await ask(client, server, "tool", model="replay-flaky-2"))[0] for _ in range(3)] == [500, 500, 200]


async def test_a_cut_stream_ends_without_an_end(client, server):
    with pytest.raises(aiohttp.ClientError):
        await streamed(client, server, "tool", model="replay-cut")


async def test_a_stalled_answer_does_not_keep_the_server_from_stopping(client, server):
    async with client.post(f"{server.url}/chat/completions", json=body("hang", stream=True)) as response:
        await response.content.readline()
        async with asyncio.timeout(5):
            await server.stop()
            with pytest.raises(aiohttp.ClientError):
                await response.read()


async def test_a_slow_answer_is_whole(client, server):
    assert await streamed(client, server, "slow")


async def test_the_key_is_asked_for_where_there_is_one(client):
    async with ReplayServer(SCRIPT, api_key="k") as server:
        async with client.get(f"{server.url}/models") as response:
            assert response.status == 401
        async with client.get(f"{server.url}/models", headers={"Authorization": "Bearer k"}) as response:
            assert [each["id"] for each in (await response.json())["data"]] == ["one", "two"]


async def test_requests_are_counted_and_the_last_ones_kept(client, server):
    for _ in range(KEPT_REQUESTS + 1):
        await ask(client, server, "tool")

    async with client.get(server.url.removesuffix("/v1") + "/requests") as response:
        log = await response.json()
    assert log["count"] == KEPT_REQUESTS + 1
    assert len(log["requests"]) == KEPT_REQUESTS


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"messages": 3}'])
async def test_an_unreadable_request_is_refused(client, server, content):
    async with client.post(f"{server.url}/chat/completions", data=content) as response:
        assert response.status == 400
