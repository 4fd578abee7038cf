"""What the environment may ask of git: repositories, refs and folders, checked before they reach a command line.

git takes an operand that begins with "-" for an option, runs programs for transports such as `ext::`, and prints
addresses with the passwords in them. So only known forms pass; nothing here runs a program or touches a file.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from kubeopencode.pod.failure import Failure

SCHEMES = ("https", "http", "ssh")
"""Transports for repositories and their submodules; local files only where somebody asks for them."""

MASK = "***"

LONGEST_DELAY = 600.0
"""Seconds between two attempts, at most."""

_LONGEST = 2048
_HOST = re.compile(r"(?:[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?\.?|\[[0-9A-Fa-f:.]+\])\Z")
_SCHEME = re.compile(r"[A-Za-z]+://")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*\Z")
_SHORT_SSH = re.compile(r"(?P<user>[^@:/]+)@(?P<host>\[[^\]]*\]|[^:/@]+):(?P<path>.+)\Z")
_COMMIT = re.compile(r"(?:[0-9a-fA-F]{40}|[0-9a-fA-F]{64})\Z")
_LINK = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}\Z")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_FORBIDDEN_IN_REF = re.compile(r'[\s~^:?*\[\\"]|\.\.|@\{|//|/\.|\.lock(?:/|\Z)')


@dataclass(frozen=True)
class Repository:
    """An address without credentials, safe to print. `origin` is scheme and host; credentials go nowhere else."""

    url: str
    scheme: str
    origin: str

    def is_same(self, other: str) -> bool:
        """Whether the other address means this repository."""
        return _bare(self.url) == _bare(other)


@dataclass(frozen=True)
class Order:
    """What the environment asks `git-init` for, checked. `delay` is in seconds, `depth` 0 is the whole history."""

    repository: Repository
    ref: str
    depth: int
    root: Path
    link: str
    submodules: bool
    workspace: Path | None
    subpath: str
    retries: int
    delay: float

    @property
    def checkout(self) -> Path:
        """Where the repository goes."""
        return self.root / self.link


def order() -> Order:
    """The order in the environment.

    Raises:
        Failure: a variable cannot be used; the message names it.
    """
    schemes = (*SCHEMES, "file") if os.environ.get("GIT_ALLOW_FILE") == "1" else SCHEMES
    workspace = os.environ.get("GIT_WORKSPACE_DIR")
    link = os.environ.get("GIT_LINK") or "repo"
    if not _LINK.match(link):
        raise Failure(f'GIT_LINK: "{shown(link)}" is no plain name of a folder; for example: repo')
    return Order(
        repository=repository(os.environ.get("GIT_REPO", ""), schemes),
        ref=ref(os.environ.get("GIT_REF") or "HEAD"),
        depth=_number("GIT_DEPTH", 1, 2**31 - 1),
        root=_absolute("GIT_ROOT", os.environ.get("GIT_ROOT") or "/git"),
        link=link,
        submodules=_truth("GIT_RECURSE_SUBMODULES"),
        workspace=_absolute("GIT_WORKSPACE_DIR", workspace) if workspace else None,
        subpath=folder(os.environ.get("GIT_REPO_SUBPATH", "")),
        retries=_number("GIT_CLONE_RETRIES", 3, 100),
        delay=_duration("GIT_CLONE_RETRY_DELAY", "5s"),
    )


def _number(name: str, default: int, most: int) -> int:
    text = os.environ.get(name) or str(default)
    if not re.fullmatch(r"[0-9]{1,10}", text) or int(text) > most:
        raise Failure(f'{name}: "{shown(text)}" is no whole number from 0 to {most}')
    return int(text)


def _truth(name: str) -> bool:
    text = (os.environ.get(name) or "false").lower()
    if text not in ("true", "1", "false", "0"):
        raise Failure(f'{name}: "{shown(text)}" is neither true nor false')
    return text in ("true", "1")


def _duration(name: str, default: str) -> float:
    text = os.environ.get(name) or default
    if not re.fullmatch(f"(?:{_DURATION.pattern})+", text):
        raise Failure(f'{name}: "{shown(text)}" is no duration; for example: 500ms, 5s or 1m30s')
    return min(LONGEST_DELAY, sum(float(number) * _SECONDS[unit] for number, unit in _DURATION.findall(text)))


def _absolute(name: str, text: str) -> Path:
    path = Path(text)
    if not path.is_absolute() or ".." in path.parts or not text.isprintable():
        raise Failure(f'{name}: "{shown(text)}" must be an absolute path without ".."')
    return path


def repository(text: str, schemes: tuple[str, ...]) -> Repository:
    """A repository whose address has one of these schemes; `user@host:path` counts as ssh.

    Raises:
        Failure: the address is missing, malformed, of another transport, or has credentials in it.
    """
    if not text:
        raise Failure("GIT_REPO is missing; the address of a repository is expected")
    if text.startswith("-"):
        raise Failure(f'GIT_REPO: "{shown(text)}" begins with "-"; the address of a repository is expected')
    if len(text) > _LONGEST or not text.isprintable() or " " in text or "\\" in text:
        raise Failure(
            f'GIT_REPO: "{shown(text)}" has white space, "\\", control characters or more than {_LONGEST} characters'
        )
    if "://" not in text:
        return _short_ssh(text, schemes)
    scheme = text.partition("://")[0]
    if scheme not in schemes:
        raise _unusable(text, schemes)
    if scheme == "file":
        return Repository(text, scheme, "")
    return _remote(text, schemes)


def shown(text: str) -> str:
    """An address that may hold credentials, as it may be printed: on one line, without them."""
    scheme = found[0] if (found := _SCHEME.match(text)) else ""
    user, at, rest = text[len(scheme) :].rpartition("@")
    if at and (scheme in ("https://", "http://") or not _USER.match(user)):
        user = MASK
    text = scheme + user + at + rest.partition("?")[0].partition("#")[0]
    return "".join(each if each.isprintable() else "?" for each in text)[:200]


def ref(text: str) -> str:
    """A branch, a tag, a full ref or a whole commit SHA, by the rules of `git check-ref-format`.

    Raises:
        Failure: it is none of these.
    """
    problem = ""
    if text.startswith(("-", "+", "/", ".")):
        problem = f'begins with "{text[0]}"'
    elif text.endswith(("/", ".")) or text == "@":
        problem = "is no name of a ref"
    elif len(text) > 255 or not text.isprintable() or _FORBIDDEN_IN_REF.search(text):
        problem = "has characters that git does not allow in a ref, or more than 255"
    if problem:
        raise Failure(f'GIT_REF: "{shown(text)}" {problem}; a branch, a tag or a whole commit SHA is expected')
    return text


def is_commit(text: str) -> bool:
    """Whether this is the whole SHA of a commit."""
    return _COMMIT.match(text) is not None


def folder(text: str) -> str:
    """A folder below the root of a repository, without slashes around it; empty for the root itself.

    Raises:
        Failure: it climbs, means git's own folder, or cannot be a path.
    """
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise Failure(f'GIT_REPO_SUBPATH: "{shown(text)}" contains ".."; a folder inside the repository is expected')
    if not text.isprintable() or text.startswith("-"):
        raise Failure(f'GIT_REPO_SUBPATH: "{shown(text)}" has control characters or begins with "-"')
    if any(part.lower() == ".git" for part in parts):
        raise Failure(f"GIT_REPO_SUBPATH: \"{shown(text)}\" is git's own folder; one of the repository's is expected")
    return "/".join(parts)


def _remote(text: str, schemes: tuple[str, ...]) -> Repository:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise _unusable(text, schemes) from None
    _refuse_credentials(text, parts)
    host = parts.netloc.rpartition("@")[2]
    name = host if port is None else host.rpartition(":")[0]
    user = parts.username
    if not _HOST.match(name) or (user is not None and not _USER.match(user)) or not parts.path.strip("/"):
        raise _unusable(text, schemes)
    return Repository(text, parts.scheme, f"{parts.scheme}://{host}")


def _refuse_credentials(text: str, parts: SplitResult) -> None:
    if parts.password is not None or (parts.scheme != "ssh" and "@" in parts.netloc):
        raise Failure(
            f'GIT_REPO: "{shown(text)}" has credentials in it; put them into a Secret and name it in git.secretRef'
        )
    if "?" in text or "#" in text:
        raise Failure(
            f'GIT_REPO: "{shown(text)}" is followed by "?" or "#"; '
            "the address alone is expected, and credentials belong into the Secret of git.secretRef"
        )


def _short_ssh(text: str, schemes: tuple[str, ...]) -> Repository:
    found = _SHORT_SSH.match(text)
    if "ssh" not in schemes or found is None or found["path"].startswith(("-", ":")):
        raise _unusable(text, schemes)
    if not _USER.match(found["user"]) or not _HOST.match(found["host"]):
        raise _unusable(text, schemes)
    return Repository(text, "ssh", f"ssh://{found['host']}")


def _unusable(text: str, schemes: tuple[str, ...]) -> Failure:
    forms = ", ".join(f"{each}://" for each in schemes)
    return Failure(f'GIT_REPO: "{shown(text)}" cannot be used; expected is {forms} or git@host:path')


def _bare(url: str) -> str:
    return url.rstrip("/").removesuffix(".git").rstrip("/")
