"""kubeoc doctor: what is missing on this machine, and the command that mends it."""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass

import click

from kubeopencode.cli import planes


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. An empty `remedy` means that it is well."""

    what: str
    found: str
    remedy: str = ""
    optional: bool = False


@click.command("doctor")
@click.option("--fix", is_flag=True, help="Install what can be installed without an administrator (OpenCode).")
def command(fix: bool) -> None:
    """Check what a local plane needs. Exit code 1 when something necessary is missing."""
    if fix:
        _install()
    findings = [check() for check in CHECKS]
    for finding in findings:
        mark = "ok  " if not finding.remedy else ("--  " if finding.optional else "FAIL")
        click.echo(f"{mark} {finding.what:<12} {finding.found}")
        if finding.remedy:
            click.echo(f"     {'':<12} {finding.remedy}")
    sys.exit(any(finding.remedy and not finding.optional for finding in findings))


def _install() -> None:
    from kubeopencode.node import programs

    try:
        programs.install()
    except programs.InstallError as error:
        raise click.ClickException(str(error)) from error


def _python() -> Finding:
    found = platform.python_version()
    return Finding("python", found, "" if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed")


def _program(name: str, package: str, why: str, *, optional: bool = False) -> Finding:
    path = shutil.which(name)
    if path is None:
        return Finding(name, f"missing: {why}", f"sudo apt-get install {package}", optional)
    return Finding(name, path)


def _bubblewrap() -> Finding:
    found = _program("bwrap", "bubblewrap", "Pods run in its sandboxes")
    if found.remedy:
        return found
    from kubeopencode.node import processes

    if why := asyncio.run(processes.refusal(found.found)):
        remedy = (
            "this kernel does not let you make sandboxes. On Ubuntu 24.04: "
            "sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0; "
            "on older Debian: sudo sysctl kernel.unprivileged_userns_clone=1"
        )
        return Finding("bwrap", why, remedy)
    return found


def _user() -> Finding:
    if os.geteuid() == 0:
        advice = "an ordinary user is safer: Pods of a plane that root starts share root's id on files"
        return Finding("user", "root", advice, optional=True)
    return Finding("user", "an ordinary one")


def _opencode() -> Finding:
    from kubeopencode.node import programs

    path = programs.opencode()
    if path is None:
        return Finding("opencode", "missing: the agent itself", "kubeoc doctor --fix")
    return Finding("opencode", f"{path} ({programs.VERSION})")


def _plane() -> Finding:
    state = planes.read()
    return Finding("plane", state.server if state else "not running", "" if state else "kubeoc up", optional=True)


CHECKS: tuple[Callable[[], Finding], ...] = (
    _python,
    _user,
    _bubblewrap,
    lambda: _program("git", "git", "agents work in repositories"),
    lambda: _program("rg", "ripgrep", "OpenCode's search tools need it"),
    lambda: _program("npm", "npm", "OpenCode comes from npm"),
    lambda: _program("kubectl", "kubernetes-client", "kubeoc does without it", optional=True),
    _opencode,
    _plane,
)
