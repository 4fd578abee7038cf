"""Whether an Agent on standby shall sleep or wake. Source: KubeOpenCode, "Standby (Automatic Suspend/Resume)"."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from kubeopencode import names
from kubeopencode.api import conditions, duration
from kubeopencode.api.agent import Agent, AgentStatus
from kubeopencode.api.meta import Condition

FRESH = timedelta(minutes=2)
"""How long a sign of a person's connection counts."""

SHORTEST = timedelta(minutes=2)
"""An idle time below this cannot see a person between two signs of a connection."""

WARNING = "StandbyConfigWarning"


@dataclass(frozen=True)
class Rest:
    """What becomes of an Agent on standby."""

    status: AgentStatus
    suspend: bool
    """What `spec.suspend` shall be."""
    look_again: float | None = None
    """Seconds until time alone may change this."""


def decide(agent: Agent, at_work: bool, now: datetime) -> Rest:
    """Awake while there is work or a person; asleep once neither has been there for `idleTimeout`.

    Raises:
        ValueError: `idleTimeout` is no duration.
    """
    assert agent.spec.standby is not None
    timeout = duration.parse(agent.spec.standby.idleTimeout)
    status = _warned(agent.status, timeout, now)
    if at_work:
        return Rest(msgspec.structs.replace(status, idleSince=None), suspend=False)
    if agent.spec.suspend:
        return Rest(msgspec.structs.replace(status, idleSince=None), suspend=True)
    if (left := _connected_for(agent, timeout, now)) > 0:
        return Rest(msgspec.structs.replace(status, idleSince=None), suspend=False, look_again=left)
    since = agent.status.idleSince or now.replace(microsecond=0)
    remaining = (since + timeout - now).total_seconds()
    idle = msgspec.structs.replace(status, idleSince=since)
    return Rest(idle, suspend=remaining <= 0, look_again=remaining if remaining > 0 else None)


def _connected_for(agent: Agent, timeout: timedelta, now: datetime) -> float:
    """Seconds for which a person still counts as connected."""
    told = agent.metadata.annotations.get(names.ANNOTATION_CONNECTED, "")
    try:
        seen = datetime.fromisoformat(told)
    except ValueError:
        return 0.0
    if seen.tzinfo is None:
        return 0.0
    fresh = FRESH if timeout >= SHORTEST else max(timedelta(minutes=1), timeout / 2)
    return (seen + fresh - now).total_seconds()


def _warned(status: AgentStatus, timeout: timedelta, now: datetime) -> AgentStatus:
    if timeout >= SHORTEST:
        return msgspec.structs.replace(status, conditions=conditions.drop(status.conditions, WARNING))
    message = f"idleTimeout is {duration.spoken(timeout)}; below {duration.spoken(SHORTEST)} a connection may be missed"
    told = Condition(WARNING, "True", "IdleTimeoutTooShort", message, observedGeneration=status.observedGeneration)
    return msgspec.structs.replace(status, conditions=conditions.put(status.conditions, told, now))
