"""What the scripted model answers: which words of the user choose which steps, and which faults it shows.

A script is YAML. It is checked as a whole before the model serves anyone; this file opens no file and no socket.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

import msgspec
import yaml
from msgspec import Meta

FAULTS = ("401", "429", "500", "stall", "cut", "slow")
"""What a provider can do wrong: refuse the key, ask for patience, break, fall silent, hang up, dawdle."""


class ScriptError(ValueError):
    """A script cannot be used. The message names the place and what is expected there."""


class Tool(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One call of a tool. `{workspace}` in any text of `args` stands for the agent's working directory."""

    name: Annotated[str, Meta(min_length=1)]
    args: dict[str, Any] = {}


class Usage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Tokens that a step claims to have used."""

    input: Annotated[int, Meta(ge=0)] = 1000
    output: Annotated[int, Meta(ge=0)] = 50


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One answer of the model: text, a tool call or both; a fault comes before, and with `times` it goes away again."""

    text: str = ""
    tool: Tool | None = None
    fault: str = ""
    times: Annotated[int, Meta(ge=0)] = 0
    """How often the fault is shown before the step succeeds; 0 means always."""
    retry_after: Annotated[float, Meta(ge=0)] | None = None
    """Seconds in the `retry-after` header of a 429 or 500."""
    seconds: Annotated[float, Meta(ge=0, le=3600)] = 1.0
    """How long `slow` waits before each piece of its answer."""
    usage: Usage | None = None


class When(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What the user must have asked. Exactly one of the three is given."""

    contains: str | None = None
    """Any letter case."""
    matches: str | None = None
    """A regular expression, searched for anywhere."""
    any: bool = False

    def fits(self, question: str) -> bool:
        """Whether this question is meant."""
        if self.contains is not None:
            return self.contains.lower() in question.lower()
        if self.matches is not None:
            return re.search(self.matches, question) is not None
        return self.any


class Reply(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The steps that answer one kind of question."""

    when: When
    steps: Annotated[tuple[Step, ...], Meta(min_length=1)]
    usage: Usage = Usage()
    """Tokens of each step that does not say so itself."""


class Script(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All a scripted model knows. The first reply whose `when` fits is taken."""

    replies: Annotated[tuple[Reply, ...], Meta(min_length=1)]
    models: tuple[str, ...] = ("replay",)
    """Names to list; the fault models `replay-401` and so on are served besides."""
    title: str = "Scripted session"
    """Answer to requests that offer no tools, which is how agents ask for a title."""

    def answer(self, question: str) -> Reply | None:
        """The first reply that fits, or nothing."""
        return next((reply for reply in self.replies if reply.when.fits(question)), None)


def parse(text: str) -> Script:
    """A script from its YAML.

    Raises:
        ScriptError: it is not YAML, has an unknown field or a value that cannot be.
    """
    try:
        raw: object = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ScriptError(f"the script is not YAML: {error}") from None
    try:
        script = msgspec.convert(raw, Script)
    except msgspec.ValidationError as error:
        raise ScriptError(f"the script cannot be used: {error}") from None
    for place, reply in enumerate(script.replies):
        _check_when(reply.when, f"replies[{place}].when")
        for index, step in enumerate(reply.steps):
            _check_step(step, f"replies[{place}].steps[{index}]")
    return script


def _check_when(when: When, where: str) -> None:
    given = [when.contains is not None, when.matches is not None, when.any]
    if sum(given) != 1:
        raise ScriptError(f"{where}: give exactly one of contains, matches and any: true")
    if when.matches is not None:
        try:
            re.compile(when.matches)
        except re.error as error:
            raise ScriptError(f'{where}.matches: "{when.matches}" is no regular expression: {error}') from None


def _check_step(step: Step, where: str) -> None:
    if step.fault and step.fault not in FAULTS:
        raise ScriptError(f'{where}.fault: "{step.fault}" is unknown; use one of {", ".join(FAULTS)}')
    if not (step.text or step.tool or step.fault):
        raise ScriptError(f"{where}: a step needs text, tool or fault")
    if not step.fault and (step.times or step.retry_after is not None):
        raise ScriptError(f"{where}: times and retry_after belong to a fault, and this step has none")
