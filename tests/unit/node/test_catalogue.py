from __future__ import annotations

import os
from pathlib import Path

import pytest

from kubeopencode.node import catalogue


def make(tmp_path: Path, text: str = "", opencode: bool = True) -> catalogue.Catalogue:
    file = tmp_path / "images.yaml"
    if text:
        file.write_text(text)
    binary = tmp_path / "opencode"
    if opencode:
        binary.touch()
    return catalogue.Catalogue(tmp_path / "programs", binary, file)


@pytest.mark.parametrize("reference", [
    "quay.io/kubeopencode/kubeopencode-agent-echo:latest",
    "ghcr.io/kubeopencode/kubeopencode-agent-echo@sha256:0123",
    "localhost:5000/kubeopencode/kubeopencode-agent-echo:v1",
    "kubeopencode-agent-echo",
])  # fmt: skip
def test_our_images_are_known_whatever_registry_and_tag(tmp_path: Path, reference: str):
    assert make(tmp_path).find(reference).entrypoint[0] == "/bin/sh"


def test_agent_images_bring_the_opencode_binary_read_only(tmp_path: Path):
    image = make(tmp_path).find("quay.io/kubeopencode/kubeopencode-agent-opencode:latest")
    assert [(mount.target, mount.read_only) for mount in image.mounts] == [(catalogue.OPENCODE, True)]


def test_without_the_binary_the_way_out_is_told(tmp_path: Path):
    with pytest.raises(catalogue.UnknownImage, match="kubeoc doctor"):
        make(tmp_path, opencode=False).find("quay.io/kubeopencode/kubeopencode-agent-devbox")


def test_the_system_image_has_its_launcher(tmp_path: Path):
    image = make(tmp_path).find("quay.io/kubeopencode/kubeopencode:latest")
    assert image.entrypoint == ("/kubeopencode",)
    assert os.access(tmp_path / "programs" / "kubeopencode", os.X_OK)


def test_an_unknown_image_names_itself_the_catalogue_and_what_is_known(tmp_path: Path):
    with pytest.raises(catalogue.UnknownImage, match=r"docker\.io/library/nginx") as caught:
        make(tmp_path).find("docker.io/library/nginx")
    assert str(tmp_path / "images.yaml") in str(caught.value)
    assert "kubeopencode-agent-echo" in str(caught.value)


def test_a_users_entry_is_found_by_repository_and_read_again_when_it_changes(tmp_path: Path):
    found = make(tmp_path, 'images: {"my/agent": {entrypoint: [/bin/true], env: {A: "1"}}}')
    assert found.find("my/agent:v3").entrypoint == ("/bin/true",)
    (tmp_path / "images.yaml").write_text('images: {"my/agent": {host: sh}}')
    os.utime(tmp_path / "images.yaml", (1, 1))
    assert found.find("my/agent:v3").entrypoint[0].endswith("/sh")


def test_a_host_command_that_is_missing_is_named(tmp_path: Path):
    with pytest.raises(catalogue.UnknownImage, match="no-such-agent"):
        make(tmp_path, 'images: {"my/agent": {host: no-such-agent}}').find("my/agent")


def test_a_misspelt_field_is_named(tmp_path: Path):
    with pytest.raises(catalogue.UnknownImage, match="entrypiont"):
        make(tmp_path, 'images: {"my/agent": {entrypiont: [x]}}').find("my/agent")
