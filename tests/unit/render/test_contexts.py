"""Contexts in all their forms: aggregated, as files, as folders."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.api.builders import agent, config_map, seen, task, template
from tests.unit.render.builders import desired, env, file, main, mounts, standalone, volume, written

from kubeopencode.api.meta import Key
from kubeopencode.render import contexts
from kubeopencode.render import task as render
from kubeopencode.render.parts import Refused

CONTEXT = "/workspace/.kubeopencode/context.md"
MAPS = {"rules": config_map("rules", {"b.md": "B", "a.md": "A"})}


def text(content: str, **more: Any) -> dict[str, Any]:
    """A text context."""
    return {"type": "Text", "text": content} | more


def of_map(name: str = "rules", *, key: str = "", optional: bool = False, **more: Any) -> dict[str, Any]:
    """A context from a ConfigMap."""
    source = {"name": name, "optional": optional} | ({"key": key} if key else {})
    return {"type": "ConfigMap", "configMap": source} | more


def test_texts_without_a_path_are_wrapped_and_joined():
    cm, pod = standalone(text("One.", name="style"), text("Two."))
    assert file(cm, pod, CONTEXT) == (
        '<context name="style" namespace="team" type="Text">\nOne.\n</context>\n\n'
        '<context name="context" namespace="team" type="Text">\nTwo.\n</context>'
    )
    assert env(main(pod))["OPENCODE_CONFIG_CONTENT"] == (f'{{"instructions":["/workspace/AGENTS.md","{CONTEXT}"]}}')


def test_the_agents_contexts_come_before_the_tasks():
    cm, pod = desired(task(contexts=[text("task")]), template(contexts=[text("agent")]))
    written_text = file(cm, pod, CONTEXT)
    assert written_text.index("\nagent\n") < written_text.index("\ntask\n")


def test_a_whole_config_map_without_a_path_is_one_block_of_sorted_files():
    cm, pod = standalone(of_map(), maps=MAPS)
    assert file(cm, pod, CONTEXT) == (
        '<context name="context" namespace="team" type="ConfigMap">\n'
        '<file name="a.md">\nA\n</file>\n<file name="b.md">\nB\n</file>\n</context>'
    )


def test_one_key_without_a_path_is_its_text():
    cm, pod = standalone(of_map(key="a.md"), maps=MAPS)
    assert "\nA\n" in file(cm, pod, CONTEXT)
    assert "<file" not in file(cm, pod, CONTEXT)


def test_the_platform_tells_the_agent_about_itself():
    cm, pod = standalone({"type": "Runtime"})
    assert file(cm, pod, CONTEXT).startswith('<context name="runtime" namespace="team" type="Runtime">\n')
    assert contexts.RUNTIME_PROMPT in file(cm, pod, CONTEXT)


def test_a_name_cannot_break_out_of_its_tag():
    cm, pod = standalone(text("x", name='a" type="Git"><&'))
    assert '<context name="a&quot; type=&quot;Git&quot;>&lt;&amp;"' in file(cm, pod, CONTEXT)
    assert file(cm, pod, CONTEXT).splitlines()[0].count('"') == 6


def test_without_any_text_there_is_no_context_file():
    _, pod = standalone()
    assert set(written(pod)) == {"/workspace/task.md"}
    assert CONTEXT not in str(pod)


@pytest.mark.parametrize(
    ("mount_path", "path"),
    [("docs/a.md", "/workspace/docs/a.md"), ("./a.md", "/workspace/a.md"), ("/workspace/a.md", "/workspace/a.md")],
)
def test_a_text_with_a_path_becomes_a_file_in_the_workspace(mount_path: str, path: str):
    cm, pod = standalone(text("x", mountPath=mount_path))
    assert file(cm, pod, path) == "x"
    assert written(pod)[path][1] == 0o644
    assert CONTEXT not in written(pod)


def test_a_file_has_the_mode_that_was_asked_for():
    _, pod = standalone(text("x", mountPath="run.sh", fileMode=0o755), text("y", mountPath="no", fileMode=0))
    assert written(pod)["/workspace/run.sh"][1] == 0o755
    assert written(pod)["/workspace/no"][1] == 0


def test_a_file_outside_the_workspace_is_mounted_by_itself_and_hides_nothing():
    cm, pod = standalone(text("x", mountPath="/etc/app/conf.d/x.md", fileMode=0o600))
    found = mounts(main(pod))["/etc/app/conf.d/x.md"]
    assert found["readOnly"] is True
    assert cm["data"][found["subPath"]] == "x"
    assert "/etc/app/conf.d" not in mounts(main(pod))
    (item,) = (i for i in volume(pod, "context-files")["configMap"]["items"] if i["path"] == found["subPath"])
    assert item["mode"] == 0o600


def test_one_key_with_a_path_becomes_a_file():
    cm, pod = standalone(of_map(key="b.md", mountPath="docs/b.md", fileMode=0o400), maps=MAPS)
    assert file(cm, pod, "/workspace/docs/b.md") == "B"
    assert written(pod)["/workspace/docs/b.md"][1] == 0o400


def test_a_whole_config_map_with_a_path_becomes_a_read_only_folder():
    _, pod = standalone(of_map("scripts", mountPath=".scripts"), of_map("more", mountPath="/srv/more", optional=True))
    first, second = mounts(main(pod))["/workspace/.scripts"], mounts(main(pod))["/srv/more"]
    assert first["readOnly"] is True
    assert volume(pod, first["name"])["configMap"] == {"name": "scripts", "optional": False}
    assert volume(pod, second["name"])["configMap"] == {"name": "more", "optional": True}


def test_the_files_of_a_folder_have_the_mode_that_was_asked_for():
    _, pod = standalone(of_map("scripts", mountPath=".scripts", fileMode=493))
    assert volume(pod, mounts(main(pod))["/workspace/.scripts"]["name"])["configMap"]["defaultMode"] == 493


@pytest.mark.parametrize("where", ["item", "source"])
def test_what_is_optional_may_be_missing(where: str):
    flag: dict[str, Any] = {"optional": True} if where == "source" else {}
    more: dict[str, Any] = {} if where == "source" else {"optional": True}
    absent = of_map("absent", **flag) | more
    no_key = of_map(key="absent", **flag) | more
    cm, pod = standalone(absent, no_key, of_map("absent", key="k", mountPath="x", **flag) | more, maps=MAPS)
    assert set(written(pod)) == {"/workspace/task.md"}
    assert list(cm["data"]) == ["workspace-task.md"]


def test_a_missing_config_map_is_named():
    with pytest.raises(
        Refused, match=r'spec\.contexts\[1\]\.configMap\.name: .*"absent" in the namespace "team"'
    ) as no:
        standalone(text("x"), of_map("absent"), maps={"absent": None})
    assert no.value.reason == "ContextError"


def test_a_missing_key_is_named_with_the_keys_there_are():
    with pytest.raises(Refused, match=r'spec\.contexts\[0\]\.configMap\.key: .*no key "c\.md"; it has: a\.md, b\.md'):
        standalone(of_map(key="c.md"), maps=MAPS)


def test_what_is_not_carried_out_yet_is_refused_and_not_passed_over():
    with pytest.raises(Refused, match=r"spec\.contexts\[0\]\.type: URL contexts are not carried out"):
        standalone({"type": "URL", "url": {"source": "https://x.test/a"}})


def test_only_config_maps_whose_text_is_needed_are_read():
    items = [of_map("a"), of_map("b", key="k"), of_map("c", key="k", mountPath="x"), of_map("d", mountPath="x")]
    sources = render.sources(seen(task(contexts=items), template(contexts=[of_map("e")])))
    assert sources == {Key("team", name) for name in "abce"}


def test_each_side_reads_the_config_maps_of_its_own_namespace():
    by = agent(meta={"namespace": "platform"}, contexts=[of_map("rules")])
    what = seen(
        task(contexts=[of_map("rules")]),
        by,
        config_maps={"rules": config_map("rules", {"k": "the team's"})},
        other_maps={Key("platform", "rules"): config_map("rules", {"k": "the platform's"}, "platform")},
    )
    assert render.sources(what) == {Key("team", "rules"), Key("platform", "rules")}
    cm, pod = render.desired(what)
    both = file(cm, pod, CONTEXT)
    assert both.index("the platform's") < both.index("the team's")
    assert 'namespace="platform"' in both
    assert 'namespace="team"' in both
