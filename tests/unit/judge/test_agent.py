"""How an Agent is, as its conditions tell."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.api.builders import NOW, agent, at, deployment, profile

from kubeopencode.api import conditions, workloads
from kubeopencode.api.agent import Agent, AgentStatus
from kubeopencode.judge import agent as judge
from kubeopencode.judge.verdict import Notice
from kubeopencode.world import Cluster


def decide(of: Agent, there: workloads.Deployment | None = None) -> Any:
    """The verdict on an Agent whose Deployment is `there`."""
    return judge.decide(profile(of), there, Cluster(), NOW)


def said(status: AgentStatus) -> dict[str, tuple[str, str]]:
    """Status and reason of each condition."""
    return {each.type: (each.status, each.reason) for each in status.conditions}


def test_an_agent_whose_server_answers_is_ready():
    status = decide(agent(), deployment(1)).status
    assert (status.ready, status.suspended) == (True, False)
    assert said(status) == {
        "ServerReady": ("True", "DeploymentReady"),
        "ServerHealthy": ("True", "DeploymentHealthy"),
        "Suspended": ("False", "Active"),
        "Ready": ("True", "Valid"),
    }


@pytest.mark.parametrize("there", [None, deployment(0)])
def test_an_agent_whose_server_does_not_answer_is_not_ready(there: workloads.Deployment | None):
    status = decide(agent(), there).status
    assert not status.ready
    assert said(status)["ServerReady"] == ("False", "DeploymentNotReady")
    assert said(status)["ServerHealthy"] == ("False", "DeploymentNotReady")


@pytest.mark.parametrize(
    ("spec", "reason"),
    [({}, "UserRequested"), ({"standby": {"idleTimeout": "30m"}}, "Standby")],
    ids=["user", "standby"],
)
def test_a_suspended_agent_is_not_ready_though_its_pod_still_answers(spec: Any, reason: str):
    status = decide(agent(suspend=True, **spec), deployment(1)).status
    assert (status.ready, status.suspended) == (False, True)
    assert said(status)["Suspended"] == ("True", reason)
    assert said(status)["ServerReady"] == ("False", "Suspended")
    assert said(status)["ServerHealthy"] == ("False", "Suspended"), "upstream left this one stale"


def test_an_agent_says_where_its_server_is():
    status = decide(agent("team-agent", meta={"generation": 7})).status
    assert status.deploymentName == "team-agent-server"
    assert status.serviceName == "team-agent"
    assert status.url == "http://team-agent.team.svc.cluster.local:4096"
    assert status.observedGeneration == 7
    assert {each.observedGeneration for each in status.conditions} == {7}


def test_an_agent_tells_when_its_server_comes_and_goes():
    was_down = agent(status={"ready": False, "observedGeneration": 1})
    assert decide(was_down, deployment(1)).notice == Notice("Ready", "the server answers")
    assert decide(was_down, deployment(0)).notice is None
    was_up = agent(status={"ready": True, "observedGeneration": 1})
    assert decide(was_up, deployment(0)).notice == Notice("NotReady", "the server does not answer")
    assert decide(was_up, deployment(1)).notice is None


def test_looking_twice_changes_nothing():
    status = decide(agent(), deployment(1)).status
    again = Agent(agent().metadata, agent().spec, status)
    assert judge.decide(profile(again), deployment(1), Cluster(), at(500)).status == status


def test_what_others_wrote_into_the_status_stays():
    start = {"taskName": "a", "taskNamespace": "team", "startTime": NOW, "taskUID": "a"}
    status = decide(agent(status={"admitted": [start], "taskStartHistory": [start], "idleSince": NOW})).status
    assert (len(status.admitted), len(status.taskStartHistory), status.idleSince) == (1, 1, NOW)


def test_an_agent_without_a_server_is_ready_once_it_was_read():
    status = judge.passive(profile(agent(command=["x"], status={"ready": False})), NOW).status
    assert (status.ready, status.url, status.deploymentName, status.serviceName) == (True, "", "", "")
    assert said(status) == {"Ready": ("True", "Valid")}


def test_an_agent_that_gave_up_its_server_forgets_it():
    was = decide(agent(port=4096, command=["x"]), deployment(1)).status
    status = judge.passive(profile(Agent(agent().metadata, agent(command=["x"]).spec, was)), NOW).status
    assert "ServerReady" not in said(status)
    assert "ServerHealthy" not in said(status)


def test_an_agent_with_a_command_that_is_resumed_no_longer_says_that_it_is_suspended():
    was = decide(agent(command=["x"], suspend=True)).status
    status = judge.passive(profile(Agent(agent().metadata, agent(command=["x"]).spec, was)), NOW).status
    assert said(status).get("Suspended", ("False", ""))[0] == "False"


def test_what_cannot_be_is_a_condition_and_told_once():
    first = judge.refused(profile(agent(meta={"generation": 2})).agent, None, ("AgentError", "spec.config: no"), NOW)
    assert said(first.status)["Ready"] == ("False", "AgentError")
    assert first.status.observedGeneration == 2
    assert first.notice == Notice("AgentError", "spec.config: no", warning=True)
    again = Agent(agent(meta={"generation": 2}).metadata, agent().spec, first.status)
    second = judge.refused(profile(again).agent, None, ("AgentError", "spec.config: no"), at(60))
    assert second.status == first.status
    assert second.notice is None


def test_what_was_mended_is_ready_again():
    refused = judge.refused(profile(agent()).agent, None, ("AgentError", "no"), NOW).status
    mended = Agent(agent().metadata, agent().spec, refused)
    ready = conditions.find(decide(mended, deployment(1)).status.conditions, "Ready")
    assert ready is not None
    assert (ready.status, ready.reason) == ("True", "Valid")
