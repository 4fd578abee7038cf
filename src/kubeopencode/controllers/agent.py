"""Agents: the live server's objects, and how it is."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass

from kubeopencode import names
from kubeopencode.api import agent as api
from kubeopencode.api import config, core, kinds, workloads
from kubeopencode.api.meta import Key
from kubeopencode.controllers import library, report
from kubeopencode.judge import agent as judge
from kubeopencode.judge import podstate
from kubeopencode.judge.verdict import Verdict
from kubeopencode.kube import client
from kubeopencode.render import parts
from kubeopencode.render import server as render
from kubeopencode.runtime import clock, controller, converge, events, manager, outcome, reflector, store
from kubeopencode.world import Profile

DEPLOYMENTS = reflector.Source(workloads.DEPLOYMENTS, labels=names.LABEL_AGENT)
SERVERS = reflector.Source(core.PODS, labels="app.kubernetes.io/name=kubeopencode-server")
BY_AGENT = "servers by agent"
REREAD = 60.0
"""Seconds after which ConfigMaps are read again. Nobody watches them: a cluster has too many."""


@dataclass(frozen=True)
class AgentController:
    """Keeps live servers as their Agents want them."""

    api: client.Client
    books: library.Library
    deployments: store.Store[workloads.Deployment]
    servers: store.Store[core.Pod]
    converger: converge.Converger
    recorder: events.EventRecorder
    time: clock.Clock
    password_key: bytes
    """From this key and an Agent's uid the password of its server is derived, so no Secret need ever be read."""

    async def reconcile(self, key: Key) -> outcome.Outcome:
        """Make the world right for one Agent."""
        found = self.books.agents.get(key)
        if found is None or found.metadata.deletionTimestamp is not None:
            return outcome.DONE
        now = self.time.now()
        try:
            profile = await self.books.agent_profile(key)
            if profile is None:
                return outcome.DONE
            await self._mark(found)
            verdict = await self._serve(profile) if profile.live else await self._passive(profile)
        except library.Missing as missing:
            verdict = judge.refused(found, self._deployment(key), ("AgentTemplateNotFound", str(missing)), now)
        except parts.Refused as refusal:
            verdict = judge.refused(found, self._deployment(key), (refusal.reason, str(refusal)), now)
        except converge.NameConflict as clash:
            if clash.leaving:
                return outcome.Later(1.0)
            verdict = judge.refused(found, self._deployment(key), ("NameConflict", str(clash)), now)
        return await self._report(found, verdict)

    async def _mark(self, found: api.Agent) -> None:
        """The label by which the Agents of a template are found."""
        meta, reference = found.metadata, found.spec.templateRef
        wanted = names.label(reference.name) if reference and reference.name else None
        if meta.labels.get(names.LABEL_AGENT_TEMPLATE) != wanted:
            patch = {"metadata": {"labels": {names.LABEL_AGENT_TEMPLATE: wanted}}}
            await self.api.patch(kinds.AGENTS, meta.name, patch, meta.namespace)

    async def _serve(self, profile: Profile) -> Verdict[api.AgentStatus]:
        maps = await self.books.config_maps(render.sources(profile))
        cluster = self.books.cluster
        objects = render.desired(profile, cluster, maps)
        deployment = self._deployment(profile.key)
        if deployment is None or not deployment.status.readyReplicas:
            # Nobody of ours may read Secrets, so whether it is there shows only in a server that starts.
            objects = (render.password(profile, self._password(profile.uid)), *objects)
        await self.converger.converge(_owner(profile), objects)
        return judge.decide(profile, deployment, cluster, self.time.now(), self._obstacle(profile.key))

    def _obstacle(self, key: Key) -> podstate.Failure | None:
        pods = self.servers.by_index(BY_AGENT, Key(key.namespace, names.label(key.name)))
        found = (podstate.obstacle(pod) for pod in pods if pod.metadata.deletionTimestamp is None)
        return next((obstacle for obstacle in found if obstacle), None)

    def _deployment(self, key: Key) -> workloads.Deployment | None:
        return self.deployments.get(Key(key.namespace, names.server(key.name)))

    async def _passive(self, profile: Profile) -> Verdict[api.AgentStatus]:
        """An Agent that keeps no server; one that it had before goes."""
        if there := self._deployment(profile.key):
            await self.converger.prune(_owner(profile), workloads.DEPLOYMENTS, (there,))
        return judge.passive(profile, self.time.now())

    def _password(self, uid: str) -> str:
        return hmac.new(self.password_key, uid.encode(), hashlib.sha256).hexdigest()

    async def _report(self, found: api.Agent, verdict: Verdict[api.AgentStatus]) -> outcome.Outcome:
        await report.report(self.api, kinds.AGENTS, found, verdict.status)
        if notice := verdict.notice:
            kind = events.WARNING if notice.warning else events.NORMAL
            self.recorder.record(events.Subject.of(kinds.AGENTS, found), kind, notice.reason, notice.message)
        reads = any(item.configMap for item in found.spec.contexts)
        return outcome.Later(REREAD) if reads else outcome.DONE


def _owner(profile: Profile) -> converge.Owner:
    assert profile.agent is not None
    return converge.Owner.of(kinds.AGENTS, profile.agent)


KINDS = (
    converge.Kind(core.SECRETS, converge.Policy.BLIND),
    converge.Kind(core.SERVICES),
    converge.Kind(core.CONFIGMAPS),
    converge.Kind(core.PVCS, converge.Policy.ONCE),
    converge.Kind(workloads.DEPLOYMENTS),
)


def build(
    runner: manager.Manager, books: library.Library, recorder: events.EventRecorder, password_key: bytes
) -> controller.Controller:
    """The controller, with all that it watches."""
    converger = converge.Converger(runner.client, KINDS)
    deployments = runner.store(DEPLOYMENTS)
    servers = runner.store(SERVERS)
    servers.add_index(BY_AGENT, _agent_of)
    agents = AgentController(
        runner.client, books, deployments, servers, converger, recorder, runner.clock, password_key
    )

    def of_server(found: core.Pod) -> Iterable[Key]:
        label = found.metadata.labels.get(names.LABEL_AGENT)
        agents = books.agents.list(found.metadata.namespace)
        return [each.metadata.key for each in agents if names.label(each.metadata.name) == label]

    def all_agents(_: config.KubeOpenCodeConfig) -> Iterable[Key]:
        return [each.metadata.key for each in books.agents.list()]

    return controller.Controller(
        "agent",
        agents.reconcile,
        watches=(
            controller.Watch(library.AGENTS, when=_spec_or_ready),
            controller.Watch(DEPLOYMENTS, controller.owner_key(kinds.GROUP, "Agent")),
            controller.Watch(SERVERS, of_server, _obstacle_changed),
            controller.Watch(library.TEMPLATES, books.keys_of_agents),
            controller.Watch(library.CONFIGS, all_agents),
        ),
        time=runner.clock,
    )


def _agent_of(pod: core.Pod) -> Iterable[Key]:
    """Index: servers by namespace and by the label of their Agent, in which a long name is shortened."""
    return (Key(pod.metadata.namespace, pod.metadata.labels.get(names.LABEL_AGENT, "")),)


def _obstacle_changed(change: store.Change[core.Pod]) -> bool:
    """What keeps a server's Pod from starting has come, gone or changed."""
    old, new = (podstate.obstacle(pod) if pod else None for pod in (change.old, change.new))
    return old != new


def _spec_or_ready(change: store.Change[api.Agent]) -> bool:
    """More than the queue's own entries in the status changed."""
    if change.old is None or change.new is None:
        return True
    old, new = change.old, change.new
    return (old.metadata.generation, old.status.ready, old.status.conditions) != (
        new.metadata.generation,
        new.status.ready,
        new.status.conditions,
    )
