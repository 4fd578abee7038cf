"""KINDS: the one list of our kinds. CRDs, paths, clients, CLI nouns and docs derive from it."""

from __future__ import annotations

from typing import Any

from kubeopencode.api.agent import Agent, AgentTemplate
from kubeopencode.api.config import KubeOpenCodeConfig
from kubeopencode.api.crontask import CronTask
from kubeopencode.api.meta import Resource
from kubeopencode.api.registry import Registry
from kubeopencode.api.task import Task
from kubeopencode.api.tasktemplate import TaskTemplate

GROUP = "kubeopencode.io"
VERSION = "v1alpha1"

TASKS = Resource(GROUP, VERSION, "Task", "tasks", Task)
TASKTEMPLATES = Resource(GROUP, VERSION, "TaskTemplate", "tasktemplates", TaskTemplate)
AGENTS = Resource(GROUP, VERSION, "Agent", "agents", Agent)
AGENTTEMPLATES = Resource(GROUP, VERSION, "AgentTemplate", "agenttemplates", AgentTemplate)
CRONTASKS = Resource(GROUP, VERSION, "CronTask", "crontasks", CronTask)
REGISTRIES = Resource(GROUP, VERSION, "Registry", "registries", Registry)
CONFIGS = Resource(GROUP, VERSION, "KubeOpenCodeConfig", "kubeopencodeconfigs", KubeOpenCodeConfig, namespaced=False)

KINDS: tuple[Resource[Any], ...] = (TASKS, TASKTEMPLATES, AGENTS, AGENTTEMPLATES, CRONTASKS, REGISTRIES, CONFIGS)
