"""Our own README: its commands exist with the options it shows, and its YAML applies."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from kit.planes import Machine
from kubeopencode.cli import __main__ as program

README = Path(__file__).parents[2] / "README.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README.read_text(), re.DOTALL | re.MULTILINE)


def commands() -> list[str]:
    """Every kubeoc command of the shell blocks and of the text."""
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    lines += re.findall(r"`(kubeoc [^`]+)`", README.read_text())
    found = [match[0] for line in lines for match in re.findall(r"(kubeoc( [^#()`]+))", line)]
    return sorted({line.strip() for line in found})


def documents() -> list[Any]:
    """Every object of the YAML blocks; a fragment becomes an Agent."""
    found: list[Any] = []
    for block in blocks("yaml"):
        for wire in yaml.safe_load_all(block):
            whole = "kind" in wire
            found.append(
                wire
                if whole
                else {"apiVersion": "kubeopencode.io/v1alpha1", "kind": "Agent", "metadata": {"name": "fragment"}}
                | wire
            )
    return found


@pytest.mark.parametrize("line", commands())
def test_a_command_of_the_readme_exists_with_its_options(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "answers.yaml").touch()
    verb, *arguments = shlex.split(line)[1:]
    with click.Context(program.main) as context:
        command = program.main.get_command(context, verb)
        assert command is not None, verb
        command.make_context(verb, arguments, parent=context)


def test_the_readme_shows_commands_and_objects() -> None:
    assert len(commands()) > 8
    assert len(documents()) > 3


def test_the_yaml_of_the_readme_applies_strictly(bare: Machine) -> None:
    where = bare.namespace("our-readme")
    said = bare.kubectl("apply", "-n", where, "-f", "-", stdin=yaml.safe_dump_all(documents())).well()
    assert said.count(" created") == len(documents())
