"""Containers as bubblewrap sandboxes, each with a shim beside it that outlives us.

Everything that must be remembered is a file below the Pod's directory, so a new node finds the containers of a dead
one: `intent` (locked by the shim while it lives), `spec.json`, `started`, `exit`, `log`, `message`. Decides nothing
about restarts.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from kubeopencode.node import cgroups, execution, sandbox
from kubeopencode.node.runner import ContainerId, ExecProcess, ExecRequest, Exited, Launch, RunnerError, Running, State

SHIM = Path(__file__).with_name("shim.py")
LOG_LIMIT = 10 * 1024 * 1024
START_SECONDS = 30.0
"""How long a sandbox may take to come up."""
OPEN_FILES = 65_536
LOCK, READY = 8, 9
"""The descriptors a shim inherits."""

MEND = {
    "missing": "bubblewrap (bwrap) is not installed; install it (Debian, Ubuntu: `sudo apt install bubblewrap`;"
    " Fedora: `sudo dnf install bubblewrap`)",
    "refused": "bubblewrap cannot make namespaces here: {why}; allow unprivileged user namespaces"
    " (`sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0` on Ubuntu,"
    " `sudo sysctl -w user.max_user_namespaces=15000` elsewhere)",
}
"""What stands in the way, with the command that mends it."""


class Started(msgspec.Struct, frozen=True):
    """The shim's word that a container runs, and as which processes (pid and start time in clock ticks)."""

    shim: int
    shimStart: int
    pid: int
    pidStart: int
    startedAt: datetime


class Ended(msgspec.Struct, frozen=True):
    """The shim's word on how a container ended."""

    code: int
    signal: int
    startError: str
    startedAt: datetime
    finishedAt: datetime
    oom: bool


class Spec(msgspec.Struct, frozen=True):
    """What the shim is told; it holds the environment and is readable by us alone."""

    dir: str
    log: str
    logLimit: int
    argv: tuple[str, ...]
    options: tuple[str, ...]
    env: dict[str, str]
    cwd: str
    sandboxed: bool
    inner_env: dict[str, str]
    inner_cwd: str
    ready: int
    rlimits: dict[str, int]
    cgroups: tuple[str, ...]
    oomFiles: tuple[str, ...]


class ProcessRunner:
    """Runs containers as processes of this host; satisfies `runner.Runner`. Directories live below `root`."""

    def __init__(self, root: Path, *, sandboxed: bool = True, log_limit: int = LOG_LIMIT) -> None:
        self._root = root
        self._sandboxed = sandboxed
        self._log_limit = log_limit
        self._refusal = ""
        self._bwrap = ""
        self._waits: dict[ContainerId, asyncio.Future[Exited]] = {}
        self._ended: dict[ContainerId, Exited] = {}

    async def prepare(self) -> None:
        """Try a sandbox once; what stands in its way is told by every `start`."""
        if self._sandboxed:
            self._bwrap = shutil.which("bwrap") or ""
            self._refusal = await refusal(self._bwrap)

    def known(self, uid: str) -> Iterator[ContainerId]:
        """Every start of a Pod's containers that has left an intent on disk."""
        for intent in (self._root / uid).glob("containers/*/*/intent"):
            attempt, name = intent.parent.name, intent.parents[1].name
            if attempt.isdecimal():
                yield ContainerId(uid, name, int(attempt))

    async def start(self, launch: Launch) -> None:
        """Start a container and wait until it runs or has failed to. Raises `RunnerError`."""
        if self._refusal:
            raise RunnerError(self._refusal)
        home = self._home(launch.id)
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            lock = os.open(home / "intent", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._forget_old(launch.id)
            self._write_spec(launch, home)
            await self._spawn(launch.id, home, lock)
        except OSError as error:
            raise RunnerError(f"the container's shim cannot be started: {error.strerror}") from error
        finally:
            os.close(lock)

    def state(self, container: ContainerId) -> State | None:
        """How a container is, by the files on disk and the lock its shim holds."""
        if ended := self._ended.get(container):
            return ended
        home = self._home(container)
        if (ended := _exited(home)) is not None:
            self._ended[container] = ended
            return ended
        if not (home / "intent").exists():
            return None
        started = _started(home)
        if _locked(home / "intent"):
            return Running(started.startedAt if started else _modified(home / "intent"))
        # It may have written its verdict between our two looks.
        self._ended[container] = _exited(home) or _unknown(home, started)
        return self._ended[container]

    async def wait(self, container: ContainerId) -> Exited:
        """Wait for a container's end, also one that an earlier life has started."""
        waiting = self._waits.get(container)
        if waiting is None:
            waiting = self._waits[container] = asyncio.ensure_future(self._watch(container))
        return await asyncio.shield(waiting)

    def message(self, container: ContainerId) -> bytes:
        """At most 4096 bytes of the termination message."""
        try:
            with (self._home(container) / "message").open("rb") as file:
                return file.read(4096)
        except OSError:
            return b""

    def log(self, container: ContainerId) -> Path:
        """Where its log is."""
        return self._home(container) / "log"

    def terminate(self, container: ContainerId) -> None:
        """SIGTERM to the main process: the first child of the sandbox's init, which itself ignores signals."""
        self._terminate(container, 50)

    def kill(self, container: ContainerId) -> None:
        """SIGKILL to the sandbox's init: the kernel ends every process of its pid namespace."""
        started = _started(self._home(container))
        if started is None or self.state(container) is None:
            return
        if self._sandboxed:
            _signal(started.pid, started.pidStart, signal.SIGKILL)
        elif started.pidStart == _start_time(started.pid):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(started.pid, signal.SIGKILL)

    async def exec(self, container: ContainerId, request: ExecRequest) -> ExecProcess:
        """Run a command inside, with the container's environment. Raises `RunnerError` if it does not run."""
        home = self._home(container)
        started = _started(home)
        if started is None or not isinstance(self.state(container), Running):
            raise RunnerError(f'container "{container.name}" is not running')
        spec = msgspec.json.decode((home / "spec.json").read_bytes(), type=Spec)
        place = execution.Place(started.pid if spec.sandboxed else 0, spec.inner_env, spec.inner_cwd)
        return await execution.execute(place, request)

    def forget(self, uid: str) -> None:
        """End what still runs of a Pod and remove its containers' directories."""
        for container in list(self.known(uid)):
            if isinstance(self.state(container), Running):
                self.kill(container)
            self._ended.pop(container, None)
            waiting = self._waits.pop(container, None)
            if waiting is not None and not waiting.done():
                waiting.cancel()
        shutil.rmtree(self._root / uid / "containers", ignore_errors=True)

    def _forget_old(self, container: ContainerId) -> None:
        """Keep the start before this one, as `kubectl logs --previous` wants it, and none before that."""
        old = container._replace(attempt=container.attempt - 2)
        self._ended.pop(old, None)
        self._waits.pop(old, None)
        shutil.rmtree(self._home(old), ignore_errors=True)

    def _home(self, container: ContainerId) -> Path:
        return self._root / container.uid / "containers" / container.name / str(container.attempt)

    def _write_spec(self, launch: Launch, home: Path) -> None:
        group = cgroups.create(_group(launch.id), launch.memory)
        argv, options = self._command(launch, home)
        spec = Spec(
            dir=str(home),
            log=str(home / "log"),
            logLimit=self._log_limit,
            argv=argv,
            options=options,
            env={} if self._sandboxed else dict(launch.env),
            cwd="/" if self._sandboxed else str(home),
            sandboxed=self._sandboxed,
            inner_env=dict(launch.env),
            inner_cwd=launch.cwd if self._sandboxed else str(home),
            ready=READY,
            rlimits={"NOFILE": OPEN_FILES, "CORE": 0},
            cgroups=tuple(map(str, group.procs)),
            oomFiles=tuple(map(str, group.oom_files)),
        )
        _private(home / "spec.json", msgspec.json.encode(spec))

    def _command(self, launch: Launch, home: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
        message = home / "message"
        message.touch(mode=0o666)
        if not self._sandboxed:
            # The host's own hosts file has to do; anything else a Pod mounts would silently be missing.
            for mount in launch.mounts:
                if mount.target != "/etc/hosts":
                    raise RunnerError(f'mount "{mount.target}" needs a sandbox; isolation "none" mounts nothing')
            return (shutil.which(launch.argv[0], path=launch.env.get("PATH")) or launch.argv[0], *launch.argv[1:]), ()
        passwd, group = sandbox.accounts(launch)
        files = sandbox.Files(home / "passwd", home / "group", home / "nsswitch.conf", message)
        for path, content in ((files.passwd, passwd), (files.group, group), (files.nsswitch, sandbox.NSSWITCH)):
            path.write_text(content)
        opening = (self._bwrap, "--args", "4", "--json-status-fd", "3", "--")
        return opening + launch.argv, tuple(sandbox.arguments(launch, files))

    async def _spawn(self, container: ContainerId, home: Path, lock: int) -> None:
        loop = asyncio.get_running_loop()
        reader, writer = os.pipe()
        ready: asyncio.Future[None] = loop.create_future()
        try:
            null = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in (0, 1, 2)]
            kept = [(os.POSIX_SPAWN_DUP2, _high(lock), LOCK), (os.POSIX_SPAWN_DUP2, _high(writer), READY)]
            argv = [sys.executable, "-I", "-S", str(SHIM), str(home / "spec.json")]
            pid = os.posix_spawn(sys.executable, argv, {}, file_actions=[*null, *kept])  # noqa: ASYNC221 (returns at once)
            for action in kept:
                os.close(action[1])
            os.close(writer)
            writer = -1
            pidfd = os.pidfd_open(pid)
            self._waits[container] = asyncio.ensure_future(self._reap(container, pidfd, pid))
            loop.add_reader(reader, _settle, ready)
            async with asyncio.timeout(START_SECONDS):
                await ready
        except TimeoutError:
            raise RunnerError(f"the container did not come up within {START_SECONDS:.0f} seconds") from None
        finally:
            loop.remove_reader(reader)
            os.close(reader)
            if writer >= 0:
                os.close(writer)

    async def _reap(self, container: ContainerId, pidfd: int, pid: int) -> Exited:
        await _readable(pidfd)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)  # noqa: ASYNC222 (it has ended)
        return self._verdict(container)

    async def _watch(self, container: ContainerId) -> Exited:
        """Wait for a shim that is not our child."""
        home = self._home(container)
        while isinstance(state := self.state(container), Running):
            started = _started(home)
            if started is None:  # locked, but not yet announced: it is coming up
                await asyncio.sleep(0.05)
                continue
            try:
                await _readable(os.pidfd_open(started.shim))
            except ProcessLookupError:
                await asyncio.sleep(0.01)
        if state is None:
            raise RunnerError(f'container "{container.name}" was never started')
        return state

    def _verdict(self, container: ContainerId) -> Exited:
        state = self.state(container)
        return state if isinstance(state, Exited) else _unknown(self._home(container), None)

    def _terminate(self, container: ContainerId, tries: int) -> None:
        if not isinstance(self.state(container), Running):
            return
        started = _started(self._home(container))
        if started is not None and not self._sandboxed:
            _signal(started.pid, started.pidStart, signal.SIGTERM)
        elif started is not None and (main := _first_child(started.pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(main, signal.SIGTERM)
        elif tries:
            # The sandbox is being built: its main process is about to appear.
            asyncio.get_running_loop().call_later(0.02, self._terminate, container, tries - 1)


async def refusal(bwrap: str) -> str:
    """Why no sandbox can be made on this host, with what mends it; empty if one can."""
    if not bwrap:
        return MEND["missing"]
    process = await asyncio.create_subprocess_exec(
        bwrap, *sandbox.trial(), "--", "true",
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, complaint = await process.communicate()
    if process.returncode == 0:
        return ""
    return MEND["refused"].format(why=complaint.decode(errors="replace").strip() or f"exit code {process.returncode}")


def _exited(home: Path) -> Exited | None:
    try:
        ended = msgspec.json.decode((home / "exit").read_bytes(), type=Ended)
    except FileNotFoundError:
        return None
    reason = "OOMKilled" if ended.oom else "Completed" if ended.code == 0 else "Error"
    reason = "StartError" if ended.startError else reason
    return Exited(ended.code, reason, ended.startedAt, ended.finishedAt, ended.startError, ended.signal)


def _unknown(home: Path, started: Started | None) -> Exited:
    began = started.startedAt if started else _modified(home / "intent")
    message = "The container could not be located when the node looked for it"
    return Exited(137, "ContainerStatusUnknown", began, datetime.now(UTC), message)


def _started(home: Path) -> Started | None:
    try:
        return msgspec.json.decode((home / "started").read_bytes(), type=Started)
    except FileNotFoundError:
        return None


def _modified(path: Path) -> datetime:
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except FileNotFoundError:
        return datetime.now(UTC)


def _locked(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _private(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def _group(container: ContainerId) -> str:
    return f"kubeopencode-{container.uid}-{container.name}-{container.attempt}"


def _high(descriptor: int) -> int:
    """A copy with a number that none of the fixed ones collides with."""
    return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 32)


def _start_time(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return 0


def _signal(pid: int, start: int, number: signal.Signals) -> None:
    """A signal for the process of this pid and start time, not for one that got its number later."""
    if start and _start_time(pid) == start:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _first_child(pid: int) -> int:
    """The lowest of a process's children by its number inside the sandbox: the container's main process."""
    children: list[tuple[int, int]] = []
    with contextlib.suppress(OSError):
        for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            with contextlib.suppress(OSError):
                status = Path(f"/proc/{word}/status").read_text(errors="replace")
                inner = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()[-1]
                children.append((int(inner), int(word)))
    return min(children)[1] if children else 0


async def _readable(descriptor: int) -> None:
    """Wait for a descriptor and close it."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_reader(descriptor, _settle, ready)
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
