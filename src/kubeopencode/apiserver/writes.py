"""Create, update and patch: one path for every kind, from what a client sent to what is stored.

Decides nothing about HTTP. Every method is one atomic step: nothing awaits between reading the old object and storing
the new one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, cast

from kubeopencode.api.meta import Json, Key
from kubeopencode.apiserver import admission, conversion, fields, objects, schema, status
from kubeopencode.apiserver.admission import Options
from kubeopencode.apiserver.builtins import NAMESPACES
from kubeopencode.apiserver.registry import Kind
from kubeopencode.apiserver.storage import Place, Storage

GENERATE_ATTEMPTS = 8


@dataclass(frozen=True)
class Target:
    """What a request is about: a kind, and an object of it or all of them."""

    kind: Kind
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @property
    def place(self) -> Place:
        """Where the object is stored."""
        return Place(self.kind.collection, Key(self.namespace, self.name))

    def missing(self) -> status.Failure:
        """The refusal that there is no such object."""
        return status.not_found(self.kind.plural, self.kind.group, self.name)


class Writer:
    """All writes that make or change objects."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def read(self, target: Target) -> Json | None:
        """The object as the target's version shows it."""
        record = self._storage.get(target.place)
        return None if record is None else conversion.show(target.kind, objects.decode(record.raw))

    def create(self, target: Target, body: Json, options: Options) -> Json:
        """Store a new object and return it. Raises Failure."""
        kind = target.kind
        meta = check_body(target, body)
        if not meta.get("name") and meta.get("generateName"):
            meta["name"] = self._generate(target, str(meta["generateName"]))
        namespace = target.namespace if kind.namespaced else ""
        place = Place(kind.collection, Key(namespace, str(meta.get("name") or "")))
        if kind.namespaced:
            self._need_namespace(target, namespace, place.key.name)
        if self._storage.get(place) is not None:
            raise status.already_exists(kind.plural, kind.group, place.key.name)
        managed = meta.pop("managedFields", None)
        admission.prepare_create(kind, body, namespace, options)
        if options.operation == "Apply":
            meta["managedFields"] = managed
        else:
            fields.track(kind, None, body, options)
        return self._finish(kind, place, body, options)

    def _generate(self, target: Target, prefix: str) -> str:
        for _ in range(GENERATE_ATTEMPTS):
            name = prefix[:58] + admission.suffix()
            if self._storage.get(Place(target.kind.collection, Key(target.namespace, name))) is None:
                return name
        raise status.already_exists(target.kind.plural, target.kind.group, prefix)

    def _need_namespace(self, target: Target, namespace: str, name: str) -> None:
        record = self._storage.get(Place(NAMESPACES, Key("", namespace)))
        if record is None:
            raise status.not_found("namespaces", "", namespace)
        if record.fields.get("status.phase") == "Terminating" and target.kind.collection != "events.k8s.io/events":
            where = status.qualified(target.kind.plural, target.kind.group)
            raise status.Failure(
                403,
                f'{where} "{name}" is forbidden: unable to create new content in namespace {namespace} because it is '
                "being terminated",
                details={"name": name, "kind": target.kind.plural, "causes": [{"reason": "NamespaceTerminating"}]},
            )

    def update(self, target: Target, body: Json, options: Options) -> Json:
        """Replace an object with what a client read and changed. Raises Failure."""
        return self.change(target, lambda _: body, options)

    def change(self, target: Target, edit: Callable[[Json], Json], options: Options) -> Json:
        """Replace an object by what `edit` makes of a copy of it; returns the stored result. Raises Failure."""
        record = self._storage.get(target.place)
        if record is None:
            raise target.missing()
        old = conversion.show(target.kind, objects.decode(record.raw))
        new = edit(conversion.show(target.kind, objects.decode(record.raw)))
        kind = _sparing(target.kind, old, new)
        check_body(replace(target, kind=kind), new)
        meta = objects.metadata(new)
        _check_precondition(target, meta, record.version, record.uid)
        before = objects.metadata(old)
        if options.operation != "Apply":
            meta["managedFields"] = before.get("managedFields", [])
        admission.prepare_update(kind, old, new, options)
        if options.operation != "Apply":
            fields.track(kind, old, new, options)
        return self._replace(target, old, new, options)

    def _replace(self, target: Target, old: Json, new: Json, options: Options) -> Json:
        meta = objects.metadata(new)
        meta["resourceVersion"] = objects.metadata(old).get("resourceVersion")
        if _same(old, new):
            return old
        if finished(target.kind, new):
            if not options.dry_run:
                self._storage.remove(target.place, conversion.keep(target.kind, new))
            return conversion.show(target.kind, new)
        return self._finish(target.kind, target.place, new, options)

    def _finish(self, kind: Kind, place: Place, obj: Json, options: Options) -> Json:
        stored = conversion.keep(kind, obj)
        admission.check_size(kind, objects.encode(stored))
        if options.dry_run:
            return obj
        self._storage.put(place, stored)
        return conversion.show(kind, stored)


def _sparing(kind: Kind, old: Json, new: Any) -> Kind:
    """The kind with a schema that passes over what was stored before and stays as it is.

    A status write is most often small and its object is not. Only what a built-in schema says is spared: a custom one
    may have changed since the object was stored.
    """
    if kind.schema is None or not isinstance(new, dict):
        return kind
    after = cast(Json, new)
    names = ("metadata",) if kind.custom else old
    same = [name for name in names if objects.identical(after.get(name), old[name])]
    return replace(kind, schema=schema.settled(kind.schema, same))


def finished(kind: Kind, obj: Json) -> bool:
    """Whether a deletion has nothing left to wait for."""
    meta = objects.metadata(obj)
    if not meta.get("deletionTimestamp") or meta.get("finalizers") or meta.get("deletionGracePeriodSeconds"):
        return False
    return kind.collection != NAMESPACES or not objects.items(objects.section(obj, "spec"), "finalizers")


def check_body(target: Target, body: Any) -> Json:
    """The metadata of an object that was sent, once it is what the path says. Raises Failure 400."""
    kind = target.kind
    if not isinstance(body, dict):
        raise status.bad_request("the body of the request is not a JSON object")
    obj = cast(Json, body)
    admission.check_types(kind, obj)
    meta = objects.metadata(obj)
    api_version, name = obj.setdefault("apiVersion", kind.api_version), obj.setdefault("kind", kind.kind)
    if api_version != kind.api_version or name != kind.kind:
        raise status.bad_request(
            f"the API version and kind in the data ({api_version}, Kind={name}) do not match the expected API version "
            f"and kind ({kind.api_version}, Kind={kind.kind})"
        )
    namespace = meta.get("namespace")
    if kind.namespaced and namespace and namespace != target.namespace:
        raise status.bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    if target.name and meta.setdefault("name", target.name) != target.name:
        raise status.bad_request(
            f"the name of the object ({meta['name']}) does not match the name on the URL ({target.name})"
        )
    return meta


def _check_precondition(target: Target, meta: Json, version: int, uid: str) -> None:
    kind = target.kind
    wanted = meta.get("resourceVersion")
    if wanted and str(wanted) != str(version):
        raise status.conflict(kind.plural, kind.group, target.name, status.MODIFIED)
    if meta.get("uid") and meta["uid"] != uid:
        why = f"Precondition failed: UID in precondition: {meta['uid']}, UID in object meta: {uid}"
        raise status.conflict(kind.plural, kind.group, target.name, why)


def _same(old: Json, new: Json) -> bool:
    before, after = objects.metadata(old), objects.metadata(new)
    if any(old.get(name) != new.get(name) for name in old.keys() | new.keys() if name != "metadata"):
        return False
    names = (before.keys() | after.keys()) - {"managedFields"}
    if any((before.get(name) or None) != (after.get(name) or None) for name in names):
        return False
    return fields.same(before.get("managedFields"), after.get("managedFields"))
