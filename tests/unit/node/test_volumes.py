from __future__ import annotations

from pathlib import Path

import pytest

from kubeopencode.api import core, meta
from kubeopencode.api.volumes import (
    ConfigMapSource,
    EmptyDirSource,
    KeyToPath,
    ProjectedSource,
    Projection,
    SecretSource,
)
from kubeopencode.node import environment, volumes

SOURCES = environment.Sources(
    {"cm": core.ConfigMap(meta.ObjectMeta(name="cm"), {"a.txt": "alpha", "b.txt": "beta"})},
    {"se": core.Secret(meta.ObjectMeta(name="se"), {"key": b"\x00hush"})},
)


def pod(*found: core.Volume, mounts: tuple[core.VolumeMount, ...] = ()) -> core.Pod:
    containers = (core.Container("c", volumeMounts=mounts),)
    return core.Pod(meta.ObjectMeta(name="p", namespace="ns"), core.PodSpec(containers=containers, volumes=found))


def make(tmp_path: Path, owner: core.Pod) -> dict[str, Path]:
    place = environment.Place("local", "127.64.0.1")
    return volumes.materialise(volumes.Context(owner, SOURCES, place, lambda name: tmp_path / name), tmp_path / "v")


def mounts(tmp_path: Path, owner: core.Pod):
    return volumes.mounts(owner, owner.spec.containers[0], make(tmp_path, owner), {})


def test_keys_become_files_with_their_modes(tmp_path: Path):
    items = (KeyToPath("a.txt", "deep/one", 0o600),)
    found = make(tmp_path, pod(core.Volume("v", configMap=ConfigMapSource("cm", items))))
    assert (found["v"] / "deep/one").read_text() == "alpha"
    assert (found["v"] / "deep/one").stat().st_mode & 0o777 == 0o600
    assert not (found["v"] / "b.txt").exists()


def test_secrets_take_the_default_mode(tmp_path: Path):
    found = make(tmp_path, pod(core.Volume("v", secret=SecretSource("se", defaultMode=0o400))))
    assert (found["v"] / "key").read_bytes() == b"\x00hush"
    assert (found["v"] / "key").stat().st_mode & 0o777 == 0o400


def test_projected_sources_share_one_directory(tmp_path: Path):
    sources = (Projection(configMap=ConfigMapSource("cm")), Projection(secret=SecretSource(name="se")))
    found = make(tmp_path, pod(core.Volume("v", projected=ProjectedSource(sources))))
    assert sorted(path.name for path in found["v"].iterdir()) == ["a.txt", "b.txt", "key"]


@pytest.mark.parametrize(("volume", "words"), [
    (core.Volume("v", configMap=ConfigMapSource("gone")), 'configmap "gone" not found'),
    (core.Volume("v", secret=SecretSource("gone")), 'secret "gone" not found'),
    (core.Volume("v", configMap=ConfigMapSource("cm", (KeyToPath("no", "x"),))), "non-existent key: no"),
    (core.Volume("v", hostPath={"path": "/"}), "is not shared with Pods"),
    (core.Volume("v", configMap=ConfigMapSource("cm", (KeyToPath("a.txt", "../x"),))), "relative path"),
])  # fmt: skip
def test_what_cannot_be_made_is_told(tmp_path: Path, volume: core.Volume, words: str):
    with pytest.raises(volumes.VolumeError, match=words):
        make(tmp_path, pod(volume))


def test_what_is_optional_may_be_missing(tmp_path: Path):
    found = make(tmp_path, pod(core.Volume("v", configMap=ConfigMapSource("gone", optional=True))))
    assert list(found["v"].iterdir()) == []


def test_config_maps_are_mounted_read_only_and_a_sub_path_is_one_file(tmp_path: Path):
    found = mounts(tmp_path, pod(
        core.Volume("v", configMap=ConfigMapSource("cm")), mounts=(core.VolumeMount("v", "/x", subPath="a.txt"),)
    ))  # fmt: skip
    assert found[0].read_only
    assert found[0].source.read_text() == "alpha"


def test_a_sub_path_that_leads_out_of_its_volume_is_refused(tmp_path: Path):
    owner = pod(core.Volume("v", emptyDir=EmptyDirSource()), mounts=(core.VolumeMount("v", "/x", subPath="link"),))
    (make(tmp_path, owner)["v"] / "link").symlink_to("/etc")
    with pytest.raises(volumes.VolumeError, match="leads out"):
        mounts(tmp_path, owner)


def test_a_link_inside_its_volume_is_followed(tmp_path: Path):
    owner = pod(core.Volume("v", emptyDir=EmptyDirSource()), mounts=(core.VolumeMount("v", "/x", subPath="repo"),))
    home = make(tmp_path, owner)["v"]
    (home / "tree").mkdir()
    (home / "repo").symlink_to("tree")
    assert mounts(tmp_path, owner)[0].source == (home / "tree").resolve()


def test_changed_keys_reach_a_volume_in_use_without_changing_its_directory(tmp_path: Path):
    owner = pod(core.Volume("v", configMap=ConfigMapSource("cm")))
    home = make(tmp_path, owner)["v"]
    inode = home.stat().st_ino
    fresh = environment.Sources({"cm": core.ConfigMap(meta.ObjectMeta(name="cm"), {"a.txt": "new", "c.txt": "more"})})
    context = volumes.Context(owner, fresh, environment.Place("local", "127.64.0.1"), lambda name: tmp_path / name)
    volumes.refresh(context, tmp_path / "v")
    assert {path.name: path.read_text() for path in home.iterdir()} == {"a.txt": "new", "c.txt": "more"}
    assert home.stat().st_ino == inode
