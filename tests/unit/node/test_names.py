from __future__ import annotations

from pathlib import Path

from kubeopencode.api import core
from kubeopencode.node import addresses, hosts


def test_services_resolve_by_all_their_names_and_by_the_short_one_at_home_only():
    names = [hosts.Name("ns", "db", ("127.96.0.1",)), hosts.Name("other", "api", ("127.96.0.2",))]
    alias = core.HostAlias("10.0.0.1", ("old.example",))
    text = hosts.content(hosts.Guest("ns", "pod-1", "127.64.0.1", (alias,)), names, "cluster.local")
    assert "127.96.0.1\tdb.ns.svc.cluster.local db.ns.svc db.ns db\n" in text
    assert "127.96.0.2\tapi.other.svc.cluster.local api.other.svc api.other\n" in text
    assert "127.64.0.1\tpod-1\n" in text
    assert "10.0.0.1\told.example\n" in text


def test_a_hosts_file_keeps_its_inode_when_it_shrinks(tmp_path: Path):
    path = tmp_path / "etc" / "hosts"
    assert hosts.write(path, "a long text\n")
    inode = path.stat().st_ino
    assert hosts.write(path, "short\n")
    assert not hosts.write(path, "short\n")
    assert (path.read_text(), path.stat().st_ino) == ("short\n", inode)


def test_addresses_are_stable_distinct_and_come_back():
    found = addresses.Range(addresses.PODS)
    first, second = found.take("a"), found.take("b")
    assert first != second
    assert found.take("a") == first
    found.release("a")
    assert found.claim("c", first)
    assert not found.claim("d", first)
    assert not found.claim("e", "10.0.0.1")
