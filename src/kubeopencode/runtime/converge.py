"""Makes the objects that an owner wants exist as it wants them, and touches nothing that is not the owner's.

Ownership is a uid: the controller owner reference, or, where an owner reference cannot reach (another namespace), a
label with the owner's uid. What somebody else owns is refused, never adopted. Only fields that are set are compared
and patched, so defaults and other people's fields stay; when nothing differs nothing is written.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from kubeopencode.api import meta
from kubeopencode.kube import client, errors
from kubeopencode.runtime import difference


class Policy(enum.Enum):
    """What may be done to an object once it exists."""

    MERGE = "patch what differs"
    ONCE = "leave it as it was made"  # Pods and Jobs: their specs cannot change
    BLIND = "leave it, unread"  # Secrets: we may create them and may not read them


@dataclass(frozen=True)
class Kind:
    """A kind we make objects of."""

    resource: meta.Resource[Any]
    policy: Policy = Policy.MERGE
    fresh: bool = False
    """Usually absent, so it is created at once and read only when the name is taken: one request in place of two."""


@dataclass(frozen=True)
class Owner:
    """Whose objects these are."""

    api_version: str
    kind: str
    key: meta.Key
    uid: str

    @staticmethod
    def of(resource: meta.Resource[Any], found: meta.Object) -> Owner:
        """`found`, which is of the kind of `resource`, as an owner."""
        return Owner(resource.api_version, resource.kind, found.metadata.key, found.metadata.uid)

    def reference(self) -> meta.Json:
        """The controller owner reference to put on an object."""
        return {
            "apiVersion": self.api_version,
            "kind": self.kind,
            "name": self.key.name,
            "uid": self.uid,
            "controller": True,
            "blockOwnerDeletion": True,
        }


@dataclass(frozen=True)
class Ref:
    """One object by kind and key."""

    kind: str
    key: meta.Key

    def __str__(self) -> str:
        return f"{self.kind} {self.key}"


class NameConflict(Exception):  # noqa: N818 - the condition's name
    """The name is taken by an object that is not the owner's. `leaving`: that object is being deleted already."""

    def __init__(self, ref: Ref, holder: str, leaving: bool) -> None:
        self.ref = ref
        self.leaving = leaving
        super().__init__(f"{ref} belongs to {holder}; delete or rename it, or choose another name")


@dataclass
class Changes:
    """What was done. `leaving` are objects of the owner that are being deleted: they come back in a later pass."""

    created: list[Ref] = field(default_factory=list[Ref])
    patched: list[Ref] = field(default_factory=list[Ref])
    leaving: list[Ref] = field(default_factory=list[Ref])

    def __bool__(self) -> bool:
        """Whether anything was written."""
        return bool(self.created or self.patched)


class _Live(msgspec.Struct, frozen=True):
    metadata: meta.ObjectMeta


class Converger:
    """Converges objects of the given kinds. `uid_label` marks objects in namespaces other than their owner's."""

    def __init__(self, connection: client.Client, kinds: Iterable[Kind], *, uid_label: str = "") -> None:
        self._client = connection
        self._kinds = {(kind.resource.api_version, kind.resource.kind): kind for kind in kinds}
        self._uid_label = uid_label

    async def converge(self, owner: Owner, desired: Iterable[meta.Json]) -> Changes:
        """Bring the objects about, in order. Raises `NameConflict` at the first that is not the owner's."""
        changes = Changes()
        for body in desired:
            kind = self._kind(body)
            marked = self._marked(owner, kind, body)
            ref = Ref(kind.resource.kind, _key(kind, marked))
            if kind.policy is Policy.BLIND:
                if await self._create(kind, marked):
                    changes.created.append(ref)
                continue
            await self._one(owner, kind, marked, changes)
        return changes

    async def prune(
        self,
        owner: Owner,
        resource: meta.Resource[Any],
        found: Iterable[meta.Object],
        keep: Collection[meta.Key] = (),
    ) -> list[meta.Key]:
        """Delete those of `found` that are the owner's and not in `keep`; the keys that were asked to go."""
        deleted: list[meta.Key] = []
        for extra in found:
            metadata = extra.metadata
            if metadata.key in keep or metadata.deletionTimestamp or not self.owns(owner, metadata):
                continue
            options = client.DeleteOptions(uid=metadata.uid, propagation="Background")
            try:
                await self._client.delete(resource, metadata.name, metadata.namespace, options=options)
            except (errors.NotFound, errors.Conflict):
                # Gone already, or another object by now: either way not ours to delete.
                continue
            deleted.append(metadata.key)
        return deleted

    def owns(self, owner: Owner, metadata: meta.ObjectMeta) -> bool:
        """Whether an object with this metadata is the owner's."""
        if metadata.controller is not None:
            return metadata.controller.uid == owner.uid
        elsewhere = metadata.namespace != owner.key.namespace
        return bool(self._uid_label and elsewhere and metadata.labels.get(self._uid_label) == owner.uid)

    async def _one(self, owner: Owner, kind: Kind, body: meta.Json, changes: Changes) -> None:
        key = _key(kind, body)
        ref = Ref(kind.resource.kind, key)
        live = None if kind.fresh else await self._read(kind, key)
        if live is None:
            if await self._create(kind, body):
                changes.created.append(ref)
                return
            # It is there, or somebody was faster; see who.
            live = await self._read(kind, key)
            if live is None:
                raise NameConflict(ref, "an object that was there a moment ago", leaving=True)
        metadata = msgspec.convert(live, _Live, strict=False).metadata
        leaving = metadata.deletionTimestamp is not None
        if not self.owns(owner, metadata):
            raise NameConflict(ref, _holder(metadata), leaving)
        if leaving:
            changes.leaving.append(ref)
            return
        if kind.policy is Policy.ONCE:
            return
        if patch := difference.merge_patch(body, live):
            # The version makes it a patch of what was compared and of nothing else.
            patch.setdefault("metadata", {})["resourceVersion"] = metadata.resourceVersion
            await self._client.patch(_raw(kind.resource), key.name, patch, key.namespace)
            changes.patched.append(ref)

    async def _read(self, kind: Kind, key: meta.Key) -> meta.Json | None:
        try:
            body = await self._client.request("GET", kind.resource.path(key.namespace, key.name))
        except errors.NotFound:
            return None
        return msgspec.json.decode(body, type=meta.Json)

    async def _create(self, kind: Kind, body: meta.Json) -> bool:
        try:
            await self._client.create(_raw(kind.resource), body, _key(kind, body).namespace)
        except errors.AlreadyExists:
            return False
        return True

    def _kind(self, body: meta.Json) -> Kind:
        wanted = (str(body.get("apiVersion", "")), str(body.get("kind", "")))
        if wanted not in self._kinds:
            raise ValueError(f"{wanted[0]} {wanted[1]} is not among the kinds of this converger; add it there")
        return self._kinds[wanted]

    def _marked(self, owner: Owner, kind: Kind, body: meta.Json) -> meta.Json:
        """`body` with its namespace filled in and its owner written on it."""
        metadata = dict(body["metadata"])
        if kind.resource.namespaced:
            metadata.setdefault("namespace", owner.key.namespace)
        if not owner.key.namespace or metadata.get("namespace") == owner.key.namespace:
            metadata["ownerReferences"] = [owner.reference()]
        elif self._uid_label:
            metadata["labels"] = {**metadata.get("labels", {}), self._uid_label: owner.uid}
        else:
            raise ValueError(f"{kind.resource.kind} {metadata['name']}: no owner reference reaches another namespace")
        return {**body, "metadata": metadata}


def owner_uids(found: meta.Object) -> Iterable[str]:
    """An index for stores: objects by the uid of their controller owner."""
    owner = found.metadata.controller
    return (owner.uid,) if owner else ()


def _key(kind: Kind, body: meta.Json) -> meta.Key:
    metadata = body["metadata"]
    return meta.Key(metadata.get("namespace", "") if kind.resource.namespaced else "", metadata["name"])


def _raw(resource: meta.Resource[Any]) -> meta.Resource[meta.PartialObject]:
    """The same collection, of which only the answer's metadata is read."""
    return replace(resource, type=meta.PartialObject)


def _holder(metadata: meta.ObjectMeta) -> str:
    owner = metadata.controller
    return f"{owner.kind} {owner.name} (uid {owner.uid})" if owner else "nobody we know"
