"""Results that a Task hands back: named files of the workspace, and their values once read."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from kubeopencode.api.schema import list_map


class OutputParameter(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One result, read from a file when the Task ends."""

    name: Annotated[str, Meta(min_length=1)]
    """Name of the result in `status.outputs.parameters`."""
    path: Annotated[str, Meta(min_length=1)]
    """File that holds it; relative paths are below `workspaceDir`."""
    default: str | None = None
    """Value to report when the file is missing; without it the result is left out."""


class OutputSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """The results a Task promises. Agent < template < Task, by name."""

    parameters: Annotated[tuple[OutputParameter, ...], list_map("name")] = ()
    """The results, one file each."""


class Outputs(msgspec.Struct, frozen=True, omit_defaults=True):
    """The results as read."""

    parameters: dict[str, str] = {}
    """Value by name, white space trimmed."""
