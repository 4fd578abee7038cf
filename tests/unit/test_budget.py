"""The budget that keeps the code readable, counted over every module of ours. What is over it is named."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

import pytest

SOURCE = Path(__file__).parents[2] / "src"
PACKAGE = "kubeopencode"

FUNCTION_LINES = 50
FUNCTION_LINES_P90 = 25
MODULE_LINES = 500
PARAMETERS = 6
CATCH_ALL_NAMES = {"utils", "util", "helpers", "helper", "common", "misc"}

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
Documented: TypeAlias = Function | ast.ClassDef


@dataclass(frozen=True)
class Module:
    """One file of ours."""

    path: Path

    @cached_property
    def name(self) -> str:
        """As it is imported."""
        return ".".join(self.path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")

    @cached_property
    def text(self) -> str:
        """Its source."""
        return self.path.read_text()

    @cached_property
    def tree(self) -> ast.Module:
        """Its syntax."""
        return ast.parse(self.text)

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """All of its syntax, flat."""
        return list(ast.walk(self.tree))

    @cached_property
    def code_lines(self) -> set[int]:
        """Lines with code: no comment, no blank, no docstring."""
        texts = {line for text in docstrings(self.nodes) for line in span(text)}
        lines = enumerate(self.text.splitlines(), start=1)
        return {number for number, line in lines if (code := line.strip()) and code[0] != "#"} - texts

    @cached_property
    def functions(self) -> list[Function]:
        """All functions, also those inside others."""
        return [node for node in self.nodes if isinstance(node, Function)]

    def size(self, function: Function) -> int:
        """Code lines of a function, from `def` to its end."""
        return len(self.code_lines & set(span(function)))

    def place(self, node: ast.stmt) -> str:
        """Where something is, for a person with an editor."""
        return f"{self.path.relative_to(SOURCE.parent)}:{node.lineno}"


def span(node: ast.stmt) -> range:
    """The lines of a node."""
    return range(node.lineno, (node.end_lineno or node.lineno) + 1)


def docstrings(nodes: list[ast.AST]) -> Iterator[ast.Expr]:
    """Texts that stand alone: docstrings, also those below a field."""
    for node in nodes:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node


def ours() -> Iterator[Module]:
    """Every module that can be imported; a folder without __init__.py is data."""
    for path in sorted((SOURCE / PACKAGE).rglob("*.py")):
        folders = [SOURCE / PACKAGE, *(SOURCE / PACKAGE / part for part in path.relative_to(SOURCE / PACKAGE).parents)]
        if all((folder / "__init__.py").is_file() for folder in folders):
            yield Module(path)


MODULES = list(ours())
BY_NAME = {module.name: module for module in MODULES}


def test_there_is_something_to_count():
    assert f"{PACKAGE}.api.task" in BY_NAME


def test_no_function_is_longer_than_a_screen():
    found = [
        f"{module.place(function)} {function.name} has {size} code lines, {FUNCTION_LINES} are allowed"
        for module in MODULES
        for function in module.functions
        if (size := module.size(function)) > FUNCTION_LINES
    ]
    assert not found, "\n".join(found)


def test_most_functions_are_short():
    sized = sorted(
        (
            (module.size(function), module.place(function), function.name)
            for module in MODULES
            for function in module.functions
        ),
        reverse=True,
    )
    over = [each for each in sized if each[0] > FUNCTION_LINES_P90]
    allowed = len(sized) // 10
    longest = "\n".join(f"{place} {name} has {size} code lines" for size, place, name in over)
    assert len(over) <= allowed, f"{len(over)} of {len(sized)} have more than {FUNCTION_LINES_P90}:\n{longest}"


def test_no_module_is_longer_than_a_chapter():
    found = [
        f"{module.path.relative_to(SOURCE.parent)}:{MODULE_LINES + 1} the module has {lines} lines"
        for module in MODULES
        if (lines := len(module.text.splitlines())) > MODULE_LINES
    ]
    assert not found, "\n".join(found)


def test_no_function_takes_more_than_six_parameters():
    found = [
        f"{module.place(function)} {function.name} takes {count} parameters, {PARAMETERS} are allowed"
        for module in MODULES
        for function in module.functions
        if (count := parameters(function)) > PARAMETERS and not is_command(function)
    ]
    assert not found, "\n".join(found)


def parameters(function: Function) -> int:
    """How many parameters a caller has to think about."""
    given = function.args
    names = [each.arg for each in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    if names and names[0] in ("self", "cls"):
        names = names[1:]
    return len(names) + (given.vararg is not None) + (given.kwarg is not None)


def is_command(function: Function) -> bool:
    """A click command has one parameter for each of its options."""
    called = [each.func if isinstance(each, ast.Call) else each for each in function.decorator_list]
    return any(isinstance(each, ast.Attribute) and each.attr in ("command", "group", "option") for each in called)


def test_everything_public_says_what_it_is():
    found = [f"{module.path.relative_to(SOURCE.parent)}:1 the module" for module in MODULES if silent(module.tree)]
    for module in MODULES:
        found += [f"{module.place(node)} {node.name}" for node in public(module.tree.body) if silent(node)]
    assert not found, "no docstring:\n" + "\n".join(found)


def silent(node: ast.Module | Documented) -> bool:
    """There is no docstring, and none is inherited by saying so."""
    if not isinstance(node, ast.Module):
        marks = {each.id if isinstance(each, ast.Name) else getattr(each, "attr", "") for each in node.decorator_list}
        if marks & {"overload", "override", "setter"}:
            return False
    return not ast.get_docstring(node)


def public(body: list[ast.stmt]) -> Iterator[Documented]:
    """Public classes and functions, and those inside public classes."""
    for node in body:
        if isinstance(node, Documented) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from public(node.body)


def test_no_import_is_relative():
    found = [
        f"{module.place(node)} imports relatively"
        for module in MODULES
        for node in module.nodes
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert not found, "\n".join(found)


def test_no_module_is_named_after_nothing():
    found = [module.name for module in MODULES if CATCH_ALL_NAMES & set(module.name.split("."))]
    assert not found, f"a name that says what is inside is expected: {found}"


def test_no_modules_import_each_other_in_a_circle():
    graph = {module.name: dict(imports(module)) for module in MODULES}
    found = [
        "\n  ".join(
            [
                "a circle:",
                *(
                    f"{BY_NAME[here].path.relative_to(SOURCE.parent)}:{graph[here][there]} imports {there}"
                    for here, there in circle
                ),
            ]
        )
        for circle in circles(graph)
    ]
    assert not found, "\n".join(found)


def imports(module: Module) -> Iterator[tuple[str, int]]:
    """Modules of ours that a module imports anywhere, also lazily or for types only, with the line."""
    for node in module.nodes:
        if isinstance(node, ast.Import):
            wanted = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            wanted = [
                inner if (inner := f"{node.module}.{alias.name}") in BY_NAME else node.module for alias in node.names
            ]
        else:
            continue
        yield from ((name, node.lineno) for name in wanted if name in BY_NAME and name != module.name)


def circles(graph: dict[str, dict[str, int]]) -> list[list[tuple[str, str]]]:
    """Circles of the graph as lists of edges: one for each edge that leads back to where the search came from."""
    found: list[list[tuple[str, str]]] = []
    done: set[str] = set()

    def visit(name: str, above: list[str]) -> None:
        if name in above:
            ring = [*above[above.index(name) :], name]
            found.append(list(itertools.pairwise(ring)))
        elif name not in done:
            for other in graph[name]:
                visit(other, [*above, name])
            done.add(name)

    for name in graph:
        visit(name, [])
    return found


@pytest.mark.parametrize(
    ("graph", "rings"),
    [
        ({"a": {"b": 1}, "b": {}}, 0),
        ({"a": {"b": 1}, "b": {"a": 1}}, 1),
        ({"a": {"b": 1}, "b": {"c": 1}, "c": {"b": 1}}, 1),
        ({"a": {"b": 1, "c": 1}, "b": {"c": 1}, "c": {}}, 0),
    ],
)
def test_the_search_for_circles_finds_them(graph: dict[str, dict[str, int]], rings: int):
    assert len(circles(graph)) == rings


def test_only_code_is_counted(tmp_path: Path):
    file = tmp_path / "sample.py"
    file.write_text('def f():\n    """Two\n    lines."""\n    # why\n\n    x = """a\nb"""\n    return x\n')
    module = Module(file)
    (function,) = module.functions
    assert module.size(function) == 4
