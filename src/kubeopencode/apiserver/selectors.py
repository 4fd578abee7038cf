"""Label and field selectors: the full grammar of `metav1`, parsed once, asked often. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from kubeopencode.api.meta import Key
from kubeopencode.apiserver import status

_TOKEN = re.compile(r"\s*(?:(!=|==|=|!|\(|\)|,|<|>)|([^\s!=(),<>]+))")


@dataclass(frozen=True)
class Requirement:
    """One clause: `key operator values`, operator one of in, notin, exists, absent, gt, lt."""

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether the clause holds for these labels."""
        value = labels.get(self.key)
        if self.operator == "in":
            return value is not None and value in self.values
        if self.operator == "notin":
            return value is None or value not in self.values
        if self.operator == "exists":
            return value is not None
        if self.operator == "absent":
            return value is None
        bound = int(next(iter(self.values)))
        if value is None or not value.lstrip("-").isdigit():
            return False
        return int(value) > bound if self.operator == "gt" else int(value) < bound


@dataclass(frozen=True)
class Selector:
    """What a list or a watch asked for; an empty one selects everything."""

    labels: tuple[Requirement, ...] = ()
    fields: tuple[tuple[str, str, bool], ...] = ()
    """(path, value, wanted equal)."""

    def matches(self, key: Key, labels: Mapping[str, str], fields: Mapping[str, str]) -> bool:
        """Whether an object with these labels and indexed fields is selected."""
        for requirement in self.labels:
            if not requirement.matches(labels):
                return False
        for path, wanted, equal in self.fields:
            if path == "metadata.name":
                value = key.name
            elif path == "metadata.namespace":
                value = key.namespace
            else:
                value = fields.get(path, "")
            if (value == wanted) is not equal:
                return False
        return True

    def __bool__(self) -> bool:
        return bool(self.labels or self.fields)


def parse(labels: str, fields: str, known: tuple[str, ...]) -> Selector:
    """Both selectors of a request; `known` are the field paths this kind can be selected by. Raises Failure 400."""
    return Selector(parse_labels(labels) if labels else (), _parse_fields(fields, known) if fields else ())


def _parse_fields(text: str, known: tuple[str, ...]) -> tuple[tuple[str, str, bool], ...]:
    found: list[tuple[str, str, bool]] = []
    for clause in filter(None, (part.strip() for part in text.split(","))):
        match = re.fullmatch(r"([^=!]+?)\s*(!=|==|=)\s*(.*)", clause)
        if match is None:
            raise status.bad_request(f'invalid selector: "{text}"; can\'t understand "{clause}"')
        path, operator, value = match.groups()
        if path not in ("metadata.name", "metadata.namespace") and path not in known:
            raise status.bad_request(
                f'Unable to find "{path}" that match label selector "", field selector "{text}": '
                f'field label not supported: "{path}"'
            )
        found.append((path, value, operator != "!="))
    return tuple(found)


def parse_labels(text: str) -> tuple[Requirement, ...]:
    """The clauses of a label selector. Raises Failure 400."""
    return _Parser(text).clauses()


@dataclass
class _Parser:
    text: str
    tokens: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])

    def __post_init__(self) -> None:
        position = 0
        source = self.text.rstrip()
        while position < len(source):
            match = _TOKEN.match(source, position)
            if match is None:
                raise self._bad(source[position:])
            self.tokens.append(("op", match[1]) if match[1] else ("word", match[2]))
            position = match.end()
        self.tokens.reverse()

    def _bad(self, at: str) -> status.Failure:
        return status.bad_request(f'unable to parse requirement: found "{at}" in label selector "{self.text}"')

    def _take(self) -> tuple[str, str]:
        return self.tokens.pop() if self.tokens else ("end", "")

    def _word(self) -> str:
        kind, text = self._take()
        if kind != "word":
            raise self._bad(text)
        return text

    def clauses(self) -> tuple[Requirement, ...]:
        found: list[Requirement] = []
        while self.tokens:
            found.append(self._clause())
            kind, text = self._take()
            if kind != "end" and text != ",":
                raise self._bad(text)
        return tuple(found)

    def _clause(self) -> Requirement:
        if self.tokens[-1] == ("op", "!"):
            self._take()
            return Requirement(self._word(), "absent")
        key = self._word()
        if not self.tokens or self.tokens[-1] == ("op", ","):
            return Requirement(key, "exists")
        _, operator = self._take()
        if operator in ("in", "notin"):
            return Requirement(key, operator, self._values())
        if operator in ("=", "==", "!="):
            value = self._word() if self.tokens and self.tokens[-1][0] == "word" else ""
            return Requirement(key, "notin" if operator == "!=" else "in", frozenset((value,)))
        if operator in ("<", ">"):
            value = self._word()
            if not value.lstrip("-").isdigit():
                raise self._bad(value)
            return Requirement(key, "gt" if operator == ">" else "lt", frozenset((value,)))
        raise self._bad(operator)

    def _values(self) -> frozenset[str]:
        if self._take() != ("op", "("):
            raise self._bad("(")
        values: set[str] = set()
        while True:
            kind, text = self._take()
            if kind == "word":
                values.add(text)
            elif text == ")":
                return frozenset(values or {""})
            elif text != ",":
                raise self._bad(text)
