from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from kubeopencode.pod.__main__ import COMMANDS, main

SOURCES = Path(__file__).resolve().parents[3] / "src"


@pytest.mark.parametrize("module", COMMANDS.values())
def test_every_subcommand_lives_on_the_standard_library_alone(module):
    code = f"""
import sys
sys.path.insert(0, {str(SOURCES)!r})
import {module}
ours = [name for name in sys.modules if name.startswith("kubeopencode") and not name.startswith("kubeopencode.pod")]
known = {{*sys.stdlib_module_names, "kubeopencode", "__main__"}}
roots = {{name.partition(".")[0] for name in sys.modules}} - known
print(sorted(ours), sorted(roots))
"""
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "['kubeopencode'] []\n"


@pytest.mark.parametrize("arguments", [[], ["no-such"]])
def test_an_unknown_subcommand_lists_the_known_ones(arguments, capsys):
    assert main(arguments) == 2
    assert "context-init, record, task-run" in capsys.readouterr().err


def test_a_failure_is_one_sentence(capsys, monkeypatch):
    monkeypatch.setenv("FILE_MAPPINGS", "[")

    assert main(["context-init"]) == 1
    assert capsys.readouterr().err.startswith("context-init: FILE_MAPPINGS is not JSON")
