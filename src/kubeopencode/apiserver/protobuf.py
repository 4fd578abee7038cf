"""The few protobuf bodies that kubectl's generators and typed clients send; everything else speaks JSON.

A table names the fields of each message by their numbers; whatever it does not name is ignored, and a kind that it does
not name is refused. Pure.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator
from typing import Any

from kubeopencode.api.meta import Json
from kubeopencode.apiserver import status

_MAGIC = b"k8s\x00"
_META = "ObjectMeta"
# message -> number: (field, type); a type with + repeats, {} is a map of texts, {b} a map of bytes
_MESSAGES: dict[str, dict[int, tuple[str, str]]] = {
    _META: {
        1: ("name", "s"), 2: ("generateName", "s"), 3: ("namespace", "s"), 5: ("uid", "s"), 6: ("resourceVersion", "s"),
        11: ("labels", "{}"), 12: ("annotations", "{}"), 13: ("ownerReferences", "Owner+"), 14: ("finalizers", "s+"),
    },
    "Owner": {
        1: ("kind", "s"), 3: ("name", "s"), 4: ("uid", "s"), 5: ("apiVersion", "s"), 6: ("controller", "b"),
        7: ("blockOwnerDeletion", "b"),
    },
    "Namespace": {1: ("metadata", _META), 2: ("spec", "NamespaceSpec")},
    "NamespaceSpec": {1: ("finalizers", "s+")},
    "ConfigMap": {1: ("metadata", _META), 2: ("data", "{}"), 3: ("binaryData", "{b}"), 4: ("immutable", "b")},
    "Secret": {
        1: ("metadata", _META), 2: ("data", "{b}"), 3: ("type", "s"), 4: ("stringData", "{}"), 5: ("immutable", "b"),
    },
    "ServiceAccount": {1: ("metadata", _META), 3: ("imagePullSecrets", "Name+")},
    "Name": {1: ("name", "s")},
    "Service": {1: ("metadata", _META), 2: ("spec", "ServiceSpec")},
    "ServiceSpec": {
        1: ("ports", "ServicePort+"), 2: ("selector", "{}"), 3: ("clusterIP", "s"), 4: ("type", "s"),
        10: ("externalName", "s"),
    },
    "ServicePort": {
        1: ("name", "s"), 2: ("protocol", "s"), 3: ("port", "i"), 4: ("targetPort", "IntOrString"),
        5: ("nodePort", "i"),
    },
    "IntOrString": {1: ("type", "i"), 2: ("int", "i"), 3: ("str", "s")},
    "Deployment": {1: ("metadata", _META), 2: ("spec", "DeploymentSpec")},
    "DeploymentSpec": {1: ("replicas", "i"), 2: ("selector", "LabelSelector"), 3: ("template", "PodTemplate")},
    "LabelSelector": {1: ("matchLabels", "{}")},
    "PodTemplate": {1: ("metadata", _META), 2: ("spec", "PodSpec")},
    "Job": {1: ("metadata", _META), 2: ("spec", "JobSpec")},
    "JobSpec": {
        1: ("parallelism", "i"), 2: ("completions", "i"), 3: ("activeDeadlineSeconds", "i"),
        6: ("template", "PodTemplate"),
        7: ("backoffLimit", "i"), 8: ("ttlSecondsAfterFinished", "i"),
    },
    "Pod": {1: ("metadata", _META), 2: ("spec", "PodSpec")},
    "PodSpec": {
        2: ("containers", "Container+"), 3: ("restartPolicy", "s"), 8: ("serviceAccountName", "s"),
        10: ("nodeName", "s"),
    },
    "Container": {
        1: ("name", "s"), 2: ("image", "s"), 3: ("command", "s+"), 4: ("args", "s+"), 5: ("workingDir", "s"),
        6: ("ports", "ContainerPort+"), 7: ("env", "EnvVar+"), 14: ("imagePullPolicy", "s"), 16: ("stdin", "b"),
        18: ("tty", "b"),
    },
    "ContainerPort": {
        1: ("name", "s"), 2: ("hostPort", "i"), 3: ("containerPort", "i"), 4: ("protocol", "s"), 5: ("hostIP", "s"),
    },
    "EnvVar": {1: ("name", "s"), 2: ("value", "s")},
    "SelfSubjectAccessReview": {1: ("metadata", _META), 2: ("spec", "AccessSpec")},
    "AccessSpec": {1: ("resourceAttributes", "Attributes"), 2: ("nonResourceAttributes", "PathAttributes")},
    "Attributes": {
        1: ("namespace", "s"), 2: ("verb", "s"), 3: ("group", "s"), 4: ("version", "s"), 5: ("resource", "s"),
        6: ("subresource", "s"), 7: ("name", "s"),
    },
    "PathAttributes": {1: ("path", "s"), 2: ("verb", "s")},
    "SelfSubjectRulesReview": {1: ("metadata", _META), 2: ("spec", "RulesSpec")},
    "RulesSpec": {1: ("namespace", "s")},
    "SelfSubjectReview": {1: ("metadata", _META)},
    "DeleteOptions": {
        1: ("gracePeriodSeconds", "i"), 2: ("preconditions", "Preconditions"), 3: ("orphanDependents", "b"),
        4: ("propagationPolicy", "s"), 5: ("dryRun", "s+"),
    },
    "Preconditions": {1: ("uid", "s"), 2: ("resourceVersion", "s")},
}  # fmt: skip
_KINDS = frozenset(
    [
        "Namespace",
        "ConfigMap",
        "Secret",
        "ServiceAccount",
        "Service",
        "Deployment",
        "Job",
        "Pod",
        "SelfSubjectAccessReview",
        "SelfSubjectRulesReview",
        "SelfSubjectReview",
        "DeleteOptions",
    ]
)
_TYPE_META = {1: ("apiVersion", "s"), 2: ("kind", "s")}
_KEPT_EMPTY = frozenset(("spec", "metadata"))


def decode(raw: bytes) -> Json:
    """The object in a `application/vnd.kubernetes.protobuf` body. Raises Failure 400 or 415."""
    if not raw.startswith(_MAGIC):
        raise status.bad_request(
            "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"
        )
    try:
        envelope = dict(_fields(raw[len(_MAGIC) :]))
        kind = _message("", bytes(envelope.get(1, b"")), _TYPE_META)
        name = str(kind.get("kind", ""))
        if name not in _KINDS:
            raise status.Failure(
                415,
                f"the body of the request was in an unknown format - application/vnd.kubernetes.protobuf of {name}; "
                "send JSON, as kubectl create -f and kubectl apply do",
            )
        return {**kind, **_message(name, bytes(envelope.get(2, b"")), _MESSAGES[name])}
    except (IndexError, struct.error, UnicodeDecodeError, TypeError) as error:
        raise status.bad_request(f"the protobuf body cannot be decoded: {error}") from error


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = raw[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, at
        shift += 7


def _fields(raw: bytes) -> Iterator[tuple[int, Any]]:
    """(number, value) of each field on the wire; values are integers or bytes."""
    at = 0
    while at < len(raw):
        tag, at = _varint(raw, at)
        number, form = tag >> 3, tag & 7
        if form == 0:
            value, at = _varint(raw, at)
        elif form == 2:
            size, at = _varint(raw, at)
            if at + size > len(raw):
                raise IndexError("a field is longer than the message")
            value, at = raw[at : at + size], at + size
        elif form in (1, 5):
            size = 8 if form == 1 else 4
            value, at = raw[at : at + size], at + size
        else:
            raise IndexError(f"wire type {form} is not known")
        yield number, value


def _message(name: str, raw: bytes, table: dict[int, tuple[str, str]]) -> Any:
    made: Json = {}
    for number, value in _fields(raw):
        if number not in table:
            continue
        field, kind = table[number]
        if kind in ("{}", "{b}"):
            entry = dict(_fields(value))
            content = bytes(entry.get(2, b""))
            text = base64.b64encode(content).decode() if kind == "{b}" else content.decode()
            made.setdefault(field, {})[bytes(entry.get(1, b"")).decode()] = text
        elif kind.endswith("+"):
            made.setdefault(field, []).append(_value(kind[:-1], value))
        else:
            made[field] = _value(kind, value)
    if name == "IntOrString":
        return made.get("str", "") if made.get("type") else made.get("int", 0)
    return {field: value for field, value in made.items() if value not in ("", {}) or field in _KEPT_EMPTY}


def _value(kind: str, value: Any) -> Any:
    if kind == "s":
        return bytes(value).decode()
    if kind == "b":
        return bool(value)
    if kind == "i":
        number = int(value)
        return number - (1 << 64) if number >> 63 else number
    return _message(kind, bytes(value), _MESSAGES[kind])
