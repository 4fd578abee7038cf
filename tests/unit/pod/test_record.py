from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kubeopencode.pod import record

SOURCES = Path(__file__).resolve().parents[3] / "src"


def parameter(name, path, **more):
    return {"name": name, "path": path, **more}


def test_results_are_trimmed_and_defaults_stand_in(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "url").write_text("  https://x/1\n\n")

    report = record.outputs(
        [parameter("url", "out/url"), parameter("lost", "no"), parameter("safe", "no", default="none")], tmp_path
    )

    assert report == {"outputs": {"parameters": {"url": "https://x/1", "safe": "none"}}}


def test_a_long_result_is_cut_and_named(tmp_path):
    (tmp_path / "log").write_text("x" * 100_000)

    report = record.outputs([parameter("log", "log")], tmp_path)

    assert len(report["outputs"]["parameters"]["log"]) == record.MAX_PARAMETER
    assert report["truncated"] == ["log"]


def test_nothing_outside_of_the_workspace_is_read(tmp_path):
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    (tmp_path / "secret").write_text("s3cret")
    (workspace / "link").symlink_to(tmp_path / "secret")

    wanted = [parameter("a", "link"), parameter("b", "../secret"), parameter("c", str(tmp_path / "secret"))]

    assert record.outputs(wanted, workspace) == {}


def test_a_pipe_or_a_folder_is_no_result_and_holds_nobody_up(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()

    assert record.outputs([parameter("a", "pipe"), parameter("b", "folder")], tmp_path) == {}


def test_an_absolute_path_inside_the_workspace_is_fine(tmp_path):
    (tmp_path / "a").write_text("1")

    assert record.outputs([parameter("a", str(tmp_path / "a"))], tmp_path)["outputs"] == {"parameters": {"a": "1"}}


def test_without_a_database_there_is_no_session(tmp_path):
    assert record.session_report(tmp_path / "none.db", "t") == {}


def test_a_broken_database_is_told_and_survived(tmp_path, capsys):
    (tmp_path / "opencode.db").write_text("this is no database at all, but it is long enough to be looked at" * 20)

    assert record.session_report(tmp_path / "opencode.db", "t") == {}
    assert "cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_sidecar_records_when_it_is_told_that_the_agent_has_ended(tmp_path, number):
    (tmp_path / "a").write_text("1")
    environment = {
        "PYTHONPATH": str(SOURCES),
        "OUTPUT_SPEC": '{"parameters":[{"name":"a","path":"a"}]}',
        "OPENCODE_DB": str(tmp_path / "opencode.db"),
        "WORKSPACE_DIR": str(tmp_path),
        "TERMINATION_LOG": str(tmp_path / "log"),
    }
    # The signal is blocked from the beginning, as nobody can tell from outside when the program has begun to wait.
    code = f"""
import signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [{int(number)}])
print("ready", flush=True)
from kubeopencode.pod.__main__ import main
sys.exit(main(["record"]))
"""
    process = subprocess.Popen([sys.executable, "-S", "-c", code], env=environment, stdout=subprocess.PIPE)
    with process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(number)
        assert process.wait(10) == 0
    assert (tmp_path / "log").read_text() == '{"outputs":{"parameters":{"a":"1"}}}'
