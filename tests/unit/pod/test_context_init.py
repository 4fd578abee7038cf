from __future__ import annotations

import json
import stat

import pytest

from kubeopencode.pod import context_init
from kubeopencode.pod.failure import Failure


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A ConfigMap as the kubelet shows it, and an empty workspace."""
    (tmp_path / "maps" / "..2026").mkdir(parents=True)
    (tmp_path / "maps" / "..data").symlink_to("..2026")
    (tmp_path / "maps" / "..2026" / "task.md").write_text("do it")
    (tmp_path / "maps" / "task.md").symlink_to("..data/task.md")
    (tmp_path / "workspace").mkdir()
    monkeypatch.setenv("WORKSPACE_DIR", str(tmp_path / "workspace"))
    monkeypatch.setenv("CONFIGMAP_PATH", str(tmp_path / "maps"))
    monkeypatch.delenv("FILE_MAPPINGS", raising=False)
    monkeypatch.delenv("DIR_MAPPINGS", raising=False)
    return tmp_path


@pytest.fixture
def copy(place, monkeypatch):
    def run(*files, directories=()):
        monkeypatch.setenv("FILE_MAPPINGS", json.dumps(files))
        monkeypatch.setenv("DIR_MAPPINGS", json.dumps(directories))
        return context_init.main([])

    return run


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_file_arrives_with_its_folders_and_its_mode(place, copy):
    target = place / "workspace" / "deep" / "er" / "task.md"

    assert copy({"key": "task.md", "targetPath": str(target), "fileMode": 0o755}) == 0
    assert target.read_text() == "do it"
    assert mode(target) == 0o755
    assert mode(target.parent) & 0o755 == 0o755


def test_without_a_mode_a_file_is_readable_by_all(place, copy):
    copy({"key": "task.md", "targetPath": "task.md"})

    assert mode(place / "workspace" / "task.md") == 0o644


def test_a_file_of_the_repository_is_replaced(place, copy):
    (place / "workspace" / "task.md").write_text("from git")

    copy({"key": "task.md", "targetPath": "task.md"})

    assert (place / "workspace" / "task.md").read_text() == "do it"
    assert [each.name for each in (place / "workspace").iterdir()] == ["task.md"]


def test_a_missing_key_fails_and_names_key_and_target(place, copy):
    with pytest.raises(Failure, match=r'key "gone" is not there, and .*/a\.md needs it'):
        copy({"key": "gone", "targetPath": "a.md"})


def test_a_missing_optional_key_is_left_out(place, copy):
    assert copy({"key": "gone", "targetPath": "a.md", "optional": True}) == 0
    assert not (place / "workspace" / "a.md").exists()


@pytest.mark.parametrize("target", ["../out.md", "/workspace/../etc/passwd"])
def test_a_target_may_not_climb(place, copy, target):
    with pytest.raises(Failure, match="targetPath"):
        copy({"key": "task.md", "targetPath": target})


@pytest.mark.parametrize("key", ["../../etc/passwd", "..data", "a/b"])
def test_a_key_is_the_name_of_a_file(place, copy, key):
    with pytest.raises(Failure, match="FILE_MAPPINGS: the key"):
        copy({"key": key, "targetPath": "a.md"})


def test_a_link_in_the_repository_leads_nowhere_else(place, copy):
    outside = place / "outside"
    outside.mkdir()
    (place / "workspace" / "docs").symlink_to(outside)

    with pytest.raises(Failure, match="symbolic link"):
        copy({"key": "task.md", "targetPath": "docs/task.md"})
    assert list(outside.iterdir()) == []


def test_a_link_at_the_target_itself_is_replaced_not_followed(place, copy):
    (place / "victim").write_text("precious")
    (place / "workspace" / "task.md").symlink_to(place / "victim")

    copy({"key": "task.md", "targetPath": "task.md"})

    assert (place / "victim").read_text() == "precious"
    assert not (place / "workspace" / "task.md").is_symlink()


def test_a_folder_is_copied_without_the_kubelets_own_entries(place, copy):
    (place / "maps" / "..2026" / "more").mkdir()
    (place / "secret").write_text("not for you")
    (place / "maps" / "leak").symlink_to(place / "secret")

    copy(directories=[{"sourcePath": str(place / "maps"), "targetPath": "guides"}])

    assert [each.name for each in (place / "workspace" / "guides").iterdir()] == ["task.md"]
    assert (place / "workspace" / "guides" / "task.md").read_text() == "do it"


def test_a_missing_folder_fails_unless_it_is_optional(place, copy):
    with pytest.raises(Failure, match="is not there"):
        copy(directories=[{"sourcePath": "/no/such", "targetPath": "x"}])
    assert copy(directories=[{"sourcePath": "/no/such", "targetPath": "x", "optional": True}]) == 0


def test_the_workspace_can_be_used_by_another_user(place, copy):
    private = place / "workspace" / "private"
    private.mkdir(mode=0o700)
    (private / "file").touch(mode=0o600)

    copy()

    assert mode(private) == 0o755
    assert mode(private / "file") == 0o644


@pytest.mark.parametrize("value", ["{", '{"key": 1}', '["a"]'])
def test_unreadable_mappings_are_named(place, monkeypatch, value):
    monkeypatch.setenv("FILE_MAPPINGS", value)

    with pytest.raises(Failure, match="FILE_MAPPINGS"):
        context_init.main([])
