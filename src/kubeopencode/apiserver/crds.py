"""CustomResourceDefinitions: checked, established, and turned into kinds that the server serves at once."""

from __future__ import annotations

import re
from typing import Any, cast

from kubeopencode.api.meta import Json
from kubeopencode.apiserver import cel, jsonpath, objects, schema, status
from kubeopencode.apiserver.builtins import CRDS
from kubeopencode.apiserver.registry import Column, Kind, Registry, Scale
from kubeopencode.apiserver.status import Cause
from kubeopencode.apiserver.storage import Change, Storage
from kubeopencode.apiserver.watchhub import WatchHub

_KIND = re.compile(r"[A-Za-z][A-Za-z0-9]*")


class Definitions:
    """Keeps the registry in step with the stored CustomResourceDefinitions."""

    def __init__(self, storage: Storage, registry: Registry, hub: WatchHub) -> None:
        self._storage = storage
        self._registry = registry
        self._hub = hub
        for _, record in list(storage.walk(CRDS)):
            self._install(objects.decode(record.raw))
        storage.listen(self._changed)

    def _changed(self, change: Change) -> None:
        if change.place.collection != CRDS:
            return
        crd = objects.decode(change.record.raw)
        if change.removed:
            self._registry.remove(collection(crd))
            self._hub.close_collection(collection(crd))
        else:
            self._install(crd)

    def _install(self, crd: Json) -> None:
        kinds = kinds_of(crd)
        if kinds:
            self._registry.install(kinds)
            self._storage.index(kinds[0].collection, kinds[0].fields)


def collection(crd: Json) -> str:
    """Where the objects of a definition are stored."""
    spec = objects.section(crd, "spec")
    return f"{spec['group']}/{objects.section(spec, 'names')['plural']}"


def kinds_of(crd: Json) -> list[Kind]:
    """The served versions of a definition, the stored one first."""
    spec = objects.section(crd, "spec")
    versions = [version for version in objects.items(spec, "versions") if version.get("served")]
    stored = next((v["name"] for v in objects.items(spec, "versions") if v.get("storage")), "")
    made = [_kind(spec, version, stored) for version in versions]
    return sorted(made, key=lambda kind: bool(kind.storage_version))


def _kind(spec: Json, version: Json, stored: str) -> Kind:
    names, subresources = objects.section(spec, "names"), objects.section(version, "subresources")
    scale = subresources.get("scale")
    return Kind(
        group=spec["group"],
        version=version["name"],
        kind=names["kind"],
        plural=names["plural"],
        namespaced=spec.get("scope") != "Cluster",
        singular=names.get("singular", ""),
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        status="status" in subresources,
        generation=True,
        scale=None if not isinstance(scale, dict) else _scale(cast(Json, scale)),
        fields=tuple(field["jsonPath"].lstrip(".") for field in objects.items(version, "selectableFields")),
        schema=schema.compile_root(objects.section(objects.section(version, "schema"), "openAPIV3Schema")),
        columns=tuple(_column(column) for column in objects.items(version, "additionalPrinterColumns")),
        custom=True,
        storage_version="" if version["name"] == stored else stored,
        list_name=names.get("listKind", ""),
    )


def _scale(found: Json) -> Scale:
    return Scale(
        found.get("specReplicasPath", ".spec.replicas"),
        found.get("statusReplicasPath", ".status.replicas"),
        found.get("labelSelectorPath", ""),
    )


def _column(found: Json) -> Column:
    return Column(
        found["name"],
        found.get("type", "string"),
        found.get("jsonPath", ""),
        found.get("description", ""),
        int(found.get("priority") or 0),
        found.get("format", ""),
    )


def admit(obj: Json, old: Json | None) -> None:
    """Complete and check a definition before it is stored. Raises Failure 422."""
    spec, meta = objects.section(obj, "spec"), objects.metadata(obj)
    names = objects.section(spec, "names")
    causes: list[Cause] = []
    for path, holder, name in (("spec", spec, "group"), ("spec.names", names, "plural"), ("spec.names", names, "kind")):
        if not holder.get(name):
            causes.append(status.required(f"{path}.{name}"))
    if spec.get("scope") not in ("Cluster", "Namespaced"):
        causes.append(status.unsupported("spec.scope", spec.get("scope"), ("Cluster", "Namespaced")))
    if not causes:
        wanted = f"{names['plural']}.{spec['group']}"
        if meta.get("name") != wanted:
            detail = 'must be spec.names.plural+"."+spec.group'
            causes.append(status.invalid_value("metadata.name", meta.get("name"), detail))
        if not _KIND.fullmatch(names["kind"]):
            causes.append(status.invalid_value("spec.names.kind", names["kind"], "must be a CamelCase word"))
        causes += _check_versions(spec)
    if old is not None:
        causes += _check_unchanged(objects.section(old, "spec"), spec)
    if causes:
        raise status.invalid("CustomResourceDefinition", "apiextensions.k8s.io", str(meta.get("name", "")), causes)
    _complete(obj, old)


def _check_unchanged(before: Json, after: Json) -> list[Cause]:
    same = (("group", before.get("group"), after.get("group")), ("scope", before.get("scope"), after.get("scope")))
    return [status.invalid_value(f"spec.{name}", new, "field is immutable") for name, old, new in same if old != new]


def _check_versions(spec: Json) -> list[Cause]:
    causes: list[Cause] = []
    versions = objects.items(spec, "versions")
    if sum(1 for version in versions if version.get("storage")) != 1:
        causes.append(
            status.invalid_value("spec.versions", "", "must have exactly one version marked as storage version")
        )
    for index, version in enumerate(versions):
        path = f"spec.versions[{index}]"
        root = objects.section(objects.section(version, "schema"), "openAPIV3Schema")
        if not version.get("name"):
            causes.append(status.required(f"{path}.name"))
        if not root:
            causes.append(status.required(f"{path}.schema.openAPIV3Schema", "schemas are required"))
            continue
        causes += _check_schema(root, f"{path}.schema.openAPIV3Schema")
        for position, column in enumerate(objects.items(version, "additionalPrinterColumns")):
            try:
                jsonpath.compile_path(str(column.get("jsonPath", "")))
            except ValueError as error:
                where = f"{path}.additionalPrinterColumns[{position}].jsonPath"
                causes.append(status.invalid_value(where, column.get("jsonPath"), str(error)))
    return causes


def _check_schema(root: Json, path: str) -> list[Cause]:
    causes: list[Cause] = []
    if root.get("type") != "object":
        causes.append(status.invalid_value(f"{path}.type", root.get("type", ""), "must be object at the root"))
    _check_structure(root, path, causes)
    if causes:
        return causes
    try:
        compiled = schema.compile_root(root)
    except (re.error, AttributeError, KeyError, TypeError, ValueError) as error:
        return [status.invalid_value(path, "", f"the schema cannot be compiled: {error}")]
    for problem in cel.problems(compiled):
        where = f"{path}{problem.path}.x-kubernetes-validations"
        causes.append(status.invalid_value(where, problem.rule, f"compilation failed: {problem.message}"))
    return causes


_RULE_TEXTS = ("message", "messageExpression", "fieldPath", "reason")
_WORDS: dict[type, tuple[str, ...]] = {
    str: ("type", "format", "pattern", "description", "x-kubernetes-list-type", "x-kubernetes-map-type"),
    dict: ("properties", "not"),
    list: ("required", "enum", "x-kubernetes-list-map-keys", "x-kubernetes-validations", "allOf", "anyOf", "oneOf"),
    int: ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"),
    float: ("minimum", "maximum", "multipleOf"),
    bool: ("nullable", "uniqueItems", "x-kubernetes-int-or-string", "x-kubernetes-embedded-resource"),
}


def _check_words(found: Any, path: str, causes: list[Cause]) -> bool:
    """Whether the words of one node have the right types, so that the rest may look at them."""
    before = len(causes)
    if not isinstance(found, dict):
        causes.append(status.invalid_value(path, found, "must be a schema"))
        return False
    node = cast(Json, found)
    for wanted, words in _WORDS.items():
        for word in words:
            kinds = (int, float) if wanted is float else wanted
            if node.get(word) is not None and not isinstance(node[word], kinds):
                causes.append(status.invalid_value(f"{path}.{word}", node[word], "has the wrong type"))
    if len(causes) == before:
        for rule in objects.items(node, "x-kubernetes-validations"):
            if not isinstance(rule, dict) or not isinstance(cast(Json, rule).get("rule"), str):
                causes.append(status.required(f"{path}.x-kubernetes-validations.rule"))
            elif not all(isinstance(cast(Json, rule).get(word, ""), str) for word in _RULE_TEXTS):
                detail = f"{', '.join(_RULE_TEXTS)} must be texts"
                causes.append(status.invalid_value(f"{path}.x-kubernetes-validations", rule, detail))
        for word in ("required", "x-kubernetes-list-map-keys"):
            if not all(isinstance(name, str) for name in objects.items(node, word)):
                causes.append(status.invalid_value(f"{path}.{word}", node[word], "must be a list of field names"))
    return len(causes) == before


def _check_structure(node: Any, path: str, causes: list[Cause]) -> None:
    """The rules of structural schemas that generators break most often."""
    if not _check_words(node, path, causes):
        return
    if "$ref" in node:
        causes.append(status.forbidden_field(f"{path}.$ref", "$ref is not supported"))
    free = node.get("x-kubernetes-int-or-string") or node.get("x-kubernetes-preserve-unknown-fields")
    if not node.get("type") and not free:
        causes.append(status.required(f"{path}.type", "must not be empty for specified object fields"))
    if node.get("type") == "array" and not isinstance(node.get("items"), dict):
        causes.append(status.required(f"{path}.items", "must be specified"))
    if node.get("x-kubernetes-list-type") == "map" and not node.get("x-kubernetes-list-map-keys"):
        causes.append(status.required(f"{path}.x-kubernetes-list-map-keys", "must not be empty if list type is map"))
    for name, child in objects.section(node, "properties").items():
        _check_structure(child, f"{path}.properties[{name}]", causes)
    for name in ("items", "additionalProperties"):
        child = objects.section(node, name)
        if child or isinstance(node.get(name), dict):
            _check_structure(child, f"{path}.{name}", causes)


def _complete(obj: Json, old: Json | None) -> None:
    spec = objects.section(obj, "spec")
    names = objects.section(spec, "names")
    names.setdefault("singular", names["kind"].lower())
    names.setdefault("listKind", f"{names['kind']}List")
    spec.setdefault("conversion", {"strategy": "None"})
    state = obj.setdefault("status", {})
    stored = next(version["name"] for version in objects.items(spec, "versions") if version.get("storage"))
    before: list[str] = list(objects.section(old or {}, "status").get("storedVersions") or ())
    state["storedVersions"] = [*before, *([] if stored in before else [stored])]
    state["acceptedNames"] = dict(names)
    if not state.get("conditions"):
        moment = objects.now()
        state["conditions"] = [
            _condition("NamesAccepted", "NoConflicts", "no conflicts found", moment),
            _condition("Established", "InitialNamesAccepted", "the initial names have been accepted", moment),
        ]


def _condition(kind: str, reason: str, message: str, moment: str) -> Json:
    return {"type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": moment}
