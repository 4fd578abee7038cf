"""How an Agent is, seen its Deployment."""

from __future__ import annotations

from datetime import datetime

import msgspec

from kubeopencode import names
from kubeopencode.api import conditions, workloads
from kubeopencode.api.agent import Agent, AgentStatus
from kubeopencode.api.meta import Condition
from kubeopencode.judge import podstate
from kubeopencode.judge.verdict import Notice, Verdict
from kubeopencode.world import Cluster, Profile


def decide(
    profile: Profile,
    deployment: workloads.Deployment | None,
    cluster: Cluster,
    now: datetime,
    obstacle: podstate.Failure | None = None,
) -> Verdict[AgentStatus]:
    """The status of a live Agent whose objects are in place; `obstacle` keeps a Pod of its server from starting."""
    assert profile.agent is not None
    agent = profile.agent
    suspended = agent.spec.suspend
    ready = _answers(agent, deployment)
    status = msgspec.structs.replace(
        agent.status,
        observedGeneration=agent.metadata.generation,
        deploymentName=names.server(agent.metadata.name),
        serviceName=names.service(agent.metadata.name),
        url=profile.url(cluster),
        ready=ready,
        suspended=suspended,
    )
    for condition in (*_server(ready, suspended, obstacle), _suspension(profile), _rendered()):
        status = placed(status, condition, now)
    return Verdict(status, notice=_change(agent.status, status))


def passive(profile: Profile, now: datetime) -> Verdict[AgentStatus]:
    """The status of an Agent that keeps no server: it is ready as soon as it has been read."""
    assert profile.agent is not None
    agent = profile.agent
    bare = msgspec.structs.replace(
        agent.status,
        observedGeneration=agent.metadata.generation,
        deploymentName="",
        serviceName="",
        url="",
        ready=True,
        suspended=False,
    )
    kept = tuple(each for each in bare.conditions if each.type not in ("ServerReady", "ServerHealthy", "Suspended"))
    status = msgspec.structs.replace(bare, conditions=kept)
    return Verdict(placed(status, _rendered(), now))


def refused(
    agent: Agent, deployment: workloads.Deployment | None, why: tuple[str, str], now: datetime
) -> Verdict[AgentStatus]:
    """The status of an Agent that asks for something that cannot be; a server that it had before may still answer."""
    reason, message = why
    ready = _answers(agent, deployment)
    status = msgspec.structs.replace(agent.status, observedGeneration=agent.metadata.generation, ready=ready)
    before = conditions.find(status.conditions, "Ready")
    told = before is not None and before.reason == reason and before.message == message
    return Verdict(
        placed(status, Condition("Ready", "False", reason, message), now),
        notice=None if told else Notice(reason, message, warning=True),
    )


def placed(status: AgentStatus, condition: Condition, now: datetime) -> AgentStatus:
    """The status with one condition set."""
    stamped = msgspec.structs.replace(condition, observedGeneration=status.observedGeneration)
    return msgspec.structs.replace(status, conditions=conditions.put(status.conditions, stamped, now))


def _answers(agent: Agent, deployment: workloads.Deployment | None) -> bool:
    return deployment is not None and deployment.status.readyReplicas > 0 and not agent.spec.suspend


def _server(ready: bool, suspended: bool, obstacle: podstate.Failure | None) -> tuple[Condition, Condition]:
    if suspended:
        why = "the Agent is suspended"
        return Condition("ServerReady", "False", "Suspended", why), Condition(
            "ServerHealthy", "False", "Suspended", why
        )
    if ready:
        good = "the server answers"
        return Condition("ServerReady", "True", "DeploymentReady", good), Condition(
            "ServerHealthy", "True", "DeploymentHealthy", good
        )
    bad = f"the server does not start: {obstacle.message}" if obstacle else "the server does not answer yet"
    return Condition("ServerReady", "False", "DeploymentNotReady", bad), Condition(
        "ServerHealthy", "False", "DeploymentNotReady", bad
    )


def _suspension(profile: Profile) -> Condition:
    assert profile.agent is not None
    spec = profile.agent.spec
    if not spec.suspend:
        return Condition("Suspended", "False", "Active", "the Agent is active")
    reason = "Standby" if spec.standby else "UserRequested"
    return Condition("Suspended", "True", reason, "spec.suspend is true")


def _rendered() -> Condition:
    return Condition("Ready", "True", "Valid", "the Agent's objects are in place")


def _change(before: AgentStatus, after: AgentStatus) -> Notice | None:
    if after.suspended != before.suspended:
        return (
            Notice("Suspended", "the Agent is suspended") if after.suspended else Notice("Resumed", "the Agent resumes")
        )
    if after.ready != before.ready and after.observedGeneration:
        return (
            Notice("Ready", "the server answers") if after.ready else Notice("NotReady", "the server does not answer")
        )
    return None
