"""Run one command inside the namespaces of a running container: what `exec` and exec probes need.

A program of its own (`python -I -S enter.py DESCRIPTOR`), standard library only, imports nothing of ours. What to do
comes as JSON on a descriptor, so that no secret of the environment shows on a command line:
`{"pid": ..., "argv": [...], "env": {...}, "cwd": "/", "tty": false}`.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import signal
import sys
import termios
from typing import Any

NS_GET_USERNS = 0xB701
CLONE_NEWUSER = 0x10000000
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38
LAST_CAPABILITY = 63

_libc = ctypes.CDLL(None, use_errno=True)


def join(descriptor: int, kind: int) -> None:
    """Enter one namespace. Raises OSError."""
    if _libc.setns(descriptor, kind) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def enter(pid: int) -> None:
    """Enter all namespaces of a process.

    bubblewrap makes two user namespaces: the outer owns the mounts, the inner is where the container lives. Joining
    the outer first gives an ordinary user the right to join the rest.
    """
    names = ("ipc", "uts", "cgroup", "pid", "mnt")
    spaces = {name: os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC) for name in names}
    inner = os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    outer = fcntl.ioctl(spaces["mnt"], NS_GET_USERNS)
    join(outer, CLONE_NEWUSER)
    for name in names:
        join(spaces[name], 0)
    if os.fstat(inner).st_ino != os.fstat(outer).st_ino:
        join(inner, CLONE_NEWUSER)


def humble() -> None:
    """Give up what a process that joined a user namespace holds in it."""
    for capability in range(LAST_CAPABILITY):
        _libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    _libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def become(order: dict[str, Any]) -> None:
    """Turn into the command; never returns."""
    os.setsid()
    if order["tty"]:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    humble()
    try:
        os.chdir(order["cwd"])
    except OSError:
        os.chdir("/")
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    argv, env = order["argv"], order["env"]
    try:
        os.execvpe(argv[0], argv, env)  # noqa: S606 (the sandbox is the boundary, not the command)
    except OSError as error:
        os.write(2, f'exec: "{argv[0]}": {error.strerror}\n'.encode())
        os._exit(127 if isinstance(error, FileNotFoundError) else 126)


def main() -> int:
    """Enter, fork (a pid namespace holds children only), wait."""
    with os.fdopen(int(sys.argv[1]), "rb") as file:
        order: dict[str, Any] = json.load(file)
    if order["pid"]:
        try:
            enter(order["pid"])
        except OSError as error:
            os.write(2, f"the container's namespaces cannot be entered: {error.strerror}\n".encode())
            return 126
    child = os.fork()
    if child == 0:
        become(order)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda _number, _frame: os.kill(child, signal.SIGKILL))
    # The child's copy of the standard streams must be the only one: their end is the end of the command.
    for descriptor in (0, 1, 2):
        os.close(descriptor)
    while True:
        try:
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            return 128 - code if code < 0 else code
        except InterruptedError:
            continue


if __name__ == "__main__":
    sys.exit(main())
