"""Deletion: grace periods, finalizers, propagation, whole collections. The cascade itself is `gc`'s."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from kubeopencode.api.meta import Json
from kubeopencode.apiserver import conversion, objects, status
from kubeopencode.apiserver.builtins import CRDS, NAMESPACES, PODS
from kubeopencode.apiserver.selectors import Selector
from kubeopencode.apiserver.storage import Place, Storage
from kubeopencode.apiserver.writes import Target, finished

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
IMMORTAL = ("default", "kube-public", "kube-system")
"""Namespaces that a real server does not let go either."""


@dataclass(frozen=True)
class DeleteOptions:
    """What a DELETE request asks for; `grace` is in seconds."""

    grace: int | None = None
    propagation: str = ""
    uid: str = ""
    version: str = ""
    dry_run: bool = False


def read_options(body: Any, query: dict[str, str]) -> DeleteOptions:
    """The options of a request, from its body or its query. Raises Failure 400."""
    given = cast(Json, body) if isinstance(body, dict) else {}
    seconds = given.get("gracePeriodSeconds", query.get("gracePeriodSeconds"))
    try:
        grace = None if seconds in (None, "") else int(str(seconds))
    except ValueError as error:
        raise status.bad_request(f"gracePeriodSeconds: {seconds!r} is not a number of seconds") from error
    propagation = given.get("propagationPolicy") or query.get("propagationPolicy") or ""
    if not propagation and given.get("orphanDependents") is True:
        propagation = "Orphan"
    if propagation not in ("", "Background", "Foreground", "Orphan"):
        raise status.bad_request(f'propagationPolicy: "{propagation}" is none of Background, Foreground and Orphan')
    preconditions = objects.section(given, "preconditions")
    return DeleteOptions(
        grace=grace,
        propagation=propagation,
        uid=str(preconditions.get("uid") or ""),
        version=str(preconditions.get("resourceVersion") or ""),
        dry_run=bool(given.get("dryRun")) or query.get("dryRun") == "All",
    )


class Deleter:
    """All deletions."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def delete(self, target: Target, options: DeleteOptions) -> tuple[Json, bool]:
        """Delete one object: its last or present state, and whether it is gone. Raises Failure 404 or 409."""
        record = self._storage.get(target.place)
        if record is None:
            raise target.missing()
        if target.kind.collection == NAMESPACES and target.place.key.name in IMMORTAL:
            name = target.place.key.name
            raise status.Failure(
                403,
                f'namespaces "{name}" is forbidden: this namespace may not be deleted',
                details={"name": name, "kind": "namespaces"},
            )
        _check(target, options, record.uid, str(record.version))
        obj = conversion.show(target.kind, objects.decode(record.raw))
        meta = objects.metadata(obj)
        before = objects.clone(meta)
        self._mark(target, obj, options)
        if options.dry_run:
            return obj, finished(target.kind, obj)
        if finished(target.kind, obj):
            if options.propagation == "Orphan":
                self.orphan(record.uid)
            if target.kind.collection == CRDS:
                self._purge(obj)
            self._storage.remove(target.place, conversion.keep(target.kind, obj))
            return obj, True
        if meta != before:
            self._storage.put(target.place, conversion.keep(target.kind, obj))
        return obj, False

    def _mark(self, target: Target, obj: Json, options: DeleteOptions) -> None:
        meta = objects.metadata(obj)
        grace = _grace(target, obj, options)
        if not meta.get("deletionTimestamp"):
            moment = datetime.now(UTC) + timedelta(seconds=grace)
            meta["deletionTimestamp"] = objects.stamp(moment)
            meta["deletionGracePeriodSeconds"] = grace
            if meta.get("generation"):
                meta["generation"] = int(meta["generation"]) + 1
        elif grace < int(meta.get("deletionGracePeriodSeconds") or 0):
            meta["deletionGracePeriodSeconds"] = grace
        held: list[str] = list(meta.get("finalizers") or ())
        if options.propagation == "Foreground" and FOREGROUND not in held:
            held.append(FOREGROUND)
        elif options.propagation == "Orphan" and held and ORPHAN not in held:
            held.append(ORPHAN)
        if held:
            meta["finalizers"] = held
        if target.kind.collection == NAMESPACES and objects.items(objects.section(obj, "spec"), "finalizers"):
            obj.setdefault("status", {})["phase"] = "Terminating"
            meta["deletionGracePeriodSeconds"] = 0

    def _purge(self, crd: Json) -> None:
        """Remove the objects of a kind that is about to disappear, finalizers or not: nobody could serve them."""
        spec = objects.section(crd, "spec")
        collection = f"{spec['group']}/{objects.section(spec, 'names')['plural']}"
        for key, record in list(self._storage.walk(collection)):
            self._storage.remove(Place(collection, key), objects.decode(record.raw))

    def orphan(self, uid: str) -> None:
        """Take this owner out of all objects that name it."""
        for place in self._storage.dependents(uid):
            record = self._storage.get(place)
            if record is None:
                continue
            obj = objects.decode(record.raw)
            meta = objects.metadata(obj)
            meta["ownerReferences"] = [owner for owner in meta["ownerReferences"] if owner.get("uid") != uid]
            if not meta["ownerReferences"]:
                del meta["ownerReferences"]
            self._storage.put(place, obj)

    def delete_all(self, target: Target, selector: Selector, options: DeleteOptions) -> list[Json]:
        """Delete what is selected; the objects as they were left."""
        kind = target.kind
        found: list[Json] = []
        for key, record in list(self._storage.walk(kind.collection, target.namespace)):
            if selector.matches(key, record.labels, record.fields):
                obj, _ = self.delete(Target(kind, key.namespace, key.name), options)
                found.append(obj)
        return found


def _grace(target: Target, obj: Json, options: DeleteOptions) -> int:
    if target.kind.collection != PODS:
        return 0
    spec, state = objects.section(obj, "spec"), objects.section(obj, "status")
    if not spec.get("nodeName") or state.get("phase") in ("Succeeded", "Failed"):
        return 0
    if options.grace is not None:
        return max(0, options.grace)
    return int(spec.get("terminationGracePeriodSeconds", 30))


def _check(target: Target, options: DeleteOptions, uid: str, version: str) -> None:
    kind = target.kind
    if options.uid and options.uid != uid:
        why = f"Precondition failed: UID in precondition: {options.uid}, UID in object meta: {uid}"
        raise status.conflict(kind.plural, kind.group, target.name, why)
    if options.version and options.version != version:
        why = (
            f"Precondition failed: ResourceVersion in precondition: {options.version}, "
            f"ResourceVersion in object meta: {version}"
        )
        raise status.conflict(kind.plural, kind.group, target.name, why)
