from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from kubeopencode.api.meta import Key
from kubeopencode.apiserver import (
    builtin_types,
    builtins,
    certificates,
    columns,
    gnostic,
    jsonpath,
    names,
    protobuf,
    spdy,
    storage,
)
from kubeopencode.apiserver.selectors import Selector
from kubeopencode.apiserver.status import Failure
from kubeopencode.apiserver.watchhub import QUEUE, Watcher, WatchHub

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (".spec.a", [1]),
        ("{.spec.a}", [1]),
        (".spec.list[0].n", ["x"]),
        (".spec.list[*].n", ["x", "y"]),
        ('.spec.list[?(@.n=="y")].v', [2]),
        (".metadata.labels.example\\.io/a", ["l"]),
        (".metadata.labels['example.io/a']", ["l"]),
        (".spec.none.below", []),
    ],
)
def test_printer_paths_find_values(path: str, expected: list[Any]) -> None:
    obj = {
        "spec": {"a": 1, "list": [{"n": "x", "v": 1}, {"n": "y", "v": 2}]},
        "metadata": {"labels": {"example.io/a": "l"}},
    }
    assert jsonpath.compile_path(path)(obj) == expected


def test_a_path_that_is_not_understood_is_refused() -> None:
    with pytest.raises(ValueError, match="not understood"):
        jsonpath.compile_path(".a[(1)]")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(5, "5s"), (119, "119s"), (200, "3m20s"), (3600, "60m"), (11_000, "3h3m"), (90_000, "25h"), (400_000, "4d15h")],
)
def test_ages_are_short(seconds: int, text: str) -> None:
    then = (NOW - timedelta(seconds=seconds)).isoformat()
    assert columns.age(then, NOW) == text


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ({"phase": "Pending"}, "Pending"),
        ({"phase": "Running", "containerStatuses": [{"state": {"running": {}}}]}, "Running"),
        (
            {"phase": "Pending", "containerStatuses": [{"state": {"waiting": {"reason": "ErrImagePull"}}}]},
            "ErrImagePull",
        ),
        (
            {"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"reason": "Error", "exitCode": 1}}}]},
            "Error",
        ),
        ({"phase": "Pending", "initContainerStatuses": [{"name": "i", "state": {"running": {}}}]}, "Init:0/1"),
        ({"phase": "Failed", "reason": "Evicted"}, "Evicted"),
    ],
)
def test_a_pods_status_is_one_word(state: Any, expected: str) -> None:
    [kind] = [kind for kind in builtins.kinds() if kind.kind == "Pod"]
    [printer] = [printer for printer in columns.of(kind) if printer.column.name == "Status"]
    assert printer.cell({"spec": {}, "status": state}, NOW) == expected


def test_labels_and_annotations_have_limits() -> None:
    causes = names.check_metadata("/pods", {"name": "a", "labels": {"a": "x" * 64, "-": "v", "b/c": "bad value"}})
    assert [cause.field for cause in causes] == ["metadata.labels"] * 3
    [cause] = names.check_metadata("/pods", {"name": "a", "annotations": {"a": "x" * 262_144}})
    assert cause.message == "Too long: may not be more than 262144 bytes"


def test_every_built_in_type_is_readable() -> None:
    kinds = builtins.kinds()
    assert {"Pod", "Secret", "Deployment", "Job", "Lease", "Event"} <= {kind.kind for kind in kinds}
    container = builtin_types.source("PodSpec")["properties"]["containers"]
    assert container["x-kubernetes-patch-merge-key"] == "name"


def field(number: int, content: bytes) -> bytes:
    return bytes((number << 3 | 2, len(content))) + content


def test_a_protobuf_namespace_is_read() -> None:
    kind = field(1, b"v1") + field(2, b"Namespace")
    meta = field(1, b"demo") + field(11, field(1, b"a") + field(2, b"b"))
    raw = b"k8s\x00" + field(1, kind) + field(2, field(1, meta))
    assert protobuf.decode(raw) == {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "demo", "labels": {"a": "b"}},
    }


@pytest.mark.parametrize("raw", [b"", b"k8s\x00", b"k8s\x00\x0a\xff", b"k8s\x00\x0a\x04\x12\x02No", b"k8s\x00\xff\xff"])
def test_broken_protobuf_is_refused(raw: bytes) -> None:
    with pytest.raises(Failure):
        protobuf.decode(raw)


def put(held: storage.Storage, name: str) -> None:
    held.put(storage.Place("/configmaps", Key("default", name)), {"metadata": {"name": name, "uid": name}})


async def test_a_watcher_that_does_not_read_is_cut_off() -> None:
    held = storage.Storage.memory()
    hub = WatchHub(held)
    watcher = Watcher("/configmaps", "", Selector())
    cut: list[bool] = []
    watcher.on_cut = lambda: cut.append(True)
    hub.open(watcher, held.version)
    for index in range(QUEUE + 1):
        put(held, f"m{index}")
    assert (watcher.closed, cut) == (True, [True])
    assert await watcher.take(0) == []


def test_history_is_bounded_and_says_so() -> None:
    held = storage.Storage.memory()
    for index in range(storage.HISTORY + 5):
        put(held, f"m{index % 50}")
    assert len(held.since(held.version - 3)) == 3
    with pytest.raises(Failure, match="too old resource version"):
        held.since(3)


def test_certificates_are_private_and_kept(tmp_path: Path) -> None:
    certificates.context(tmp_path)
    before = certificates.authority(tmp_path)
    certificates.context(tmp_path)
    assert certificates.authority(tmp_path) == before
    assert (tmp_path / "server.key").stat().st_mode & 0o777 == 0o600


def test_spdy_frames_survive_any_cut() -> None:
    client, server = spdy.Codec(), spdy.Codec()
    raw = spdy.data(5, b"hello") + spdy.control(spdy.PING, b"\x00\x00\x00\x01") + spdy.data(5, b"", last=True)
    whole = list(client.feed(raw))
    pieces = [frame for at in range(len(raw)) for frame in server.feed(raw[at : at + 1])]
    assert whole == pieces
    assert [(frame.kind, frame.data, frame.flags) for frame in whole] == [
        (spdy.DATA, b"hello", 0),
        (spdy.PING, b"\x00\x00\x00\x01", 0),
        (spdy.DATA, b"", spdy.FIN),
    ]


@pytest.mark.parametrize("raw", [b"\x80\x03\x00\x01\x00\x00\x00\x01x", b"\x00\x00\x00\x01\x00\xff\xff\xff"])
def test_broken_spdy_is_refused(raw: bytes) -> None:
    with pytest.raises(spdy.ProtocolError):
        list(spdy.Codec().feed(raw))


def test_old_clients_get_definitions_as_protobuf() -> None:
    source = {"type": "object", "required": ["a"], "properties": {"a": {"type": "string", "description": "The a."}}}
    raw = gnostic.encode({"info": {"title": "T", "version": "v1"}, "definitions": {"io.x.Task": source}})
    assert raw.startswith(b"\x0a\x032.0")
    assert all(text in raw for text in (b"io.x.Task", b"The a.", b"object"))
