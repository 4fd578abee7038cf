from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from kubeopencode.node import logs
from kubeopencode.node.processes import ProcessRunner
from kubeopencode.node.runner import ContainerId, ExecRequest, Exited, Identity, Launch, Mount, RunnerError, Running

PATH = "/usr/local/bin:/usr/bin:/bin"
FIRST = ContainerId("uid-1", "main", 0)


def shell(script: str, **changes: object) -> Launch:
    settings: dict[str, object] = {"id": FIRST, "env": {"PATH": PATH}, "hostname": "pod-1"} | changes
    return Launch(argv=("/bin/sh", "-c", script), **settings)  # type: ignore[arg-type]


async def ends(runner: ProcessRunner, launch: Launch) -> Exited:
    await runner.start(launch)
    async with asyncio.timeout(20):
        return await runner.wait(launch.id)


def output(runner: ProcessRunner, container: ContainerId = FIRST) -> str:
    return b"".join(entry.content for entry in logs.entries(runner.log(container))).decode()


async def until_logged(runner: ProcessRunner, text: str) -> None:
    async with asyncio.timeout(10):
        while text not in output(runner):
            await asyncio.sleep(0.02)


async def test_a_container_sees_neither_the_hosts_home_nor_its_processes_nor_its_environment(runner, monkeypatch):
    monkeypatch.setenv("A_SECRET_OF_THE_HOST", "1")
    script = "id -u; hostname; env; ls /home /root /etc/shadow 2>&1; ls -d /proc/[0-9]* | wc -l; cat /proc/1/environ"
    assert (await ends(runner, shell(script))).code == 0
    lines = output(runner)
    assert lines.startswith("1000\npod-1\n")
    assert "A_SECRET_OF_THE_HOST" not in lines
    assert "agent" in lines
    assert "cannot access '/root'" in lines
    assert "cannot access '/etc/shadow'" in lines
    assert int(lines.split()[-1]) <= 5


async def test_the_pod_chooses_its_user(runner):
    await ends(runner, shell("id -u; id -g; whoami", identity=Identity(1234, 4321)))
    assert output(runner).split() == ["1234", "4321", "agent"]


async def test_a_loader_variable_of_the_pod_is_not_obeyed_outside_the_sandbox(runner, tmp_path):
    env = {"PATH": PATH, "LD_PRELOAD": "/nowhere/evil.so"}
    await ends(runner, shell("true", env=env))
    assert output(runner).count("evil.so") == 1, "the shell inside complains; bubblewrap outside must not"


async def test_mounts_are_there_and_read_only_ones_are_read_only(runner, tmp_path: Path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    mounts = (Mount(tmp_path / "a", "/place/deep", read_only=True), Mount(tmp_path / "b", "/place"))
    script = "echo one > /place/file; echo two > /place/deep/file || echo refused"
    await ends(runner, shell(script, mounts=mounts, cwd="/place"))
    assert (tmp_path / "b" / "file").read_text() == "one\n"
    assert "refused" in output(runner)


async def test_a_read_only_root_can_not_be_written_but_tmp_can(runner):
    await ends(runner, shell("echo > /x 2>/dev/null || echo refused; echo > /tmp/x && echo fine", read_only_root=True))
    assert "refused\nfine\n" in output(runner)


@pytest.mark.parametrize(("script", "code", "signal"), [("exit 0", 0, 0), ("exit 7", 7, 0), ("kill -9 $$", 137, 9)])
async def test_exit_codes_are_told(runner, script: str, code: int, signal: int):
    ended = await ends(runner, shell(script))
    assert (ended.code, ended.signal) == (code, signal)
    assert ended.reason == ("Completed" if code == 0 else "Error")


async def test_a_command_that_does_not_exist_is_a_start_error(runner):
    ended = await ends(runner, Launch(FIRST, ("no-such-program",), {"PATH": PATH}))
    assert (ended.code, ended.reason) == (128, "StartError")
    assert "no-such-program" in ended.message


async def test_the_termination_message_is_kept(runner):
    await ends(runner, shell("printf done > /dev/termination-log"))
    assert runner.message(FIRST) == b"done"


async def test_nothing_starts_twice_under_one_id(runner, tmp_path: Path):
    (tmp_path / "v").mkdir()
    launch = shell("echo x >> /v/count", mounts=(Mount(tmp_path / "v", "/v"),))
    await ends(runner, launch)
    await ends(runner, launch)
    assert (tmp_path / "v" / "count").read_text() == "x\n"


async def test_sigterm_reaches_the_main_process_and_lets_it_say_goodbye(runner):
    await runner.start(shell("trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.05; done"))
    await until_logged(runner, "up")
    runner.terminate(FIRST)
    assert (await runner.wait(FIRST)).code == 3
    assert "bye" in output(runner)


async def test_a_kill_takes_the_whole_process_tree_also_what_left_the_session(runner):
    await runner.start(shell("trap '' TERM; setsid sleep 4242 & echo up; wait; sleep 4242"))
    await until_logged(runner, "up")
    runner.kill(FIRST)
    assert (await runner.wait(FIRST)).code == 137
    commands = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert not any(b"sleep\x004242" in command for command in commands)


async def test_a_new_node_adopts_what_runs_and_learns_how_it_ended(runner, tmp_path: Path):
    await runner.start(shell("trap 'exit 5' TERM; echo up; while :; do sleep 0.05; done"))
    await until_logged(runner, "up")
    heir = ProcessRunner(tmp_path / "pods")
    await heir.prepare()
    assert list(heir.known("uid-1")) == [FIRST]
    assert isinstance(heir.state(FIRST), Running)
    waiting = asyncio.create_task(heir.wait(FIRST))
    heir.terminate(FIRST)
    assert (await waiting).code == 5


async def test_a_vanished_shim_is_reported_as_unknown(runner, tmp_path: Path):
    await runner.start(shell("sleep 100"))
    import msgspec

    started = msgspec.json.decode((tmp_path / "pods/uid-1/containers/main/0/started").read_bytes())
    os.kill(started["shim"], 9)
    ended = await runner.wait(FIRST)
    assert (ended.code, ended.reason) == (137, "ContainerStatusUnknown")


async def test_logs_rotate_and_never_grow_beyond_two_files(tmp_path: Path, bubblewrap):
    runner = ProcessRunner(tmp_path / "pods", log_limit=10_000)
    await runner.prepare()
    await ends(runner, shell("i=0; while [ $i -lt 600 ]; do echo line number $i; i=$((i+1)); done"))
    files = sorted(path.name for path in runner.log(FIRST).parent.glob("log*"))
    assert files == ["log", "log.1"]
    assert all(path.stat().st_size <= 10_000 for path in runner.log(FIRST).parent.glob("log*"))
    assert output(runner).endswith("line number 599\n")


async def test_exec_runs_inside_with_the_containers_environment(runner):
    env = {"PATH": PATH, "COLOUR": "green"}
    await runner.start(shell("echo up; sleep 100", env=env, cwd="/tmp"))
    await until_logged(runner, "up")
    command = ("sh", "-c", "id -u; pwd; echo $COLOUR; hostname; cat; echo err >&2; exit 4")
    process = await runner.exec(FIRST, ExecRequest(command, stdin=True))
    await process.write(b"typed\n")
    await process.write(b"")
    said: dict[int, bytes] = {1: b"", 2: b""}
    async with asyncio.timeout(10):
        while (piece := await process.read())[0]:
            said[piece[0]] += piece[1]
        assert await process.wait() == 4
    assert said == {1: b"1000\n/tmp\ngreen\npod-1\ntyped\n", 2: b"err\n"}
    await process.kill()


async def test_exec_offers_a_terminal(runner):
    await runner.start(shell("echo up; sleep 100"))
    await until_logged(runner, "up")
    process = await runner.exec(FIRST, ExecRequest(("sh", "-c", "stty size; test -t 0 && echo terminal"), tty=True))
    process.resize(101, 33)
    said = b""
    async with asyncio.timeout(10):
        while (piece := await process.read())[0]:
            said += piece[1]
        assert await process.wait() == 0
    assert b"terminal" in said
    await process.kill()


async def test_a_memory_limit_ends_the_container_with_its_reason(runner):
    if not Path("/sys/fs/cgroup/memory").is_dir() or os.geteuid():
        pytest.skip("no memory control group can be made here")
    greedy = "import sys; b = bytearray(300 * 1024 * 1024); print(len(b))"
    launch = Launch(FIRST, ("/usr/bin/python3", "-c", greedy), {"PATH": PATH}, memory=64 * 1024 * 1024)
    ended = await ends(runner, launch)
    assert (ended.code, ended.reason) == (137, "OOMKilled")


async def test_a_mount_inside_a_host_directory_lies_among_its_other_entries(runner, tmp_path: Path):
    (tmp_path / "ca").mkdir()
    (tmp_path / "ca" / "own.crt").write_text("own")
    mounts = (Mount(tmp_path / "ca", "/etc/ssl/certs/custom-ca", True), Mount(tmp_path / "ca", "/usr/local/extra"))
    script = "cat /etc/ssl/certs/custom-ca/own.crt /usr/local/extra/own.crt; ls /usr/local/bin >/dev/null && echo fine"
    await ends(runner, shell(script, mounts=mounts))
    assert output(runner) == "ownownfine\n"


async def test_containers_survive_the_death_of_the_process_that_started_them(runner, tmp_path: Path):
    plane = f"""
import asyncio, os, pathlib, signal
from kubeopencode.node.processes import ProcessRunner
from kubeopencode.node.runner import ContainerId, Launch
async def main():
    runner = ProcessRunner(pathlib.Path({str(tmp_path / "pods")!r}))
    await runner.prepare()
    script = "trap 'exit 6' TERM; echo up; while :; do sleep 0.05; done"
    await runner.start(Launch(ContainerId("uid-1", "main", 0), ("/bin/sh", "-c", script), {{"PATH": "{PATH}"}}))
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", plane)
    assert await process.wait() == -9
    assert isinstance(runner.state(FIRST), Running)
    await until_logged(runner, "up")
    runner.terminate(FIRST)
    assert (await runner.wait(FIRST)).code == 6


async def test_only_the_start_before_is_kept(runner):
    for attempt in range(3):
        await ends(runner, shell("true", id=FIRST._replace(attempt=attempt)))
    assert sorted(found.attempt for found in runner.known("uid-1")) == [1, 2]


async def test_control_groups_go_with_their_container(runner):
    await ends(runner, shell("true", id=ContainerId("group-test", "main", 0), memory=64 << 20))
    async with asyncio.timeout(5):
        while list(Path("/sys/fs/cgroup").glob("**/kubeopencode-group-test-main-0")):
            await asyncio.sleep(0.05)


async def test_without_bubblewrap_nothing_runs_and_the_cure_is_told(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    runner = ProcessRunner(tmp_path / "pods")
    await runner.prepare()
    with pytest.raises(RunnerError, match="apt install bubblewrap"):
        await runner.start(shell("true"))


async def test_where_it_was_asked_for_a_plain_process_runs_but_nothing_is_mounted(tmp_path: Path):
    runner = ProcessRunner(tmp_path / "pods", sandboxed=False)
    await runner.prepare()
    assert (await ends(runner, shell("echo plain; exit 2"))).code == 2
    assert output(runner) == "plain\n"
    second = FIRST._replace(attempt=1)
    with pytest.raises(RunnerError, match="isolation"):
        await runner.start(shell("true", id=second, mounts=(Mount(tmp_path, "/workspace"),)))


async def test_a_plain_process_is_killed_with_its_group(tmp_path: Path):
    runner = ProcessRunner(tmp_path / "pods", sandboxed=False)
    await runner.prepare()
    await runner.start(shell("trap '' TERM; sleep 7171 & echo up; wait"))
    await until_logged(runner, "up")
    runner.kill(FIRST)
    assert (await runner.wait(FIRST)).code == 137
    commands = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert not any(b"sleep\x007171" in command for command in commands)


@pytest.mark.parametrize("user", [0, 1000])
async def test_a_container_has_no_capabilities_and_cannot_turn_the_kernels_knobs(runner, user: int):
    # Writes back what is there, so that a sandbox that allows it does no harm to the machine.
    knob = "/proc/sys/kernel/core_pattern"
    script = "grep -E 'Cap(Eff|Bnd)|NoNewPrivs' /proc/self/status"
    script += f"; cat {knob} > /tmp/x; cat /tmp/x > {knob} || echo refused"
    await ends(runner, shell(script, identity=Identity(user, user)))
    words = output(runner).split()
    assert words.count("0000000000000000") == 2
    assert words[words.index("NoNewPrivs:") + 1] == "1"
    assert "refused" in words


async def test_no_secret_of_the_environment_shows_on_a_command_line(runner):
    await runner.start(shell("echo up; sleep 100", env={"PATH": PATH, "TOKEN": "hush-hush-4711"}))
    await until_logged(runner, "up")
    process = await runner.exec(FIRST, ExecRequest(("sleep", "100")))
    commands = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert not any(b"hush-hush-4711" in command for command in commands)
    await process.kill()
