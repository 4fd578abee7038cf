"""What becomes of a Task: every row of the contract's table of triggers, and what the systems before us got wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.unit.api.builders import NOW, agent, at, container, ended, pod, seen, start, task, template, waiting

from kubeopencode.api import conditions, core
from kubeopencode.api.meta import Condition, Key
from kubeopencode.api.task import TaskStatus
from kubeopencode.judge import task as judge
from kubeopencode.judge import verdict

FULL = {"admitted": [start("other", -10)]}
"""What the books of an Agent with one slot say while another Task holds it."""
STOP = {"annotations": {"kubeopencode.io/stop": "true"}}
RUNNING = {"phase": "Running", "startTime": at(-100), "podName": "job-pod", "podNamespace": "team"}


def decide(what: Any, by: Any = None, *, now: float = 0, **more: Any) -> verdict.Verdict[TaskStatus]:
    """The verdict on a Task of an Agent (a plain one unless given) so many seconds after NOW."""
    return judge.decide(seen(what, by or agent(), **more), at(now))


def condition(of: verdict.Verdict[TaskStatus], kind: str) -> Condition:
    """The one condition of that type."""
    (found,) = (each for each in of.status.conditions if each.type == kind)
    return found


def said(of: verdict.Verdict[TaskStatus], kind: str) -> tuple[str, str]:
    """Status and reason of a condition."""
    found = condition(of, kind)
    return found.status, found.reason


class TestBeforeItRuns:
    def test_a_task_that_nothing_stands_against_runs(self):
        went = decide(task(meta={"generation": 4}))
        assert (went.status.phase, went.runs, went.ends_pod) == ("Running", True, False)
        assert went.status.startTime == NOW
        assert went.status.observedGeneration == 4
        assert went.status.agentRef is not None
        assert (went.status.agentRef.name, went.status.agentRef.namespace) == ("solo", "")
        assert went.status.conditions == ()

    def test_an_attached_task_knows_its_session_before_it_begins(self):
        session = decide(task(meta={"uid": "12345678-9"})).status.session
        assert session is not None
        assert (session.id, session.title) == ("ses_123456789", "kubeopencode/team/job/12345678")

    def test_a_task_of_a_template_runs_and_names_it(self):
        went = decide(task(templateRef={"name": "base"}), template("base"))
        assert went.runs
        assert went.status.templateRef is not None
        assert went.status.templateRef.name == "base"
        assert went.status.agentRef is None
        assert went.status.session is not None
        assert went.status.session.id == ""

    def test_the_namespace_of_a_foreign_agent_is_told(self):
        went = decide(task(), agent(meta={"namespace": "platform"}))
        assert went.status.agentRef is not None
        assert went.status.agentRef.namespace == "platform"

    def test_times_have_whole_seconds_as_kubernetes_stores_them(self):
        assert decide(task(), now=0.75).status.startTime == NOW

    @pytest.mark.parametrize(
        ("by", "reason", "words"),
        [
            (agent(suspend=True), "AgentSuspended", 'Agent "solo" is suspended'),
            (agent(status={"ready": False}), "AgentServerNotReady", 'the server of Agent "solo" is not ready'),
            (agent(maxConcurrentTasks=1, status=FULL), "AgentAtCapacity", 'Waiting for agent "solo" capacity (max: 1)'),
            (
                agent(
                    quota={"maxTaskStarts": 1, "windowSeconds": 60},
                    status={"taskStartHistory": [start("other", -10)]},
                ),
                "QuotaExceeded",
                'Waiting for agent "solo" quota (max: 1 per 60s)',
            ),
        ],
        ids=["suspended", "not ready", "at capacity", "out of quota"],
    )
    def test_a_task_waits_and_says_for_what(self, by: Any, reason: str, words: str):
        waits = decide(task(), by)
        assert (waits.status.phase, waits.runs, waits.ends_pod) == ("Queued", False, False)
        assert said(waits, "Queued") == ("True", reason)
        assert words in condition(waits, "Queued").message
        assert waits.status.agentRef is not None
        assert waits.status.observedGeneration == 1
        assert waits.status.startTime is None
        assert waits.notice is not None
        assert (waits.notice.reason, waits.notice.warning) == (reason, False)

    def test_nothing_polls_while_only_another_object_can_let_it_in(self):
        for by in (agent(suspend=True), agent(status={"ready": False}), agent(maxConcurrentTasks=1, status=FULL)):
            assert decide(task(), by).look_again is None

    @pytest.mark.parametrize(
        ("by", "reason"),
        [
            (agent(suspend=True, status={"ready": False}, maxConcurrentTasks=1), "AgentSuspended"),
            (agent(status={"ready": False}, maxConcurrentTasks=1), "AgentServerNotReady"),
        ],
    )
    def test_the_first_objection_in_the_order_of_the_documents_is_told(self, by: Any, reason: str):
        assert said(decide(task(), by), "Queued") == ("True", reason)

    def test_a_task_that_still_waits_for_the_same_changes_nothing(self):
        by = agent(maxConcurrentTasks=1, status=FULL)
        first = decide(task(), by)
        status = {
            "phase": "Queued",
            "observedGeneration": 1,
            "agentRef": {"name": "solo"},
            "conditions": first.status.conditions,
        }
        again = decide(task(status=status), by, now=500)
        assert again.status == first.status
        assert again.notice is None

    def test_a_new_reason_is_told_and_keeps_the_time_it_began_to_wait(self):
        first = decide(task(), agent(suspend=True))
        waits = task(status={"phase": "Queued", "conditions": first.status.conditions})
        then = decide(waits, agent(maxConcurrentTasks=1, status=FULL), now=60)
        assert said(then, "Queued") == ("True", "AgentAtCapacity")
        assert condition(then, "Queued").lastTransitionTime == NOW
        assert then.notice is not None

    def test_a_task_without_a_server_needs_none_to_be_ready(self):
        idle = agent(status={"ready": False})
        own_pod = task(outputs={"parameters": [{"name": "a", "path": "a"}]})
        assert decide(own_pod, idle).runs
        assert decide(task(), agent(command=["x"], status={"ready": False})).runs

    def test_limits_of_an_agent_hold_for_tasks_in_pods_of_their_own_too(self):
        own_pod = task(outputs={"parameters": [{"name": "a", "path": "a"}]})
        waits = decide(own_pod, agent(maxConcurrentTasks=1, status=FULL))
        assert said(waits, "Queued") == ("True", "AgentAtCapacity")

    def test_a_task_whose_turn_is_about_to_come_is_not_called_queued_for_a_moment(self):
        for by in (agent(maxConcurrentTasks=1), agent(quota={"maxTaskStarts": 5, "windowSeconds": 60})):
            soon = decide(task(), by)
            assert (soon.status, soon.runs, soon.look_again, soon.notice) == (TaskStatus(), False, 1, None)

    def test_a_task_that_the_queue_holds_back_says_for_what(self):
        own_pod = task(outputs={"parameters": [{"name": "a", "path": "a"}]})
        waits = decide(own_pod, agent(maxConcurrentTasks=1, status={"ready": False}))
        assert said(waits, "Queued") == ("True", "AgentServerNotReady")

    def test_limits_of_a_template_hold_for_nobody(self):
        assert decide(task(), template(maxConcurrentTasks=1, quota={"maxTaskStarts": 1, "windowSeconds": 60})).runs

    @pytest.mark.parametrize(("limit", "reason"), [({"maxConcurrentTasks": 1}, "CapacityAvailable"), ({}, "NoLimits")])
    def test_a_task_that_waited_says_why_it_may_run_now(self, limit: Any, reason: str):
        first = decide(task(), agent(suspend=True))
        waits = task(status={"phase": "Queued", "conditions": first.status.conditions})
        went = decide(waits, agent(status={"admitted": [start("job", 0)]}, **limit), now=60)
        assert (went.status.phase, went.runs) == ("Running", True)
        assert said(went, "Queued") == ("False", reason)
        assert condition(went, "Queued").lastTransitionTime == at(60)

    def test_a_slot_is_held_by_a_uid_and_not_by_a_name(self):
        by = agent(maxConcurrentTasks=1, status={"admitted": [start("job", 0)]})
        assert decide(task(), by).runs
        assert not decide(task(meta={"uid": "another"}), by).runs


class TestItsAgent:
    def test_a_missing_agent_may_still_come_for_ten_seconds(self):
        young = task(meta={"creationTimestamp": at(-4)})
        waits = judge.decide(seen(young, None, missing='there is no Agent "solo"'), NOW)
        assert said(waits, "Queued") == ("True", "AgentNotFound")
        assert waits.look_again == 6
        assert waits.status.phase == "Queued"

    def test_a_missing_agent_is_an_error_after_ten_seconds(self):
        old = task(meta={"creationTimestamp": at(-10)})
        failed = judge.decide(seen(old, None, missing='there is no Agent "solo"'), NOW)
        assert failed.status.phase == "Failed"
        assert said(failed, "Ready") == ("False", "AgentError")
        assert condition(failed, "Ready").message == 'there is no Agent "solo"'
        assert failed.status.completionTime == NOW
        assert failed.notice is not None
        assert failed.notice.warning
        assert not failed.runs

    def test_a_missing_task_template_has_a_reason_of_its_own(self):
        old = task(meta={"creationTimestamp": at(-10)})
        failed = judge.decide(seen(old, None, missing="none", missing_reason="TaskTemplateError"), NOW)
        assert said(failed, "Ready") == ("False", "TaskTemplateError")

    def test_the_last_look_is_never_at_once(self):
        young = task(meta={"creationTimestamp": at(-9.9)})
        assert judge.decide(seen(young, None, missing="none"), NOW).look_again == 0.5

    @pytest.mark.parametrize(
        ("patterns", "namespace", "allowed"),
        [
            ([], "anything", True),
            (["dev-*"], "dev-a", True),
            (["dev-*"], "dev-", True),
            (["dev-*"], "prod-dev-a", False),
            (["staging"], "staging", True),
            (["staging"], "staging-2", False),
            (["dev-?"], "dev-1", True),
            (["dev-?"], "dev-12", False),
            (["dev-[ab]"], "dev-b", True),
            (["dev-[ab]"], "dev-c", False),
            (["dev-[^x]"], "dev-a", True),
            (["dev-[^x]"], "dev-x", False),
            (["dev-[a-c]"], "dev-b", True),
            (["DEV-*"], "dev-a", False),
            (["prod", "dev-*"], "dev-a", True),
        ],
    )
    def test_namespaces_are_allowed_by_globs(self, patterns: list[str], namespace: str, allowed: bool):
        platform = agent(meta={"namespace": "platform"}, allowedNamespaces=patterns)
        went = decide(task(meta={"namespace": namespace}), platform)
        assert went.runs is allowed
        if not allowed:
            assert said(went, "Ready") == ("False", "AgentError")
            message = condition(went, "Ready").message
            assert f'"{namespace}"' in message
            assert patterns[0] in message

    def test_an_agent_always_takes_tasks_of_its_own_namespace(self):
        assert decide(task(), agent(allowedNamespaces=["dev-*"])).runs

    def test_a_running_task_does_not_care_that_its_agent_went_away(self):
        working = task(status=RUNNING)
        for by in (agent(status={"ready": False}), agent(suspend=True), agent(maxConcurrentTasks=1)):
            assert decide(working, by, pod=pod("Running")).status.phase == "Running"
        gone = judge.decide(seen(working, None, missing="gone", pod=pod("Running")), NOW)
        assert gone.status.phase == "Running"


class TestStopAndTimeout:
    def test_a_waiting_task_is_stopped_where_it_stands(self):
        stopped = decide(task(meta=STOP), agent(suspend=True))
        assert stopped.status.phase == "Completed"
        assert said(stopped, "Stopped") == ("True", "UserStopped")
        assert condition(stopped, "Stopped").message == "Task was stopped while queued"
        assert stopped.status.completionTime == NOW
        assert not stopped.runs

    def test_a_task_whose_agent_is_missing_can_be_stopped(self):
        assert judge.decide(seen(task(meta=STOP), None, missing="none"), NOW).status.phase == "Completed"

    def test_a_running_task_is_stopped_and_its_pod_goes(self):
        stopped = decide(task(meta=STOP, status=RUNNING), pod=pod("Running"))
        assert (stopped.status.phase, stopped.ends_pod) == ("Completed", True)
        assert said(stopped, "Stopped") == ("True", "UserStopped")
        assert condition(stopped, "Stopped").message == "Task stopped by user via kubeopencode.io/stop annotation"
        assert stopped.notice is not None
        assert stopped.notice.reason == "Stopped"

    @pytest.mark.parametrize("value", ["", "false", "True", "yes"])
    def test_only_the_word_true_stops(self, value: str):
        meta = {"annotations": {"kubeopencode.io/stop": value}}
        assert decide(task(meta=meta, status=RUNNING), pod=pod("Running")).status.phase == "Running"

    def test_a_timeout_ends_the_task_and_its_pod(self):
        late = decide(task(timeout="100s", status=RUNNING), pod=pod("Running"))
        assert (late.status.phase, late.ends_pod) == ("Completed", True)
        assert said(late, "Stopped") == ("True", "Timeout")
        assert condition(late, "Stopped").message == "Task timed out after 1m40s"
        assert late.notice is not None
        assert late.notice.reason == "Timeout"

    def test_a_timeout_is_waited_for_to_the_second(self):
        assert decide(task(timeout="130s", status=RUNNING), pod=pod("Running")).look_again == 30

    def test_a_timeout_counts_from_the_start_and_not_from_the_queue(self):
        waits = decide(task(timeout="1s", meta={"creationTimestamp": at(-500)}), agent(suspend=True))
        assert waits.status.phase == "Queued"

    def test_a_timeout_is_looked_at_before_a_stop(self):
        both = decide(task(timeout="1s", meta=STOP, status=RUNNING), pod=pod("Running"))
        assert said(both, "Stopped") == ("True", "Timeout")

    @pytest.mark.parametrize(("phase", "ends"), [("Succeeded", "Completed"), ("Failed", "Failed")])
    def test_what_ended_by_itself_is_neither_stopped_nor_late(self, phase: str, ends: str):
        done = decide(task(timeout="1s", meta=STOP, status=RUNNING), pod=pod(phase))
        assert done.status.phase == ends
        assert conditions.find(done.status.conditions, "Stopped") is None

    def test_a_stop_that_arrives_after_the_pod_vanished_is_a_stop(self):
        assert said(decide(task(meta=STOP, status=RUNNING)), "Stopped") == ("True", "UserStopped")


class TestItsPod:
    def test_a_pod_at_work_leaves_the_task_as_it_is(self):
        working = task(status={**RUNNING, "observedGeneration": 1})
        went = decide(working, pod=pod("Running"))
        assert went.status == working.status
        assert (went.runs, went.ends_pod, went.look_again, went.notice) == (False, False, None, None)

    def test_a_pod_that_succeeded_completes_the_task(self):
        done = decide(task(status=RUNNING), pod=pod("Succeeded", containers=[ended("agent", 0)]))
        assert (done.status.phase, done.status.completionTime) == ("Completed", NOW)
        assert done.status.conditions == ()
        assert done.notice is not None
        assert done.notice.reason == "Completed"

    def test_what_the_pod_left_behind_becomes_status(self):
        report = {
            "session": {
                "id": "ses_1",
                "title": "T",
                "messageCount": 3,
                "tokens": {"input": 1, "output": 2, "reasoning": 3, "cache": 4},
                "cost": "0.012000",
                "filesChanged": 1,
                "additions": 2,
                "deletions": 3,
            },
            "outputs": {"parameters": {"pr-url": "https://x.test/1"}},
            "result": "Done.",
        }
        words = ended("output-collector", 0, message=json.dumps(report))
        done = decide(task(status=RUNNING), pod=pod("Succeeded", init=[words], containers=[ended("agent", 0)]))
        assert done.status.result == "Done."
        assert done.status.outputs is not None
        assert done.status.outputs.parameters == {"pr-url": "https://x.test/1"}
        assert done.status.session is not None
        assert done.status.session.id == "ses_1"
        summary = done.status.session.summary
        assert summary is not None
        assert (summary.messageCount, summary.cost, summary.additions) == (3, "0.012000", 2)
        assert summary.tokenUsage is not None
        assert summary.tokenUsage.cache == 4

    @pytest.mark.parametrize("words", ["", "hello", "{", "[1]", '{"session": 3}', '{"outputs": {"parameters": [1]}}'])
    def test_last_words_that_are_no_report_of_ours_do_no_harm(self, words: str):
        known = RUNNING | {"session": {"id": "ses_known", "title": "known"}}
        done = decide(task(status=known), pod=pod("Succeeded", containers=[ended("agent", 0, message=words)]))
        assert done.status.phase == "Completed"
        assert done.status.session is not None
        assert done.status.session.id == "ses_known"

    @pytest.mark.parametrize(
        ("status", "reason", "message"),
        [
            (ended("agent", 3, reason="Error"), "ContainerFailed", "container agent: exit code 3"),
            (
                ended("agent", 1, reason="Error", message="no key"),
                "ContainerFailed",
                "container agent: exit code 1 (no key)",
            ),
            (
                ended("agent", 128, reason="StartError", message="no such file"),
                "ContainerFailed",
                "container agent: exit code 128 (StartError: no such file)",
            ),
            (ended("agent", 137, reason="OOMKilled"), "OOMKilled", "container agent: OOMKilled"),
            (
                ended("agent", 1, message='{"error":{"name":"APIError","message":"401: the key is wrong"}}'),
                "AgentFailed",
                "401: the key is wrong",
            ),
        ],
        ids=["exit code", "last words", "start error", "out of memory", "provider error"],
    )
    def test_a_pod_that_failed_fails_the_task_with_its_reason(self, status: Any, reason: str, message: str):
        failed = decide(task(status=RUNNING), pod=pod("Failed", containers=[status]))
        assert (failed.status.phase, failed.status.completionTime) == ("Failed", NOW)
        assert said(failed, "Ready") == ("False", reason)
        assert condition(failed, "Ready").message == message
        assert failed.notice is not None
        assert (failed.notice.reason, failed.notice.message, failed.notice.warning) == ("Failed", message, True)

    def test_an_init_container_that_failed_is_named(self):
        init = [ended("opencode-init", 0), ended("context-init", 1, message="no space left")]
        failed = decide(
            task(status=RUNNING), pod=pod("Failed", init=init, containers=[waiting("agent", "PodInitializing")])
        )
        assert condition(failed, "Ready").message == "container context-init: exit code 1 (no space left)"

    def test_a_sidecar_that_was_ended_after_the_agent_failed_is_not_to_blame(self):
        init = [ended("opencode-init", 0), ended("output-collector", 137)]
        failed = decide(task(status=RUNNING), pod=pod("Failed", init=init, containers=[ended("agent", 2)]))
        assert condition(failed, "Ready").message == "container agent: exit code 2"

    def test_a_providers_error_that_the_recorder_knows_is_told(self):
        words = ended("output-collector", 0, message='{"error":{"name":"APIError","message":"401: the key is wrong"}}')
        failed = decide(task(status=RUNNING), pod=pod("Failed", init=[words], containers=[ended("agent", 1)]))
        assert condition(failed, "Ready").message == "401: the key is wrong"

    def test_an_evicted_pod_says_so_itself(self):
        failed = decide(
            task(status=RUNNING), pod=pod("Failed", reason="Evicted", message="The node was low on memory.")
        )
        assert said(failed, "Ready") == ("False", "Evicted")
        assert condition(failed, "Ready").message == "The node was low on memory."

    def test_a_pod_that_failed_without_a_word_fails_the_task_all_the_same(self):
        assert said(decide(task(status=RUNNING), pod=pod("Failed")), "Ready") == ("False", "PodFailed")

    def test_a_pod_that_vanished_fails_the_task(self):
        lost = decide(task(status=RUNNING))
        assert lost.status.phase == "Failed"
        assert said(lost, "Ready") == ("False", "PodLost")
        assert '"job-pod"' in condition(lost, "Ready").message

    def test_results_survive_a_failure(self):
        words = '{"result":"half done","session":{"id":"ses_1","messageCount":1},"error":{"message":"no"}}'
        failed = decide(task(status=RUNNING), pod=pod("Failed", containers=[ended("agent", 1, message=words)]))
        assert failed.status.result == "half done"
        assert failed.status.session is not None
        assert failed.status.session.summary is not None

    @pytest.mark.parametrize(
        ("reason", "patience"),
        [
            ("ErrImagePull", 120),
            ("ImagePullBackOff", 120),
            ("CreateContainerConfigError", 60),
            ("CreateContainerError", 60),
            ("RunContainerError", 60),
        ],
    )
    def test_what_may_mend_itself_gets_time_for_it(self, reason: str, patience: int):
        def look(age: float) -> verdict.Verdict[TaskStatus]:
            stuck = pod("Pending", age=age, containers=[waiting("agent", reason, "back-off pulling x:1")])
            return decide(task(status=RUNNING), pod=stuck)

        patient = look(patience - 10)
        assert (patient.status.phase, patient.look_again, patient.ends_pod) == ("Running", 10, False)
        over = look(patience)
        assert (over.status.phase, over.ends_pod) == ("Failed", True)
        assert said(over, "Ready") == ("False", reason)
        assert condition(over, "Ready").message == "container agent cannot start: back-off pulling x:1"

    @pytest.mark.parametrize("reason", ["InvalidImageName", "ErrImageNeverPull"])
    def test_what_cannot_mend_itself_gets_none(self, reason: str):
        stuck = decide(task(status=RUNNING), pod=pod("Pending", age=0, containers=[waiting("agent", reason)]))
        assert (stuck.status.phase, stuck.ends_pod) == ("Failed", True)
        assert condition(stuck, "Ready").message == f"container agent cannot start: {reason}"

    def test_an_init_container_may_be_the_one_that_cannot_start(self):
        stuck = pod("Pending", age=500, init=[waiting("opencode-init", "ImagePullBackOff")])
        assert "opencode-init" in condition(decide(task(status=RUNNING), pod=stuck), "Ready").message

    def test_a_pod_that_is_being_prepared_is_left_alone(self):
        for reason in ("PodInitializing", "ContainerCreating"):
            busy = decide(task(status=RUNNING), pod=pod("Pending", age=9999, containers=[waiting("agent", reason)]))
            assert (busy.status.phase, busy.look_again) == ("Running", None)

    def test_a_pod_that_fits_on_no_node_ends_the_task_after_ten_minutes(self):
        unfit = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}
        young = decide(task(status=RUNNING), pod=pod("Pending", age=60, conditions=[unfit]))
        assert (young.status.phase, young.look_again) == ("Running", 540)
        old = decide(task(status=RUNNING), pod=pod("Pending", age=600, conditions=[unfit]))
        assert said(old, "Ready") == ("False", "Unschedulable")
        assert condition(old, "Ready").message == "0/3 nodes"

    def test_the_nearer_of_timeout_and_patience_is_waited_for(self):
        stuck = pod("Pending", age=60, containers=[waiting("agent", "ErrImagePull")])
        assert decide(task(timeout="110s", status=RUNNING), pod=stuck).look_again == 10
        assert decide(task(timeout="1h", status=RUNNING), pod=stuck).look_again == 60

    def test_a_crashing_sidecar_does_not_end_an_agent_at_work(self):
        busy = pod(
            "Running",
            age=3600,
            init=[ended("opencode-init", 0), waiting("output-collector", "CrashLoopBackOff")],
            containers=[container("agent", running={"startedAt": NOW})],
        )
        assert decide(task(status=RUNNING), pod=busy).status.phase == "Running"


class TestAfterACrashOfOurs:
    def test_a_task_whose_pod_exists_is_running_though_its_status_does_not_say_so(self):
        went = decide(task(), agent(maxConcurrentTasks=1), pod=pod("Running"))
        assert (went.status.phase, went.runs) == ("Running", False)
        assert went.status.startTime == NOW

    def test_a_task_whose_pod_ended_meanwhile_is_completed_at_once(self):
        assert decide(task(), pod=pod("Succeeded")).status.phase == "Completed"

    def test_a_task_whose_pod_exists_learns_its_name_though_its_status_was_never_written(self):
        status = decide(task(), pod=pod("Running")).status
        assert (status.podName, status.podNamespace) == ("job-pod", "team")

    def test_a_finished_task_never_changes_again(self):
        for phase in ("Completed", "Failed"):
            done = task(meta=STOP, timeout="1s", status={"phase": phase, "startTime": at(-100)})
            for there in (None, pod("Running"), pod("Failed")):
                went = decide(done, pod=there)
                assert went == verdict.Verdict(done.status)

    def test_the_same_world_at_the_same_time_gives_the_same_verdict(self):
        stuck = pod("Pending", containers=[waiting("agent", "ErrImagePull")])
        for args in ({"pod": stuck}, {"pod": pod("Failed")}, {}):
            what = task(timeout="1h", status=RUNNING)
            assert decide(what, **args) == decide(what, **args)


class TestWhatTheControllerFinds:
    def test_what_cannot_be_rendered_fails_the_task_with_the_fields_name(self):
        failed = judge.failed(seen(task(), agent()), "ContextError", "spec.contexts[0].mountPath: no", NOW)
        assert failed.status.phase == "Failed"
        assert said(failed, "Ready") == ("False", "ContextError")
        assert failed.status.completionTime == NOW
        assert failed.notice == verdict.Notice("ContextError", "spec.contexts[0].mountPath: no", warning=True)

    def test_a_placed_task_knows_its_pod(self):
        status = judge.placed_in(TaskStatus(phase="Running"), Key("platform", "team-job-pod"))
        assert (status.podNamespace, status.podName) == ("platform", "team-job-pod")

    def test_a_long_message_is_cut_so_that_the_status_stays_small(self):
        failed = judge.failed(seen(task(), agent()), "ContextError", "x" * 5000, NOW)
        assert len(condition(failed, "Ready").message) == 1024
        assert condition(failed, "Ready").message.endswith("…")


def test_conditions_keep_their_places_and_their_times():
    first = conditions.put((), Condition("A", "True", "One"), NOW)
    both = conditions.put(first, Condition("B", "False", "Two"), at(1))
    same = conditions.put(both, Condition("A", "True", "Other", "words"), at(2))
    assert [each.type for each in same] == ["A", "B"]
    assert same[0].lastTransitionTime == NOW
    turned = conditions.put(same, Condition("A", "False", "Other"), at(3.9))
    assert turned[0].lastTransitionTime == at(3)


def test_the_last_report_wins_where_two_containers_left_one():
    there: core.Pod = pod(
        "Succeeded",
        init=[ended("a", 0, message='{"result":"a"}')],
        containers=[ended("b", 0, message='{"result":"b"}')],
    )
    assert decide(task(status=RUNNING), pod=there).status.result == "b"
