"""Runs git with credentials that appear on no command line, in no address, in no output and in no file afterwards.

A password stays in the environment of git, and a credential helper in git's configuration reads it from there; it is
bound to the host of the repository, so neither a redirect nor a submodule takes it elsewhere. A key must be a file for
ssh: it is one that lives in memory only and ends with us, however we end. git reads no configuration but ours.
"""

from __future__ import annotations

import base64
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from kubeopencode.pod import git_url
from kubeopencode.pod.failure import Failure
from kubeopencode.pod.git_url import Repository

TOKEN_USER = "x-access-token"  # noqa: S105  # a name, not a secret
"""The user where a Secret has only a password: hosts take any name with a token, and GitHub wants this one."""

_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)

_COMPLAINT = re.compile(r"(?:fatal|error|ERROR): *")
_CONSEQUENCES = ("Could not read from remote repository", "into submodule path")

# The shell's own printf: what it prints appears in no list of processes.
_HELPER = (
    "!answer() { test \"$1\" = get && printf 'username=%s\\npassword=%s\\n' "
    '"$KUBEOPENCODE_GIT_USERNAME" "$KUBEOPENCODE_GIT_PASSWORD"; }; answer'
)

_SETTINGS = """\
[safe]
    directory = *
[core]
    hooksPath = /dev/null
    fsmonitor = false
[protocol "ext"]
    allow = never
[submodule]
    recurse = false
[gc]
    auto = 0
[maintenance]
    auto = false
[http]
    lowSpeedLimit = 100
    lowSpeedTime = 60
[advice]
    detachedHead = false
[init]
    defaultBranch = main
[credential]
    helper =
"""


_FINAL = (
    "Authentication failed",
    "Host key verification failed",
    "Permission denied",
    "Repository not found",
    "couldn't find remote ref",
    "could not read Username",
    "does not appear to be a git repository",
    "not found in upstream",
    "returned error: 403",
    "' not allowed",
    "' not found",
)
"""Complaints of git that another attempt does not change."""


class GitFailed(Failure):
    """A git command did not succeed; the message is git's own, without credentials."""

    @property
    def is_final(self) -> bool:
        """Whether another attempt would end the same way."""
        return any(each in str(self) for each in _FINAL)


@dataclass(frozen=True, repr=False)
class Credentials:
    """What the environment gives for reaching the repository; every part may be empty."""

    username: str = ""
    password: str = ""
    ssh_key: str = ""
    known_hosts: str = ""
    ca_file: str = ""

    @classmethod
    def from_environment(cls) -> Credentials:
        """GIT_USERNAME, GIT_PASSWORD, GIT_SSH_KEY, GIT_SSH_KNOWN_HOSTS and CUSTOM_CA_CERT_PATH.

        Raises:
            Failure: a name or password has more than one line.
        """
        # Many a Secret was made with `echo`, and no user name or password ends in a line break.
        username, password = (os.environ.get(name, "").rstrip("\r\n") for name in ("GIT_USERNAME", "GIT_PASSWORD"))
        for name, value in (("GIT_USERNAME", username), ("GIT_PASSWORD", password)):
            if "\n" in value or "\r" in value:
                raise Failure(f"{name} has more than one line; HTTP knows no such credentials")
        return cls(
            username or (TOKEN_USER if password else ""),
            password,
            os.environ.get("GIT_SSH_KEY", "").strip(),
            os.environ.get("GIT_SSH_KNOWN_HOSTS", "").strip(),
            os.environ.get("CUSTOM_CA_CERT_PATH", ""),
        )

    def conceal(self, text: str) -> str:
        """The text with every secret of ours, in any form that HTTP gives it, and those in addresses masked."""
        secret = self.password or self.username
        pair = base64.b64encode(f"{self.username}:{self.password}".encode("utf-8", "surrogateescape")).decode()
        forms = [
            pair,
            secret,
            quote(secret, safe="", errors="surrogateescape"),
            quote(secret, errors="surrogateescape"),
        ]
        for each in sorted(set(forms), key=len, reverse=True):
            text = text.replace(each, git_url.MASK) if secret else text
        return re.sub(r"(\w://)[^/\s@]*:[^\s@]*@", rf"\1{git_url.MASK}@", text)


class Git:
    """git with one repository's credentials. `private` is a folder that is gone when the work is done."""

    def __init__(self, private: Path, environment: Mapping[str, str], credentials: Credentials) -> None:
        self.private = private
        self._environment = environment
        self._credentials = credentials

    def run(self, *arguments: str, place: Mapping[str, str] | None = None) -> str:
        """The standard output of `git ARGUMENTS`; `place` holds variables such as GIT_DIR.

        Raises:
            GitFailed: git is not there or its exit status is not 0.
        """
        try:
            done = subprocess.run(
                ["git", *arguments],
                cwd=self.private,
                env={**self._environment, **(place or {})},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                umask=0,
                check=False,
            )
        except OSError as error:
            raise GitFailed(f"git cannot be started: {error.strerror}") from None
        if done.returncode:
            said = self._credentials.conceal(done.stderr.decode("utf-8", "replace"))
            raise GitFailed(_reason(said) or f"git {arguments[0]} ended with status {done.returncode}")
        return done.stdout.decode("utf-8", "surrogateescape").strip()


@contextmanager
def access(repository: Repository, credentials: Credentials) -> Generator[Git]:
    """git, ready to reach the repository.

    Raises:
        Failure: the additional certificates cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="git-init-") as folder, ExitStack() as closing:
        private = Path(folder)
        (private / "config").write_text(_SETTINGS + _answers(repository, credentials))
        environment = _environment(private, repository)
        if repository.scheme in ("https", "http") and credentials.username:
            environment["KUBEOPENCODE_GIT_USERNAME"] = credentials.username
            environment["KUBEOPENCODE_GIT_PASSWORD"] = credentials.password
            if repository.scheme == "http":
                sys.stderr.write("git-init: the credentials travel unencrypted, because GIT_REPO begins with http://\n")
        key = closing.enter_context(_unwritten(credentials.ssh_key)) if credentials.ssh_key else None
        environment["GIT_SSH_COMMAND"] = _ssh(private, repository, credentials, key)
        if credentials.ca_file:
            environment["GIT_SSL_CAINFO"] = _bundle(private, credentials.ca_file)
        yield Git(private, environment, credentials)


def _environment(private: Path, repository: Repository) -> dict[str, str]:
    """Ours without anything that steers or traces git, and without the secrets."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    protocols = (*git_url.SCHEMES, "file") if repository.scheme == "file" else git_url.SCHEMES
    if "GIT_SSL_CAINFO" in os.environ:
        kept["GIT_SSL_CAINFO"] = os.environ["GIT_SSL_CAINFO"]
    return kept | {
        "GIT_ALLOW_PROTOCOL": ":".join(protocols),
        "GIT_ASKPASS": "",
        "GIT_CONFIG_GLOBAL": str(private / "config"),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_SSH_VARIANT": "ssh",
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C",
        "SSH_ASKPASS": "",
    }


def _answers(repository: Repository, credentials: Credentials) -> str:
    if repository.scheme not in ("https", "http") or not credentials.username:
        return ""
    helper = _HELPER.replace("\\", "\\\\").replace('"', '\\"')
    return f'[credential "{repository.origin}"]\n    helper = "{helper}"\n'


def _ssh(private: Path, repository: Repository, credentials: Credentials, key: Path | None) -> str:
    """ssh by its options alone: it would look for its files in the home of the user database, not in HOME.

    A configuration of ssh can run programs, and the agent may have written the one in HOME; so none is read.
    """
    home = Path(os.environ.get("HOME") or "/") / ".ssh"
    options = {"BatchMode": "yes", "ConnectTimeout": "30", "ServerAliveInterval": "15"}
    identities = [home / name for name in ("id_ed25519", "id_ecdsa", "id_rsa") if (home / name).is_file()]
    if key:
        identities = [key]
        options |= {"IdentitiesOnly": "yes", "IdentityAgent": "none"}
    hosts = private / "known_hosts"
    if credentials.known_hosts:
        hosts.write_text(credentials.known_hosts + "\n")
        options |= {"StrictHostKeyChecking": "yes", "GlobalKnownHostsFile": "/dev/null"}
    else:
        options["StrictHostKeyChecking"] = "accept-new"
        if re.fullmatch(r"[\w./-]+", str(home)):
            hosts = home / "known_hosts"
        if repository.scheme == "ssh":
            sys.stderr.write(
                "git-init: the key of an unknown host is accepted, because GIT_SSH_KNOWN_HOSTS is not given; "
                "add the key ssh-known-hosts to the Secret\n"
            )
    options["UserKnownHostsFile"] = str(hosts)
    settings = [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
    return shlex.join(["ssh", "-F", "/dev/null", *settings, *(part for key in identities for part in ("-i", str(key)))])


@contextmanager
def _unwritten(key: str) -> Generator[Path]:
    """A file in memory that only our own processes can open. OpenSSH refuses a key whose last line has no end."""
    descriptor = os.memfd_create("key")
    try:
        os.fchmod(descriptor, 0o600)
        os.write(descriptor, (key.replace("\r\n", "\n") + "\n").encode("utf-8", "surrogateescape"))
        yield Path(f"/proc/{os.getpid()}/fd/{descriptor}")
    finally:
        os.close(descriptor)


def _bundle(private: Path, added: str) -> str:
    """One file with the system's certificates and the added ones, for git knows only one."""
    try:
        own = Path(added).read_bytes()
    except OSError as error:
        raise Failure(f'CUSTOM_CA_CERT_PATH: "{added}" cannot be read: {error.strerror}') from None
    if b"-----BEGIN CERTIFICATE-----" not in own:
        raise Failure(f'CUSTOM_CA_CERT_PATH: "{added}" holds no certificate in PEM form')
    candidates = (os.environ.get("SSL_CERT_FILE") or "", *_BUNDLES)
    system = next((Path(each).read_bytes() for each in candidates if each and Path(each).is_file()), b"")
    target = private / "ca.pem"
    target.write_bytes(system + b"\n" + own)
    return str(target)


def _reason(said: str) -> str:
    """The line that tells most: git's last complaint, after what ssh or a submodule said to cause it."""
    lines = ["".join(each for each in line if each.isprintable()).strip() for line in said.splitlines()]
    lines = [line for line in lines if line]
    complaints = [index for index, line in enumerate(lines) if _COMPLAINT.match(line)]
    last = complaints[-1] if complaints else len(lines) - 1
    told = [_COMPLAINT.sub("", line) for line in lines[max(0, last - 1) : last + 1]]
    follows = any(each in told[-1] for each in _CONSEQUENCES) if told else False
    return ": ".join(each.rstrip(".") for each in (told if follows else told[-1:]))[:400]
