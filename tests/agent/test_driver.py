from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import signal
import socket
from pathlib import Path

import pytest

from kubeopencode.replay import conversation

pytestmark = pytest.mark.asyncio(loop_scope="module")


def asked(model, words):
    """The requests of the working agent in which the user says this."""
    return [
        request
        for request in model.requests
        if request.get("tools") and any(words in conversation.text_of(each) for each in request["messages"])
    ]


def alive(pid):
    with contextlib.suppress(OSError):
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    return False


async def appears(path, seconds=20.0):
    async with asyncio.timeout(seconds):
        while not path.exists() or not path.read_text().strip():
            await asyncio.sleep(0.02)
    return path.read_text().strip()


async def test_the_work_is_done_told_and_accounted_for(driver, workspace):
    run = await driver.start("please write the file")

    assert await run.end() == 0, run.transcript
    assert (workspace / "hello.txt").read_text() == "hello\n"
    assert "I write it now." in run.transcript
    assert "> bash: cat hello.txt" in run.transcript
    assert "ok: hello" in run.transcript
    assert run.lines[-1] == "The file is written."
    assert run.report["result"] == "The file is written."
    session = run.report["session"]
    assert session["tokens"] == {"input": 300, "output": 30, "reasoning": 0, "cache": 0}
    assert session["cost"] == "0.000360"
    assert session["messageCount"] == 4


async def test_any_prompt_arrives_as_it_is_with_its_contexts_and_files(driver, model, tmp_path):
    prompt = "--title=x \"quoted\" $(touch /tmp/no) 'ü'\n" + "long " * 60_000 + "end-of-it"
    (tmp_path / "house.md").write_text("The house rules say: be kind.")
    (tmp_path / "list.txt").write_text("first item of the list")

    run = await driver.start(prompt, f"--context={tmp_path}/house.md", f"--attachment={tmp_path}/list.txt")

    assert await run.end() == 0, run.transcript
    (request,) = asked(model, "end-of-it")
    texts = {each["role"]: "" for each in request["messages"]}
    for each in request["messages"]:
        texts[each["role"]] += conversation.text_of(each)
    assert prompt in texts["user"]
    assert "first item of the list" in texts["user"]
    assert "The house rules say: be kind." in texts["system"]


async def test_a_refused_key_fails_the_task_with_the_providers_words(driver):
    run = await driver.start("hello", "--model=replay/replay-401")

    assert await run.end() == 1
    assert "Incorrect API key provided" in run.lines[-1]
    assert run.report["error"]["statusCode"] == 401
    assert run.report["session"]["id"].startswith("ses_")


async def test_a_provider_that_asks_for_patience_gets_it(driver):
    run = await driver.start("have patience")

    assert await run.end() == 0, run.transcript
    assert "! attempt 1 failed" in run.transcript
    assert run.report["result"] == "It worked after all."


async def test_stopping_the_driver_stops_the_tool_and_the_spending(agent, driver, workspace):
    run = await driver.start("sleep for ever")
    pid = await appears(workspace / "pid")
    await run.line("> bash")
    run.process.send_signal(signal.SIGTERM)

    assert await run.end() == 143, run.transcript
    assert not alive(int(pid))
    assert run.report["error"]["message"] == "stopped by SIGTERM"
    identity = run.report["session"]["id"]
    assert identity not in await agent.get(f"/session/status?directory={workspace}")
    parts = [part for each in await agent.get(f"/session/{identity}/message") for part in each["parts"]]
    assert all(part["state"]["status"] != "running" for part in parts if part["type"] == "tool")


async def test_stopping_the_driver_ends_a_request_to_a_silent_model(agent, driver, model, workspace):
    run = await driver.start("say nothing", "--model=replay/replay-stall")
    async with asyncio.timeout(20):
        while not asked(model, "say nothing"):
            await asyncio.sleep(0.02)
    run.process.send_signal(signal.SIGINT)

    assert await run.end() == 143, run.transcript
    assert await agent.get(f"/session/status?directory={workspace}") == {}


async def test_a_task_that_takes_too_long_is_ended(agent, driver, workspace):
    run = await driver.start("sleep for ever", "--timeout=3")

    assert await run.end() == 1
    assert run.lines[-1] == "error: the work took longer than 3 s and was ended"
    assert await agent.get(f"/session/status?directory={workspace}") == {}


@pytest.mark.parametrize(("policy", "status", "written"), [("allow", 0, True), ("reject", 1, False)])
async def test_permissions_are_answered_by_policy(driver, workspace, policy, status, written):
    (workspace / "opencode.json").write_text('{"permission": {"edit": "ask"}}')

    run = await driver.start("write the file", TASK_PERMISSION=policy)

    assert await run.end() == status, run.transcript
    assert "by policy" in run.transcript
    assert (workspace / "hello.txt").exists() is written


async def test_a_sub_agents_questions_are_answered_and_its_tokens_counted(driver, workspace):
    (workspace / "opencode.json").write_text('{"permission": {"edit": "ask"}}')

    run = await driver.start("delegate it")

    assert await run.end() == 0, run.transcript
    assert (workspace / "hello.txt").exists()
    assert run.lines[-1] == "It was done for me."
    session = run.report["session"]
    assert session["tokens"]["input"] == 2300, session


async def test_a_driver_that_is_started_again_follows_and_does_not_ask_twice(agent, driver, workspace):
    first = await driver.start("wait for the file", "--title=once", "--session=ses_once0001")
    await first.line("> bash")
    first.process.kill()
    await first.process.wait()

    second = await driver.start("wait for the file", "--title=once", "--session=ses_once0001")
    await second.line("following it")
    (workspace / "go").touch()

    assert await second.end() == 0, second.transcript
    assert second.lines[-1] == "The file came."
    roles = [each["info"]["role"] for each in await agent.get("/session/ses_once0001/message")]
    assert roles.count("user") == 1


async def test_a_dropped_event_stream_loses_nothing(agent, driver, workspace):
    host, _, port = agent.url.removeprefix("http://").partition(":")
    streams = []

    async def forward(reader, writer):
        inner_reader, inner_writer = await asyncio.open_connection(host, int(port))
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"GET /event"):
            streams.append(writer)
        inner_writer.write(head)
        await asyncio.gather(pump(reader, inner_writer), pump(inner_reader, writer))

    async def pump(source, target):
        with contextlib.suppress(OSError):
            while block := await source.read(65536):
                target.write(block)
                await target.drain()
        target.close()

    async with await asyncio.start_server(forward, "127.0.0.1", 0) as proxy:
        own = f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}"
        run = await driver.start("wait for the file", f"--attach={own}")
        await run.line("> bash")
        streams[0].transport.abort()
        (workspace / "go").touch()

        assert await run.end() == 0, run.transcript
        assert run.lines[-1] == "The file came."
        assert run.transcript.count("> bash") == 1
        proxy.close()


async def test_two_tasks_on_one_server_do_not_mix(driver, workspace):
    one, two = await asyncio.gather(driver.start("write the file"), driver.start("hello"))

    assert await asyncio.gather(one.end(), two.end()) == [0, 0]
    assert "The file is written." in one.transcript
    assert "The file is written." not in two.transcript
    assert two.lines[-1] == "Very well."


async def test_a_wrong_password_is_named_and_never_shown(driver):
    run = await driver.start("hello", OPENCODE_SERVER_PASSWORD="another-secret")

    assert await run.end() == 1
    assert "refuses the password in OPENCODE_SERVER_PASSWORD" in run.lines[-1]
    assert "another-secret" not in run.transcript + json.dumps(run.report)
    assert base64.b64encode(b"opencode:another-secret").decode() not in run.transcript


async def test_a_server_that_never_answers_is_given_up(driver):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        run = await driver.start("hello", f"--attach=http://127.0.0.1:{silent.getsockname()[1]}", "--patience=1")

        assert await run.end() == 1
        assert "has not answered for 1 s" in run.lines[-1]


async def test_an_unknown_model_is_a_failure_and_not_an_endless_wait(driver):
    run = await driver.start("hello", "--model=replay/no-such-model")

    assert await run.end() == 1, run.transcript
    assert run.report["error"]["message"]
