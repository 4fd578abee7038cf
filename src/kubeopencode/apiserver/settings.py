"""What the owner of an embedded server decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kubeopencode.apiserver.gateway import Kubelet


@dataclass(frozen=True)
class Settings:
    """Tokens map to user names; without a kubelet, logs and exec answer 503."""

    tokens: Mapping[str, str] = field(default_factory=dict[str, str])
    kubelet: Kubelet | None = None
    version: str = "v1.35.0+kubeopencode"
    """What `kubectl version` shows as the server."""
