"""The hosts file of a Pod: how Service names resolve inside a sandbox.

Files are rewritten in place, because a sandbox sees the inode it was started with and not the name.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from kubeopencode.api import core

HEAD = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"


@dataclass(frozen=True)
class Name:
    """A Service and the addresses its name resolves to."""

    namespace: str
    service: str
    addresses: tuple[str, ...]


@dataclass(frozen=True)
class Guest:
    """The Pod that a hosts file is for."""

    namespace: str
    hostname: str
    ip: str
    aliases: tuple[core.HostAlias, ...] = ()


def content(guest: Guest, names: Iterable[Name], domain: str) -> str:
    """A hosts file: the Pod itself, its aliases, and every Service by all the names a cluster's DNS has for it."""
    lines = [f"{guest.ip}\t{guest.hostname}"]
    lines += [f"{alias.ip}\t{' '.join(alias.hostnames)}" for alias in guest.aliases if alias.hostnames]
    for name in sorted(names, key=lambda name: (name.namespace, name.service)):
        full = f"{name.service}.{name.namespace}"
        words = [f"{full}.svc.{domain}", f"{full}.svc", full]
        words += [name.service] if name.namespace == guest.namespace else []
        lines += [f"{address}\t{' '.join(words)}" for address in name.addresses]
    return HEAD + "\n".join(lines) + "\n"


def write(path: Path, text: str) -> bool:
    """Bring a hosts file up to date in place; False if it was already."""
    path.parent.mkdir(parents=True, exist_ok=True)
    encoded = text.encode()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if os.pread(descriptor, len(encoded) + 1, 0) == encoded:
            return False
        os.pwrite(descriptor, encoded, 0)
        os.ftruncate(descriptor, len(encoded))
    finally:
        os.close(descriptor)
    return True
