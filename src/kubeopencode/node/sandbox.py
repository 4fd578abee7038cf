"""What a container sees of the host, as arguments for bubblewrap: almost nothing.

Pure apart from looking at which host directories exist; starts no process. The environment and all paths travel to
bubblewrap over a pipe (`--args`), never on a command line that other users can read, and never as bubblewrap's own
environment, where LD_PRELOAD would run a Pod's code outside its sandbox.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kubeopencode.node.runner import ContainerId, Launch, Mount

PROGRAMS = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store")
"""Where a Linux host keeps its programs: links stay links, directories are bound read-only."""

SETTINGS = (
    "alternatives",
    "ca-certificates",
    "ca-certificates.conf",
    "crypto-policies",
    "gai.conf",
    "host.conf",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "magic",
    "mime.types",
    "os-release",
    "pki/ca-trust",
    "pki/tls/certs",
    "pki/tls/cert.pem",
    "protocols",
    "resolv.conf",
    "rpc",
    "services",
    "ssl/cert.pem",
    "ssl/certs",
    "ssl/openssl.cnf",
    "static",
    "terminfo",
    "timezone",
    "vim",
)
"""What programs need of the host's /etc and what holds no secret."""

HOME = "/home/agent"
"""The home of whoever runs inside; empty at every start."""

NSSWITCH = "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nservices: files\nprotocols: files\n"


@dataclass(frozen=True)
class Files:
    """The files a sandbox gets of its own: where their contents are on the host."""

    passwd: Path
    group: Path
    nsswitch: Path
    message: Path


def accounts(launch: Launch) -> tuple[str, str]:
    """`/etc/passwd` and `/etc/group` with root, nobody and whoever runs inside."""
    user, group = launch.identity.user, launch.identity.group
    users = {0: "root:x:0:0:root:/root:/bin/sh", 65534: "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin"}
    groups = {0: "root:x:0:", 65534: "nogroup:x:65534:"}
    name = {0: "root"}.get(user, "agent")
    users[user] = f"{name}:x:{user}:{group}:{name}:{HOME}:/bin/bash"
    groups.setdefault(group, f"agent:x:{group}:")
    return "\n".join(users.values()) + "\n", "\n".join(groups.values()) + "\n"


def arguments(launch: Launch, files: Files, root: Path = Path("/")) -> list[str]:
    """The options of bubblewrap for one container, without its command."""
    targets = tuple(mount.target for mount in launch.mounts)
    return [*_namespaces(launch), *_system(files, root, targets), *_mounts(launch), *_entry(launch, files)]


def trial() -> list[str]:
    """The options that a host may refuse, over a read-only view of itself: for finding out whether it does."""
    launch = Launch(ContainerId("", "trial", 0), ("true",))
    return [*_namespaces(launch), "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", *_quiet_proc()]


def _namespaces(launch: Launch) -> Iterator[str]:
    yield from ("--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try")
    yield from ("--uid", str(launch.identity.user), "--gid", str(launch.identity.group))
    # Started by root, bubblewrap would hand all of root's capabilities on.
    yield from ("--cap-drop", "ALL")
    yield from ("--hostname", launch.hostname, "--new-session", "--die-with-parent", "--clearenv")
    for name, value in launch.env.items():
        yield from ("--setenv", name, value)


def _system(files: Files, root: Path, targets: tuple[str, ...]) -> Iterator[str]:
    for name in PROGRAMS:
        yield from _shown(root / name.lstrip("/"), name, targets)
    yield from ("--dir", "/etc", "--dir", HOME, "--dir", "/var/tmp", "--dir", "/run", "--tmpfs", "/tmp")  # noqa: S108
    for name in SETTINGS:
        host = root / "etc" / name
        if host.exists():
            yield from _shown(host.resolve(), f"/etc/{name}", targets)
    for source, name in ((files.passwd, "passwd"), (files.group, "group"), (files.nsswitch, "nsswitch.conf")):
        yield from ("--ro-bind", str(source), f"/etc/{name}")
    yield from ("--proc", "/proc", "--dev", "/dev")
    yield from _quiet_proc()


def _quiet_proc() -> Iterator[str]:
    """Cover what of /proc is not of this sandbox but of the whole kernel.

    Files such as /proc/sys/kernel/core_pattern ask for the host's root by its number and not for a capability: where
    root runs the plane, a container could write them. The lists are those of the OCI runtimes.
    """
    for name in ("bus", "fs", "irq", "sys", "sysrq-trigger"):
        if Path("/proc", name).exists():
            yield from ("--ro-bind", f"/proc/{name}", f"/proc/{name}")
    for name in ("kallsyms", "kcore", "keys", "kmsg", "latency_stats", "sched_debug", "timer_list"):
        if Path("/proc", name).exists():
            yield from ("--ro-bind", "/dev/null", f"/proc/{name}")
    for name in ("acpi", "scsi"):
        if Path("/proc", name).is_dir():
            yield from ("--tmpfs", f"/proc/{name}", "--remount-ro", f"/proc/{name}")


def _shown(host: Path, name: str, targets: tuple[str, ...]) -> Iterator[str]:
    """A host path, read-only.

    No mount point can be made inside a read-only directory, so one that has to hold a mount of the Pod is put together
    from its entries.
    """
    inside = any(target.startswith(f"{name}/") for target in targets)
    if host.is_symlink():
        yield from ("--symlink", str(host.readlink()), name)
    elif not inside and host.exists():
        yield from ("--ro-bind", str(host), name)
    elif host.is_dir():
        yield from ("--dir", name)
        for entry in sorted(host.iterdir()):
            yield from _shown(entry, f"{name}/{entry.name}", targets)


def _mounts(launch: Launch) -> Iterator[str]:
    # A parent goes before what lies inside it, whatever order the Pod names them in.
    for mount in sorted(launch.mounts, key=lambda mount: mount.target.count("/")):
        yield from _bind(mount)


def _bind(mount: Mount) -> tuple[str, str, str]:
    return ("--ro-bind" if mount.read_only else "--bind", str(mount.source), mount.target)


def _entry(launch: Launch, files: Files) -> Iterator[str]:
    yield from ("--bind", str(files.message), launch.message_path)
    if launch.cwd != "/":
        yield from ("--dir", launch.cwd, "--chdir", launch.cwd)
    if launch.read_only_root:
        yield from ("--remount-ro", "/")
