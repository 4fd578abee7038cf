"""The rules for names, labels and annotations, in the words of the real server. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from kubeopencode.api.meta import Json
from kubeopencode.apiserver import status
from kubeopencode.apiserver.status import Cause

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_SERVICE = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_PART = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")

_SUBDOMAIN_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_LABEL_RULE = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_SERVICE_RULE = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
    "'[a-z]([-a-z0-9]*[a-z0-9])?')"
)
_PART_RULE = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
_VALUE_RULE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
_TOTAL_ANNOTATIONS = 256 * 1024


def _subdomain(name: str) -> str:
    if len(name) > 253:
        return "must be no more than 253 characters"
    return "" if _SUBDOMAIN.fullmatch(name) else _SUBDOMAIN_RULE


def _label(name: str) -> str:
    if len(name) > 63:
        return "must be no more than 63 characters"
    return "" if _LABEL.fullmatch(name) else _LABEL_RULE


def _service(name: str) -> str:
    if len(name) > 63:
        return "must be no more than 63 characters"
    return "" if _SERVICE.fullmatch(name) else _SERVICE_RULE


def _segment(name: str) -> str:
    if name in (".", ".."):
        return f"may not be '{name}'"
    return next((f"may not contain '{char}'" for char in "/%" if char in name), "")


_RULES: dict[str, Callable[[str], str]] = {"/namespaces": _label, "/services": _service}
_LOOSE = ("rbac.authorization.k8s.io/",)


def check_metadata(collection: str, meta: Json) -> list[Cause]:
    """What is wrong with an object's own metadata."""
    causes: list[Cause] = []
    name = meta.get("name")
    if not name:
        causes.append(status.required("metadata.name", "name or generateName is required"))
    else:
        rule = _segment if collection.startswith(_LOOSE) else _RULES.get(collection, _subdomain)
        if complaint := rule(name):
            causes.append(status.invalid_value("metadata.name", name, complaint))
    if labels := meta.get("labels"):
        causes += check_labels(labels, "metadata.labels")
    if annotations := meta.get("annotations"):
        causes += _annotations(annotations)
    for finalizer in meta.get("finalizers") or ():
        if complaint := _qualified(str(finalizer)):
            causes.append(status.invalid_value("metadata.finalizers", finalizer, complaint))
    for index, owner in enumerate(meta.get("ownerReferences") or ()):
        causes += _owner(owner, f"metadata.ownerReferences[{index}]")
    return causes


def _qualified(key: str) -> str:
    prefix, slash, name = key.rpartition("/")
    if slash and not prefix:
        return "prefix part must be non-empty"
    if slash and (complaint := _subdomain(prefix)):
        return f"prefix part {complaint}"
    if not name:
        return "name part must be non-empty"
    if len(name) > 63:
        return "name part must be no more than 63 characters"
    return "" if _PART.fullmatch(name) else _PART_RULE


def check_labels(labels: dict[str, Any], field: str) -> list[Cause]:
    """What is wrong with a map of labels."""
    causes: list[Cause] = []
    for key, value in labels.items():
        if complaint := _qualified(key):
            causes.append(status.invalid_value(field, key, complaint))
        if value == "":
            continue
        if not isinstance(value, str):
            causes.append(status.invalid_value(field, value, "must be a string"))
        elif len(value) > 63:
            causes.append(status.invalid_value(field, value, "must be no more than 63 characters"))
        elif not _PART.fullmatch(value):
            causes.append(status.invalid_value(field, value, _VALUE_RULE))
    return causes


def _annotations(annotations: dict[str, Any]) -> list[Cause]:
    causes: list[Cause] = []
    total = 0
    for key, value in annotations.items():
        if complaint := _qualified(key.lower()):
            causes.append(status.invalid_value("metadata.annotations", key, complaint))
        if not isinstance(value, str):
            causes.append(status.invalid_value("metadata.annotations", value, "must be a string"))
            continue
        total += len(key) + len(value.encode())
    if total > _TOTAL_ANNOTATIONS:
        message = f"Too long: may not be more than {_TOTAL_ANNOTATIONS} bytes"
        causes.append(Cause("FieldValueTooLong", "metadata.annotations", message))
    return causes


def _owner(owner: Any, path: str) -> list[Cause]:
    causes: list[Cause] = []
    for name in ("apiVersion", "kind", "name", "uid"):
        if not owner.get(name):
            causes.append(status.invalid_value(f"{path}.{name}", owner.get(name) or "", "must not be empty"))
    return causes
