"""OpenCode: how it is started, what it must be told, where its configuration goes. Plain data, no Pod words."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, cast

from kubeopencode.agents import shell

BINARY = "/tools/opencode"
DATABASE = "opencode.db"

INIT_IMAGE = "quay.io/kubeopencode/kubeopencode-agent-opencode:latest"
EXECUTOR_IMAGE = "quay.io/kubeopencode/kubeopencode-agent-devbox:latest"
INIT_REPOSITORY = "kubeopencode-agent-opencode"

ENVIRONMENT = {
    "OPENCODE_DISABLE_AUTOUPDATE": "1",
    "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
    "OPENCODE_DISABLE_SHARE": "1",
}
"""A program in a Pod does not change itself, download tools behind our back or publish its work."""

UNTRUSTED_WORKSPACE = {"OPENCODE_DISABLE_PROJECT_CONFIG": "1"}
"""A repository's own opencode.json would otherwise beat the Agent's configuration. It also turns off AGENTS.md and
relative instructions (measured with 1.18.33), so these are named by their whole paths."""

AGENTS_FILE = "AGENTS.md"
"""What a repository tells every agent."""

ALLOW_ALL = '{"*":"allow"}'
"""Nobody sits at the terminal to answer, so questions of permission are answered beforehand."""

_LINK = "ln -sf /tools/opencode /usr/local/bin/opencode 2>/dev/null || true"

_GUARD = """\
if [ -n "${OPENCODE_CONFIG:-}" ] && [ ! -r "$OPENCODE_CONFIG" ]; then
  echo "OPENCODE_CONFIG names $OPENCODE_CONFIG, which cannot be read" >&2; exit 1
fi
"""
# Without its configuration OpenCode would fall back to the vendor's hosted model and send the prompt there.

_BEFORE = f"{_GUARD}{_LINK}\n"

RUN_SCRIPT = _BEFORE + shell.supervised('/tools/opencode run --title "$TASK_TITLE" < "$WORKSPACE_DIR/task.md"')
"""One Task in a Pod of its own. The prompt goes through standard input, which carries any text of any length."""

SERVE_SCRIPT = _BEFORE + shell.supervised(
    '/tools/opencode serve --port "$OPENCODE_PORT" --hostname "${KUBEOPENCODE_LISTEN:-0.0.0.0}" < /dev/null'
)
"""The live server. Where Pods share one network, as on a laptop, KUBEOPENCODE_LISTEN holds the Pod's own address."""


def parse(config: object) -> dict[str, Any]:
    """An Agent's `config`, which may be an object or a string that holds JSON.

    Raises:
        ValueError: it is neither; the message says what it is.
    """
    if isinstance(config, str):
        try:
            config = json.loads(config)
        except json.JSONDecodeError as error:
            raise ValueError(
                f"the text is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
            ) from None
    if not isinstance(config, dict):
        raise ValueError(f"an object is expected, not {type(config).__name__}")
    return cast("dict[str, Any]", config)


def permission(config: dict[str, Any]) -> str | None:
    """What to set as OPENCODE_PERMISSION: nothing where the configuration speaks of permissions itself."""
    return None if "permission" in config else ALLOW_ALL


def instructions(paths: Iterable[str]) -> str:
    """OPENCODE_CONFIG_CONTENT that makes OpenCode read more files of instructions; one that is missing is no error."""
    return json.dumps({"instructions": list(paths)}, separators=(",", ":"))
