"""What goes wrong inside a Pod and can be mended by its owner: one sentence, never a stack trace."""

from __future__ import annotations


class Failure(Exception):  # noqa: N818  # it reads as what it is
    """The work of a subcommand cannot be done. The message is for the user and holds no secret."""
