"""Security settings: the `restricted` Pod Security Standard, unless the Agent's owner says otherwise."""

from __future__ import annotations

from kubeopencode.api.agent import AgentShape
from kubeopencode.api.meta import Json

CONTAINER: Json = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}

POD: Json = {
    "runAsNonRoot": True,
    "runAsUser": 1000,
    "runAsGroup": 1000,
    "fsGroup": 1000,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def main_container(shape: AgentShape) -> Json:
    """Settings of the agent's container."""
    return (shape.podSpec and shape.podSpec.securityContext) or CONTAINER


def pod(shape: AgentShape) -> Json:
    """Settings of the whole Pod."""
    return (shape.podSpec and shape.podSpec.podSecurityContext) or POD
