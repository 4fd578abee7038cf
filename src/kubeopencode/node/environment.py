"""A container's environment, command and downward fields, resolved as the kubelet does. Reads no clock, does no I/O.

The order is Kubernetes': the image's variables, then `envFrom`, then `env`; `$(NAME)` refers to what came before and
`$$` is a dollar.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from kubeopencode.api import core, meta
from kubeopencode.api.core import Quantity

_REFERENCE = re.compile(r"\$(\$|\(([^()$\s]*)\))")
_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]\Z")
_DECIMAL = {"n": 1e-9, "u": 1e-6, "m": 1e-3, "": 1, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}
_BINARY = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "Ei": 2**60}
_FACTORS = {**_DECIMAL, **_BINARY}
_QUANTITY = re.compile(r"([+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?)([A-Za-z]*)\Z")
_VARIABLE = re.compile(r"[^=\x00]+\Z")


class ConfigError(Exception):
    """A container asks for what is not there; the text is what the kubelet says."""


@dataclass(frozen=True)
class Sources:
    """The ConfigMaps and Secrets of the Pod's namespace that were found, by name."""

    config_maps: Mapping[str, core.ConfigMap] = field(default_factory=dict[str, core.ConfigMap])
    secrets: Mapping[str, core.Secret] = field(default_factory=dict[str, core.Secret], repr=False)


@dataclass(frozen=True)
class Place:
    """Where a Pod runs: what the downward API can tell beyond the Pod itself."""

    node: str
    ip: str
    host_ip: str = "127.0.0.1"


def wanted(container: core.Container) -> tuple[set[str], set[str]]:
    """The names of the ConfigMaps and of the Secrets that a container's environment reads."""
    maps: set[str] = set()
    secrets: set[str] = set()
    for source in container.envFrom:
        maps |= {source.configMapRef.name} if source.configMapRef else set()
        secrets |= {source.secretRef.name} if source.secretRef else set()
    for variable in container.env:
        origin = variable.valueFrom or core.EnvVarSource()
        maps |= {origin.configMapKeyRef.name} if origin.configMapKeyRef else set()
        secrets |= {origin.secretKeyRef.name} if origin.secretKeyRef else set()
    return maps, secrets


def resolve(
    pod: core.Pod, container: core.Container, base: Mapping[str, str], sources: Sources, place: Place
) -> dict[str, str]:
    """Every variable of a container. Raises `ConfigError`."""
    found = dict(base)
    for source in container.envFrom:
        found |= _whole(source, sources, pod.metadata.namespace)
    for variable in container.env:
        if not _VARIABLE.match(variable.name):
            raise ConfigError(f'env name "{variable.name!r}" contains "=" or NUL')
        if variable.valueFrom is None:
            found[variable.name] = expand(variable.value, found)
            continue
        value = _origin(pod, container, variable.valueFrom, sources, place)
        if value is not None:
            found[variable.name] = value
    # An environment cannot hold NUL; the kernel would cut the value there.
    return {name: value.replace("\0", "") for name, value in found.items()}


def expand(text: str, variables: Mapping[str, str]) -> str:
    """`$(NAME)` replaced by its value; an unknown name stays as it is, `$$(NAME)` becomes `$(NAME)`."""

    def replace(match: re.Match[str]) -> str:
        if match[1] == "$":
            return "$"
        return variables.get(match[2], match[0])

    return _REFERENCE.sub(replace, text)


def downward(pod: core.Pod, path: str, place: Place) -> str:
    """A field of the Pod as text. Raises `ConfigError` for a field that the downward API does not offer."""
    if match := _SUBSCRIPT.match(path):
        return (pod.metadata.labels if match[1] == "labels" else pod.metadata.annotations).get(match[2], "")
    plain = {
        "metadata.name": pod.metadata.name,
        "metadata.namespace": pod.metadata.namespace,
        "metadata.uid": pod.metadata.uid,
        "metadata.labels": _lines(pod.metadata.labels),
        "metadata.annotations": _lines(pod.metadata.annotations),
        "spec.nodeName": place.node,
        "spec.serviceAccountName": pod.spec.serviceAccountName or "default",
        "status.podIP": place.ip,
        "status.podIPs": place.ip,
        "status.hostIP": place.host_ip,
        "status.hostIPs": place.host_ip,
    }
    if path not in plain:
        raise ConfigError(f"unsupported fieldPath: {path}")
    return plain[path]


def resource(container: core.Container, name: str, divisor: Quantity = "1") -> str:
    """A container's own limit or request in units of `divisor`, rounded up; 0 where none is set."""
    kind, _, amount = name.partition(".")
    asked = container.resources.limits if kind == "limits" else container.resources.requests
    value = quantity(asked.get(amount, 0))
    unit = quantity(divisor) or 1
    return str(-(-value // unit).__int__())


def quantity(amount: Quantity) -> float:
    """An amount such as `500m` or `2Gi` as a number. Raises `ConfigError`."""
    match = _QUANTITY.match(str(amount))
    if match is None or match[2] not in _FACTORS:
        raise ConfigError(f'"{amount}" is not a quantity such as 500m or 2Gi')
    return float(match[1]) * _FACTORS[match[2]]


def _lines(table: Mapping[str, str]) -> str:
    return "\n".join(f'{name}="{value}"' for name, value in sorted(table.items()))


def _whole(source: core.EnvFromSource, sources: Sources, namespace: str) -> dict[str, str]:
    content: dict[str, str] = {}
    if ref := source.configMapRef:
        config_map = sources.config_maps.get(ref.name)
        if config_map is None and not ref.optional:
            raise ConfigError(f'configmap "{ref.name}" not found')
        content = dict(config_map.data) if config_map else {}
    elif ref := source.secretRef:
        secret = sources.secrets.get(ref.name)
        if secret is None and not ref.optional:
            raise ConfigError(f'secret "{ref.name}" not found')
        content = {name: value.decode("utf-8", "replace") for name, value in secret.data.items()} if secret else {}
    return {source.prefix + name: value for name, value in content.items() if _VARIABLE.match(source.prefix + name)}


def _origin(
    pod: core.Pod, container: core.Container, origin: core.EnvVarSource, sources: Sources, place: Place
) -> str | None:
    """The value a variable is to get; None for an optional one that is absent."""
    if ref := origin.configMapKeyRef:
        config_map = sources.config_maps.get(ref.name)
        return _key("configmap", ref, pod.metadata, config_map.data if config_map else None)
    if ref := origin.secretKeyRef:
        secret = sources.secrets.get(ref.name)
        texts = {name: value.decode("utf-8", "replace") for name, value in secret.data.items()} if secret else None
        return _key("secret", ref, pod.metadata, texts)
    if origin.fieldRef:
        return downward(pod, origin.fieldRef.fieldPath, place)
    if origin.resourceFieldRef:
        return resource(container, origin.resourceFieldRef.resource, origin.resourceFieldRef.divisor)
    return ""


def _key(kind: str, ref: core.KeyRef, owner: meta.ObjectMeta, content: Mapping[str, str] | None) -> str | None:
    if content is not None and ref.key in content:
        return content[ref.key]
    if ref.optional:
        return None
    if content is None:
        raise ConfigError(f'{kind} "{ref.name}" not found')
    words = {"configmap": "ConfigMap", "secret": "Secret"}
    raise ConfigError(f"couldn't find key {ref.key} in {words[kind]} {owner.namespace}/{ref.name}")
