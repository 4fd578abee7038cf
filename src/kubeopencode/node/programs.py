"""The OpenCode program for Pods on a laptop: where it is, and how it is installed.

It comes from npm at the pinned version. npm checks the package against the lock file; the program itself is checked
once more against its digest here, because it is what will be run.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

VERSION = "1.18.33"
PACKAGES = {"x86_64": "opencode-linux-x64"}
DIGESTS = {"opencode-linux-x64": "0abbb7c32ab0294c0a7bfa2705f9ff0df5dce5ab721d1f00cccfe393f2a11427"}
MANIFESTS = Path(__file__).parent / "opencode"


class InstallError(Exception):
    """OpenCode could not be installed. The message says why and what to do."""


def folder() -> Path:
    """Where programs are installed: in the user's cache, so that a plane's data can be thrown away without them."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "kubeopencode" / f"opencode-{VERSION}"


def opencode() -> Path | None:
    """The installed program; None when it is not there. OPENCODE_BIN names another one."""
    if given := os.environ.get("OPENCODE_BIN"):
        return Path(given) if Path(given).is_file() else None
    package = PACKAGES.get(platform.machine())
    found = folder() / "node_modules" / package / "bin" / "opencode" if package else None
    return found if found and found.is_file() else None


def install() -> Path:
    """Install the program unless it is there.

    Raises:
        InstallError: no npm, no package for this machine, or a program that is not the one we know.
    """
    if found := opencode():
        return found
    package = PACKAGES.get(platform.machine())
    if package is None:
        raise InstallError(
            f"there is no pinned OpenCode for {platform.machine()}; set OPENCODE_BIN to a program of yours"
        )
    if shutil.which("npm") is None:
        raise InstallError("npm is missing; install it (Debian: apt-get install npm) and try again")
    where = folder()
    where.parent.mkdir(parents=True, exist_ok=True)
    # Beside its place first, so that a half-done install is never taken for a whole one.
    with tempfile.TemporaryDirectory(prefix="installing-", dir=where.parent) as temporary:
        fresh = Path(temporary) / where.name
        shutil.copytree(MANIFESTS, fresh)
        _npm(fresh)
        _check(fresh / "node_modules" / package / "bin" / "opencode", DIGESTS[package])
        shutil.rmtree(where, ignore_errors=True)
        fresh.rename(where)
    return where / "node_modules" / package / "bin" / "opencode"


def _npm(where: Path) -> None:
    command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(where)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise InstallError(f"npm could not install OpenCode {VERSION}: {done.stderr.strip()[-500:]}")


def _check(program: Path, digest: str) -> None:
    with program.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != digest:
        raise InstallError(
            f"the OpenCode program has the digest {found}, and {digest} was expected; nothing was installed"
        )


if __name__ == "__main__":
    try:
        install()
    except InstallError as error:
        sys.exit(f"Error: {error}")
