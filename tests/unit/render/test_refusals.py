"""What users write is checked before it becomes a path, an option or a value; a refusal names the field."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.api.builders import agent, config_map, task
from tests.unit.render.builders import desired, live, standalone

from kubeopencode.render.parts import Refused


def text(path: str) -> dict[str, Any]:
    """A text that becomes a file."""
    return {"type": "Text", "text": "x", "mountPath": path}


def folder(path: str) -> dict[str, Any]:
    """A ConfigMap that becomes a folder."""
    return {"type": "ConfigMap", "configMap": {"name": "m"}, "mountPath": path}


@pytest.mark.parametrize(
    "path",
    [
        "../x",
        "a/../../x",
        "/workspace/../etc/passwd",
        "..",
        "$(HOME)/x",
        "a$b",
        "a`b`",
        "a;b",
        "a\nb",
        "a\x00b",
        "a\tb",
        "a\u202eb",
        "ä",
        "a|b",
        "a'b",
        'a"b',
        "a\\b",
        "~/x",
        "a*",
    ],
)
def test_a_path_that_could_mean_something_else_is_refused(path: str):
    with pytest.raises(Refused, match=r"^spec\.contexts\[0\]\.mountPath: ") as no:
        standalone(text(path))
    assert no.value.reason == "ContextError"
    with pytest.raises(Refused, match=r"^spec\.contexts\[0\]\.mountPath: "):
        desired(task(contexts=[text(path)]), agent())


@pytest.mark.parametrize("path", ["a..b", "...", "a/.b/c", "--help", "a b.md", "a@b+c=d,e:f%g"])
def test_a_path_that_only_looks_odd_is_taken(path: str):
    standalone(text(path))


@pytest.mark.parametrize(
    "path", ["/", "/etc", "/usr", "/bin", "/proc", "/proc/1", "/dev/shm", "/sys/x", "/tools", "/var", "/etc/", "/./etc"]
)
def test_a_workspace_that_hides_the_system_is_refused(path: str):
    for render in (lambda: standalone(workspaceDir=path), lambda: live(agent(workspaceDir=path))):
        with pytest.raises(Refused, match=r"spec\.workspaceDir: .* is a folder of the system") as no:
            render()
        assert no.value.reason == "AgentError"


@pytest.mark.parametrize("path", ["/a/../etc", "/a$(x)", "/a\n", "/w\x1b"])
def test_a_workspace_with_a_trick_in_it_is_refused(path: str):
    with pytest.raises(Refused, match=r"spec\.workspaceDir: "):
        standalone(workspaceDir=path)


def test_two_slashes_at_the_beginning_are_one():
    with pytest.raises(Refused, match="folder of the system"):
        standalone(workspaceDir="//etc")


@pytest.mark.parametrize("path", ["/", "/etc", "/usr", "/proc", "/tools"])
def test_a_folder_that_hides_the_system_is_refused(path: str):
    with pytest.raises(Refused):
        standalone(folder(path))
    with pytest.raises(Refused):
        standalone(credentials=[{"name": "c", "secretRef": {"name": "s"}, "mountPath": path}])


@pytest.mark.parametrize("path", ["/tmp", "/record", "/workspace"])
def test_a_folder_that_hides_one_of_ours_is_refused(path: str):
    with pytest.raises(Refused, match=f"'{path}' is wanted twice"):
        standalone(folder(path))
    with pytest.raises(Refused, match=f"'{path}' is wanted twice"):
        standalone(credentials=[{"name": "c", "secretRef": {"name": "s"}, "mountPath": path}])


def test_two_folders_for_one_place_are_refused():
    with pytest.raises(Refused, match="mount path conflict: the mount path '/workspace/a' is wanted twice") as no:
        standalone(folder("a"), folder("./a/"))
    assert no.value.reason == "ContextError"


def test_two_files_for_one_place_outside_the_workspace_are_refused():
    with pytest.raises(Refused, match="'/etc/app/a' is wanted twice"):
        standalone(text("/etc/app/a"), text("/etc/app/./a"))


@pytest.mark.parametrize(
    ("contexts", "spec"),
    [
        ([text("a"), text("/workspace/a")], {}),
        ([text("task.md")], {}),
        ([text(".kubeopencode/context.md"), {"type": "Text", "text": "x"}], {}),
        ([text("/tools/opencode.json")], {"config": {"model": "m"}}),
    ],
    ids=["two contexts", "the task", "the contexts", "the configuration"],
)
def test_two_files_for_one_place_are_refused(contexts: Any, spec: Any):
    with pytest.raises(Refused, match="is wanted twice"):
        standalone(*contexts, **spec)


def test_two_files_for_one_place_are_refused_on_the_way_to_a_server_too():
    with pytest.raises(Refused, match="is wanted twice"):
        desired(task(contexts=[text("a"), text("./a")]), agent())


@pytest.mark.parametrize("path", [".", "/workspace", "/workspace/"])
def test_a_file_cannot_be_the_workspace(path: str):
    with pytest.raises(Refused, match=r"spec\.contexts\[0\]\.mountPath"):
        standalone(text(path))


def test_a_folder_at_the_workspace_is_refused_because_it_would_hide_the_task():
    with pytest.raises(Refused, match="'/workspace' is wanted twice"):
        standalone(folder("."))


def test_texts_that_do_not_fit_into_a_config_map_are_refused_with_the_largest():
    with pytest.raises(
        Refused, match=r"1000\d\d\d bytes together, and 1000000 are allowed; .* spec\.contexts\[1\]"
    ) as no:
        standalone(text("a"), text("b") | {"text": "x" * 1_000_001})
    assert no.value.reason == "ContextError"
    with pytest.raises(Refused, match=r"spec\.description"):
        desired(task(description="ü" * 500_001), agent())
    big = {"m": config_map("m", {"k": "x" * 1_000_001})}
    with pytest.raises(Refused, match="1000000 are allowed"):
        standalone({"type": "ConfigMap", "configMap": {"name": "m"}}, maps=big)


def test_texts_that_just_fit_are_taken():
    standalone(text("b") | {"text": "x" * 1_000_000})


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("{", r"spec\.config: the text is not JSON: .* at line 1, column 2"),
        ("[]", r"spec\.config: an object is expected, not list"),
        ('"x"', r"spec\.config: an object is expected, not str"),
        ("", r"spec\.config: the text is not JSON"),
        ([1], r"spec\.config: an object is expected, not list"),
        (3, r"spec\.config: an object is expected, not int"),
    ],
)
def test_a_configuration_that_is_none_is_refused(config: Any, message: str):
    for render in (lambda: standalone(config=config), lambda: live(agent(config=config))):
        with pytest.raises(Refused, match=message):
            render()
