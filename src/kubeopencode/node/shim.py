"""The process that stands beside one container: it keeps the log and the verdict while the node may die and return.

A program of its own (`python -I -S shim.py SPEC`), standard library only, imports nothing of ours. It leaves the
caller's session, starts the container's command, copies its output to a log in CRI format, and writes what happened as
files that the node reads: `started` (JSON) and at the end `exit` (JSON). Files appear whole or not at all. The caller
hands over a locked descriptor that stays open here: while the lock is held, this process lives.
"""

# ruff: noqa: PTH105, PTH106, PTH118, PTH120, PTH123, S606 (pathlib costs half of the start-up time; the command is the sandbox)
from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
import time
from typing import Any

CHUNK = 16 * 1024
"""A line longer than this is written in parts, as containerd does."""
DRAIN_SECONDS = 1.0
"""How long output may still arrive after the command has ended."""


class Log:
    """A container log in CRI format that never grows beyond two files of `limit` bytes."""

    def __init__(self, path: str, limit: int) -> None:
        self._path, self._limit = path, limit
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        self._size = os.fstat(self._file).st_size

    def write(self, stream: bytes, line: bytes, whole: bool) -> None:
        """Append one line, or a part of one that is still going on."""
        now = time.time_ns()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now // 1_000_000_000)).encode()
        entry = b"%s.%09dZ %s %s %s\n" % (stamp, now % 1_000_000_000, stream, b"F" if whole else b"P", line)
        if self._size and self._size + len(entry) > self._limit:
            self._rotate()
        # A full disk costs log lines, never the container.
        with contextlib.suppress(OSError):
            os.write(self._file, entry)
            self._size += len(entry)

    def _rotate(self) -> None:
        os.close(self._file)
        os.replace(self._path, self._path + ".1")
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        self._size = 0


class Stream:
    """One of the container's outputs, cut into lines."""

    def __init__(self, name: bytes, descriptor: int, log: Log) -> None:
        self.descriptor, self._name, self._log = descriptor, name, log
        self._rest = b""
        self.tail = b""

    def pump(self) -> bool:
        """Move what is there to the log; False at the end of the stream."""
        try:
            data = os.read(self.descriptor, 64 * 1024)
        except OSError:
            data = b""
        if not data:
            if self._rest:
                self._log.write(self._name, self._rest, True)
                self._rest = b""
            return False
        self.tail = (self.tail + data)[-2048:]
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            self._cut(line, True)
        while len(self._rest) >= CHUNK:
            self._log.write(self._name, self._rest[:CHUNK], False)
            self._rest = self._rest[CHUNK:]
        return True

    def _cut(self, line: bytes, whole: bool) -> None:
        while len(line) > CHUNK:
            self._log.write(self._name, line[:CHUNK], False)
            line = line[CHUNK:]
        self._log.write(self._name, line, whole)


def publish(path: str, content: dict[str, Any]) -> None:
    """Write a JSON file in one step, so that a reader sees all of it or nothing."""
    scratch = f"{path}.{os.getpid()}"
    with open(scratch, "w", encoding="utf-8") as file:
        json.dump(content, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(scratch, path)


def start_time(pid: int) -> int:
    """When a process started, in clock ticks since boot; with the pid it names one process for ever. 0 if gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return int(file.read().rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return 0


def now() -> str:
    """The time as the API writes it, with microseconds."""
    seconds = time.time()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(seconds * 1e6) % 1_000_000:06d}Z"


def letter(words: list[str]) -> int:
    """A descriptor with bubblewrap's options, NUL between them: nothing of them shows on a command line."""
    descriptor = os.memfd_create("arguments", os.MFD_CLOEXEC)
    content = "".join(word + "\0" for word in words).encode("utf-8", "surrogateescape")
    while content:
        content = content[os.write(descriptor, content) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def spawn(spec: dict[str, Any], outputs: tuple[int, int], status: int) -> int:
    """Start the command with its own environment and limits; returns its pid."""
    options = letter(spec["options"])
    pid = os.fork()
    if pid:
        return pid
    try:
        null = os.open(os.devnull, os.O_RDONLY)
        # High numbers first: no target may overwrite a source that is still needed.
        sources = [_above(descriptor) for descriptor in (null, *outputs, status, options)]
        for target, source in enumerate(sources):
            os.dup2(source, target)
        os.closerange(len(sources), 256)
        os.setsid()
        os.chdir(spec["cwd"])
        for procs in spec.get("cgroups", ()):
            with contextlib.suppress(OSError), open(procs, "w", encoding="ascii") as file:
                file.write(str(os.getpid()))
        _limit(spec.get("rlimits", {}))
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        os.execve(spec["argv"][0], spec["argv"], spec["env"])
    except BaseException as error:
        os.write(2, f"shim: {error}\n".encode())
    finally:
        os._exit(127)


def _above(descriptor: int) -> int:
    import fcntl

    return fcntl.fcntl(descriptor, fcntl.F_DUPFD, 64)


def _limit(limits: dict[str, int]) -> None:
    import resource

    for name, value in limits.items():
        which = getattr(resource, f"RLIMIT_{name}")
        hard = resource.getrlimit(which)[1]
        allowed = value if hard == resource.RLIM_INFINITY else min(value, hard)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(which, (allowed, allowed))


class Watch:
    """Everything that happens while the command runs."""

    def __init__(self, spec: dict[str, Any], child: int, streams: list[Stream], status: int) -> None:
        self._spec, self._child, self._status = spec, child, status
        self._open = {stream.descriptor: stream for stream in streams}
        self._poll = select.poll()
        for descriptor in (*self._open, status):
            self._poll.register(descriptor, select.POLLIN)
        self._words = b""
        self.started_at = now()
        self.init = 0

    def run(self) -> int:
        """Copy output until the command has ended; returns its wait status."""
        # The child's pidfd turns readable at its end: no signal handler, no polling.
        pidfd = os.pidfd_open(self._child)
        self._poll.register(pidfd, select.POLLIN)
        ended = False
        while not ended:
            for descriptor, _ in self._poll.poll():
                if descriptor == pidfd:
                    ended = True
                elif descriptor == self._status:
                    self._listen()
                else:
                    self._pump(descriptor)
        _, status = os.waitpid(self._child, 0)
        self._poll.unregister(pidfd)
        self._finish()
        return status

    def _pump(self, descriptor: int) -> None:
        if not self._open[descriptor].pump():
            self._poll.unregister(descriptor)
            del self._open[descriptor]

    def _listen(self) -> None:
        """bubblewrap tells the pid of the sandbox's init on its status descriptor, one JSON object a line."""
        data = os.read(self._status, 4096)
        if not data:
            self._poll.unregister(self._status)
            return
        self._words += data
        for line in self._words.split(b"\n")[:-1]:
            told = json.loads(line)
            if "child-pid" in told and not self.init:
                self.init = int(told["child-pid"])
                self.announce()
        self._words = self._words.rpartition(b"\n")[2]

    def announce(self) -> None:
        """Say that the container runs, and as which processes."""
        content = {"shim": os.getpid(), "shimStart": start_time(os.getpid()), "startedAt": self.started_at}
        content |= {"pid": self.init, "pidStart": start_time(self.init)}
        publish(os.path.join(self._spec["dir"], "started"), content)
        # Whoever waits for the start sees its pipe close; only the first time there is one.
        if self._spec["ready"] >= 0:
            os.close(self._spec["ready"])
            self._spec["ready"] = -1

    def _finish(self) -> None:
        # With its init gone the whole pid namespace is gone; if bubblewrap alone was killed, this ends the rest.
        if self.init and start_time(self.init):
            with contextlib.suppress(OSError):
                os.kill(self.init, signal.SIGKILL)
        deadline = time.monotonic() + DRAIN_SECONDS
        while self._open and (left := deadline - time.monotonic()) > 0:
            for descriptor, _ in self._poll.poll(left * 1000):
                if descriptor in self._open:
                    self._pump(descriptor)
                elif descriptor == self._status:
                    self._poll.unregister(descriptor)


def out_of_memory(paths: list[str]) -> bool:
    """Whether the kernel killed something here for want of memory (cgroup v1 `oom_control`, v2 `memory.events`)."""
    for path in paths:
        with contextlib.suppress(OSError, ValueError), open(path, encoding="ascii") as file:
            words = file.read().split()
            if "oom_kill" in words and int(words[words.index("oom_kill") + 1]) > 0:
                return True
    return False


def disband(groups: list[str]) -> None:
    """Remove the control groups once the kernel has let the last process go; they are ours alone."""
    for procs in groups:
        for _ in range(20):
            try:
                os.rmdir(os.path.dirname(procs))
                break
            except FileNotFoundError:
                break
            except OSError:
                time.sleep(0.01)


def verdict(status: int, complaint: bytes) -> dict[str, Any]:
    """The exit file's content, from a wait status and the end of the error output."""
    code = os.waitstatus_to_exitcode(status)
    code = 128 - code if code < 0 else code
    last = complaint.strip().rpartition(b"\n")[2].decode("utf-8", "replace")
    refused = code in (1, 127) and last.startswith(("bwrap: ", "shim: "))
    return {
        "code": 128 if refused else code,
        "signal": code - 128 if 128 < code <= 192 and not refused else 0,
        "startError": last.partition(": ")[2] if refused else "",
        "finishedAt": now(),
    }


def main(path: str) -> None:
    """Run one container to its end. `path` is the JSON file that the node wrote."""
    with open(path, encoding="utf-8") as file:
        spec: dict[str, Any] = json.load(file)
    with contextlib.suppress(OSError):
        os.setsid()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    log = Log(spec["log"], spec["logLimit"])
    out, err, told = os.pipe(), os.pipe(), os.pipe()
    child = spawn(spec, (out[1], err[1]), told[1])
    for descriptor in (out[1], err[1], told[1]):
        os.close(descriptor)
    streams = [Stream(b"stdout", out[0], log), Stream(b"stderr", err[0], log)]
    watch = Watch(spec, child, streams, told[0])
    if not spec["sandboxed"]:
        watch.init = child
        watch.announce()
    status = watch.run()
    content = verdict(status, streams[1].tail)
    content["startedAt"] = watch.started_at
    content["oom"] = out_of_memory(spec.get("oomFiles", []))
    publish(os.path.join(spec["dir"], "exit"), content)
    disband(spec.get("cgroups", []))


if __name__ == "__main__":
    main(sys.argv[1])
