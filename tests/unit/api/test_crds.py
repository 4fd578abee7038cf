"""The definitions against the contract of the systems before us: names, scope, subresources, columns, rules."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kubeopencode.api import crds, kinds

DEFINITIONS = {crd["spec"]["names"]["kind"]: crd for crd in crds.definitions()}


def version(kind: str) -> dict[str, Any]:
    """The one version of a kind."""
    (only,) = DEFINITIONS[kind]["spec"]["versions"]
    return only


def field(kind: str, path: str) -> dict[str, Any]:
    """The schema of one field; `[]` steps into a list."""
    node = version(kind)["schema"]["openAPIV3Schema"]
    for step in path.split("."):
        node = node["properties"][step.removesuffix("[]")]
        node = node["items"] if step.endswith("[]") else node
    return node


@pytest.mark.parametrize(
    ("kind", "plural", "short", "scope", "has_status"),
    [
        ("Task", "tasks", "tk", "Namespaced", True),
        ("TaskTemplate", "tasktemplates", "tt", "Namespaced", False),
        ("CronTask", "crontasks", "ct", "Namespaced", True),
        ("Agent", "agents", "ag", "Namespaced", True),
        ("AgentTemplate", "agenttemplates", "agt", "Namespaced", True),
        ("Registry", "registries", "reg", "Namespaced", True),
        ("KubeOpenCodeConfig", "kubeopencodeconfigs", "ktc", "Cluster", False),
    ],
)
def test_a_kind_is_called_and_scoped_as_its_users_know_it(
    kind: str, plural: str, short: str, scope: str, has_status: bool
):
    spec = DEFINITIONS[kind]["spec"]
    assert DEFINITIONS[kind]["metadata"]["name"] == f"{plural}.kubeopencode.io"
    assert (spec["group"], spec["scope"]) == ("kubeopencode.io", scope)
    assert spec["names"] == {
        "kind": kind,
        "listKind": f"{kind}List",
        "plural": plural,
        "singular": kind.lower(),
        "shortNames": [short],
        "categories": ["kubeopencode"],
    }
    assert (version(kind)["name"], version(kind)["served"], version(kind)["storage"]) == ("v1alpha1", True, True)
    assert ("subresources" in version(kind)) is has_status


def test_there_is_one_definition_for_each_kind():
    assert list(DEFINITIONS) == [resource.kind for resource in kinds.KINDS]


@pytest.mark.parametrize(
    ("kind", "columns"),
    [
        ("Task", ["Phase", "Agent", "Template*", "Pod", "Age"]),
        ("Agent", ["Profile*", "Image*", "ServiceAccount", "MaxTasks*", "Ready", "Age"]),
        ("CronTask", ["Schedule", "Suspend", "Active*", "Last Schedule", "Next Schedule*", "Age"]),
        ("Registry", ["Images", "Skills", "Plugins", "Ready", "Total", "Age"]),
    ],
)
def test_kubectl_get_shows_the_columns_of_the_contract(kind: str, columns: list[str]):
    shown = version(kind)["additionalPrinterColumns"]
    assert [column["name"] + "*" * column.get("priority", 0) for column in shown] == columns


@pytest.mark.parametrize("kind", sorted(DEFINITIONS))
def test_every_column_points_at_a_field_that_exists(kind: str):
    for column in version(kind)["additionalPrinterColumns"]:
        path = column["jsonPath"].removeprefix(".")
        if path == "metadata.creationTimestamp":
            assert column["type"] == "date"
            continue
        shown = field(kind, path)
        # A date is shown as an age, which a time to come does not have.
        age = shown.get("format") == "date-time" and column["name"] != "Next Schedule"
        assert column["type"] == ("date" if age else shown["type"])


def test_the_next_schedule_lies_ahead_so_it_is_shown_as_a_time_and_not_as_an_age():
    (column,) = (each for each in version("CronTask")["additionalPrinterColumns"] if each["name"] == "Next Schedule")
    assert column["type"] == "string"


@pytest.mark.parametrize(
    ("kind", "path", "message"),
    [
        ("Task", "spec", "only one of agentRef or templateRef can be specified"),
        ("CronTask", "spec.taskTemplate.spec", "only one of agentRef or templateRef can be specified"),
        ("Task", "spec.contexts[]", "mountPath is required when type is Git"),
        ("Task", "spec.contexts[]", "text is required when type is Text"),
        ("TaskTemplate", "spec.contexts[]", "configMap is required when type is ConfigMap"),
        ("Agent", "spec.contexts[]", "url is required when type is URL"),
        ("Agent", "spec.credentials[]", "env can only be set when secretRef.key is specified"),
        ("AgentTemplate", "spec.caBundle", "exactly one of configMapRef or secretRef must be specified"),
        (
            "KubeOpenCodeConfig",
            "spec.observability.openTelemetry",
            "endpoint is required when OpenTelemetry is enabled",
        ),
    ],
)
def test_what_contradicts_itself_is_refused_with_a_sentence(kind: str, path: str, message: str):
    rules = field(kind, path)["x-kubernetes-validations"]
    assert message in [rule["message"] for rule in rules]


def test_the_cluster_configuration_is_a_singleton():
    rules = version("KubeOpenCodeConfig")["schema"]["openAPIV3Schema"]["x-kubernetes-validations"]
    assert rules[0]["message"] == "KubeOpenCodeConfig must be named 'cluster'"


@pytest.mark.parametrize(
    ("kind", "path", "bounds"),
    [
        ("Agent", "spec.quota.maxTaskStarts", {"minimum": 1}),
        ("Agent", "spec.quota.windowSeconds", {"minimum": 60, "maximum": 86400}),
        ("Agent", "spec.maxConcurrentTasks", {"minimum": 0}),
        ("Agent", "spec.port", {"minimum": 1, "maximum": 65535}),
        ("Agent", "spec.workspaceDir", {"pattern": "^/.*"}),
        ("Agent", "spec.extraPorts[].name", {"minLength": 1, "maxLength": 15}),
        ("Agent", "spec.skills[].name", {"pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "maxLength": 63}),
        ("Agent", "spec.plugins[].target", {"enum": ["server", "tui"], "default": None}),
        ("Agent", "spec.contexts[].git.ref", {"default": None}),
        ("Agent", "spec.contexts[].git.sync.policy", {"enum": ["HotReload", "Rollout"], "default": None}),
        ("CronTask", "spec.concurrencyPolicy", {"enum": ["Allow", "Forbid", "Replace"], "default": "Forbid"}),
        ("CronTask", "spec.maxRetainedTasks", {"default": 10, "minimum": 1}),
        ("Task", "spec.contexts[].type", {"enum": ["ConfigMap", "Git", "Runtime", "Text", "URL"]}),
    ],
)
def test_bounds_and_defaults_are_those_of_the_contract(kind: str, path: str, bounds: dict[str, Any]):
    said = field(kind, path)
    assert {name: said.get(name) for name in bounds} == bounds


def test_lists_that_users_merge_by_name_are_maps():
    for path in ("images", "skills", "plugins"):
        node = version("Registry")["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"][path]
        assert node["x-kubernetes-list-map-keys"] == ["name"]


def test_a_definition_fits_into_the_annotation_that_kubectl_apply_writes():
    for kind, crd in DEFINITIONS.items():
        assert len(json.dumps(crd, separators=(",", ":"))) < 256 * 1024, kind
