"""What controllers look up again and again: Agents, templates and the cluster's configuration.

Lookups go to the caches. What a cache does not have is asked of the API server itself before it counts as missing,
because an Agent and its Task may have been applied in the same second.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from kubeopencode import world
from kubeopencode.api import agent, config, core, kinds, task, tasktemplate
from kubeopencode.api.meta import Key, Object, Resource
from kubeopencode.kube import client, errors
from kubeopencode.names import DEFAULT_AGENT
from kubeopencode.runtime import manager, reflector, store

T = TypeVar("T", bound=Object)

AGENTS = reflector.Source(kinds.AGENTS)
TEMPLATES = reflector.Source(kinds.AGENTTEMPLATES)
TASKTEMPLATES = reflector.Source(kinds.TASKTEMPLATES)
CONFIGS = reflector.Source(kinds.CONFIGS)
TASKS = reflector.Source(kinds.TASKS)

_BY_AGENT = "unfinished by agent"
_BY_TEMPLATE = "by template"

CONFIG_NAMES = ("cluster", "default")
"""The configuration's name, and the name it had before; the first that exists is used."""


class Library:
    """The caches of one manager, and how to read them."""

    def __init__(self, runner: manager.Manager, settings: world.Cluster) -> None:
        self._client: client.Client = runner.client
        self._settings = settings
        self.tasks: store.Store[task.Task] = runner.store(TASKS)
        self.agents: store.Store[agent.Agent] = runner.store(AGENTS)
        self.templates: store.Store[agent.AgentTemplate] = runner.store(TEMPLATES)
        self._tasktemplates: store.Store[tasktemplate.TaskTemplate] = runner.store(TASKTEMPLATES)
        self._configs: store.Store[config.KubeOpenCodeConfig] = runner.store(CONFIGS)
        self.tasks.add_index(_BY_AGENT, unfinished_by_agent)
        self.tasks.add_index(_BY_TEMPLATE, _waiting_by_template)
        self.agents.add_index(_BY_TEMPLATE, _agents_by_template)

    @property
    def cluster(self) -> world.Cluster:
        """What holds for every Task right now."""
        for name in CONFIG_NAMES:
            if found := self._configs.get(Key("", name)):
                return self._settings.overlaid(found.spec)
        return self._settings

    def unfinished(self, of_agent: Key) -> list[task.Task]:
        """The Tasks of an Agent that have not ended."""
        return self.tasks.by_index(_BY_AGENT, of_agent)

    def waiting(self, for_template: Key) -> list[task.Task]:
        """The Tasks that name an AgentTemplate and have not started."""
        return self.tasks.by_index(_BY_TEMPLATE, for_template)

    def keys_of_agents(self, template: agent.AgentTemplate) -> list[Key]:
        """The Agents that use a template."""
        return [each.metadata.key for each in self.agents.by_index(_BY_TEMPLATE, template.metadata.key)]

    async def agent_profile(self, key: Key) -> world.Profile | None:
        """An Agent with its template; None when there is no such Agent.

        Raises:
            Missing: the Agent names a template that does not exist.
        """
        found = await self._find(kinds.AGENTS, self.agents, key)
        if found is None:
            return None
        reference = found.spec.templateRef
        if reference is None or not reference.name:
            return world.profile_of_agent(found, None)
        template = await self._find(kinds.AGENTTEMPLATES, self.templates, Key(key.namespace, reference.name))
        if template is None:
            raise Missing(
                f'the Agent "{key.name}" uses the AgentTemplate "{reference.name}", and "{key.namespace}" has none'
            )
        return world.profile_of_agent(found, template)

    async def effective(self, subject: task.Task) -> task.TaskSpec:
        """A Task's spec after its TaskTemplate.

        Raises:
            Missing: the TaskTemplate does not exist.
        """
        reference = subject.spec.taskTemplateRef
        if reference is None:
            return subject.spec
        key = Key(reference.namespace or subject.metadata.namespace, reference.name)
        template = await self._find(kinds.TASKTEMPLATES, self._tasktemplates, key)
        if template is None:
            raise Missing(
                f'there is no TaskTemplate "{key.name}" in the namespace "{key.namespace}"', "TaskTemplateError"
            )
        return world.spec_with_template(subject.spec, template)

    async def profile(self, spec: task.TaskSpec, namespace: str) -> world.Profile:
        """Who does the work of a Task.

        Raises:
            Missing: the Agent or template does not exist.
        """
        if spec.templateRef is not None:
            key = Key(namespace, spec.templateRef.name)
            template = await self._find(kinds.AGENTTEMPLATES, self.templates, key)
            if template is None:
                raise Missing(f'there is no AgentTemplate "{key.name}" in the namespace "{key.namespace}"')
            return world.profile_of_template(template)
        key = agent_key(spec, namespace)
        found = await self.agent_profile(key)
        if found is None and spec.agentRef is None:
            raise Missing(
                "either agentRef or templateRef must be specified: "
                f'there is no Agent "{key.name}" in "{key.namespace}" to fall back on'
            )
        if found is None:
            raise Missing(f'there is no Agent "{key.name}" in the namespace "{key.namespace}"')
        return found

    async def config_maps(self, keys: Iterable[Key]) -> dict[Key, core.ConfigMap | None]:
        """These ConfigMaps as they are now; None for one that does not exist."""
        return {key: await self._read(core.CONFIGMAPS, key) for key in sorted(keys)}

    async def _find(self, resource: Resource[T], cache: store.Store[T], key: Key) -> T | None:
        return cache.get(key) or await self._read(resource, key)

    async def _read(self, resource: Resource[T], key: Key) -> T | None:
        try:
            return await self._client.get(resource, key.name, key.namespace)
        except errors.NotFound:
            return None


class Missing(Exception):  # noqa: N818  # a finding, not a fault
    """Something that an object refers to does not exist. The message is for the user."""

    def __init__(self, message: str, reason: str = "AgentError") -> None:
        super().__init__(message)
        self.reason = reason


def agent_key(spec: task.TaskSpec, namespace: str) -> Key:
    """The Agent that a Task without template runs with; the Agent `default` where it names none."""
    if spec.agentRef is None:
        return Key(namespace, DEFAULT_AGENT)
    return Key(spec.agentRef.namespace or namespace, spec.agentRef.name)


def unfinished_by_agent(found: task.Task) -> Iterable[Key]:
    """Index: Tasks that have not ended, by the Agent they run with."""
    if found.status.phase in task.FINISHED or found.spec.templateRef is not None:
        return ()
    namespace = found.metadata.namespace
    if found.status.agentRef is not None:
        return (Key(found.status.agentRef.namespace or namespace, found.status.agentRef.name),)
    if found.spec.taskTemplateRef is not None and found.spec.agentRef is None:
        return ()
    return (agent_key(found.spec, namespace),)


def comes_or_goes(change: store.Change[task.Task]) -> bool:
    """A Task arrived, ended, or learned which Agent it belongs to: what those want to know who look after Agents."""
    if change.old is None or change.new is None:
        return True
    return tuple(unfinished_by_agent(change.old)) != tuple(unfinished_by_agent(change.new))


def _waiting_by_template(found: task.Task) -> Iterable[Key]:
    """Index: Tasks that have not started, by the AgentTemplate they name."""
    if found.status.phase in task.FINISHED or found.status.phase == "Running" or found.spec.templateRef is None:
        return ()
    return (Key(found.metadata.namespace, found.spec.templateRef.name),)


def _agents_by_template(found: agent.Agent) -> Iterable[Key]:
    """Index: Agents, by the AgentTemplate they name."""
    reference = found.spec.templateRef
    return (Key(found.metadata.namespace, reference.name),) if reference and reference.name else ()
