"""What every Kubernetes object has: its metadata, its address, its conditions. No kind of ours is named here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, NamedTuple, Protocol, TypeAlias, TypeVar

import msgspec

Json: TypeAlias = dict[str, Any]
"""A JSON object as it travels: what we render and what the embedded server stores."""


class Key(NamedTuple):
    """The address of one object among its kind; `namespace` is empty for cluster-scoped kinds."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


class OwnerReference(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Who an object belongs to. Ownership is a uid, never a name."""

    apiVersion: str
    kind: str
    name: str
    uid: str
    controller: bool = False
    blockOwnerDeletion: bool = False


class ObjectMeta(msgspec.Struct, frozen=True, omit_defaults=True):
    """The part of `metadata` that controllers read."""

    name: str = ""
    generateName: str = ""
    namespace: str = ""
    uid: str = ""
    resourceVersion: str = ""
    generation: int = 0
    creationTimestamp: datetime | None = None
    deletionTimestamp: datetime | None = None
    deletionGracePeriodSeconds: int | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    finalizers: tuple[str, ...] = ()
    ownerReferences: tuple[OwnerReference, ...] = ()

    @property
    def key(self) -> Key:
        """The object's address among its kind."""
        return Key(self.namespace, self.name)

    @property
    def controller(self) -> OwnerReference | None:
        """The owner that manages this object, if it has one."""
        for owner in self.ownerReferences:
            if owner.controller:
                return owner
        return None


class Condition(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One observation of an object's state, as `metav1.Condition` has it."""

    type: str
    status: str
    reason: str = ""
    message: str = ""
    lastTransitionTime: datetime | None = None
    observedGeneration: int = 0


class Object(Protocol):
    """Anything with metadata: the least a cache or a queue must know."""

    @property
    def metadata(self) -> ObjectMeta:
        """Name, labels, owners, versions."""
        ...


class PartialObject(msgspec.Struct, frozen=True):
    """An object of which only the metadata matters."""

    metadata: ObjectMeta
    apiVersion: str = ""
    kind: str = ""


T = TypeVar("T", bound=Object)
T_co = TypeVar("T_co", bound=Object, covariant=True)


@dataclass(frozen=True)
class Resource(Generic[T_co]):
    """Where a kind lives in the API and the type its objects decode into."""

    group: str
    version: str
    kind: str
    plural: str
    type: type[T_co]
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """`v1` for the core group, `group/version` for all others."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The URL path of a collection, an object or a subresource. An empty namespace means all of them."""
        parts = ["/apis", self.group, self.version] if self.group else ["/api", self.version]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        parts += [part for part in (name, subresource) if part]
        return "/".join(parts)
