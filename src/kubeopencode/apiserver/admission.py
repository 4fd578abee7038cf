"""What happens to an object between the request and the storage: system fields, schema, generation.

Pure but for the clock and the uid generator. It answers with the object to store or refuses with a `Failure`.
"""

from __future__ import annotations

import secrets
import uuid
from dataclasses import dataclass, field

from kubeopencode.api.meta import Json
from kubeopencode.apiserver import cel, defaults, names, objects, pruning, status, validation
from kubeopencode.apiserver.registry import Kind
from kubeopencode.apiserver.status import Cause

MAX_OBJECT = 1_572_864
"""Bytes one stored object may have, 1.5 MiB as with etcd."""
_SUFFIX = "bcdfghjklmnpqrstvwxz2456789"
_DECODED = ("apiVersion", "kind", "metadata")
_SYSTEM = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink")


@dataclass
class Options:
    """How a write was asked for, and the warnings it collects."""

    manager: str = "unknown"
    dry_run: bool = False
    validation: str = "Warn"
    force: bool = False
    subresource: str = ""
    operation: str = "Update"
    """Update, or Apply for server-side apply, which does its own book-keeping."""
    warnings: list[str] = field(default_factory=list[str])


def suffix() -> str:
    """Five random characters for generateName."""
    return "".join(secrets.choice(_SUFFIX) for _ in range(5))


def shape(kind: Kind, obj: Json, options: Options) -> None:
    """Prune or report unknown fields and fill in defaults, after `check_types`. Raises Failure 400 in strict mode."""
    node = kind.schema
    if node is None:
        return
    unknown: list[str] = []
    pruning.prune(node, obj, "", unknown)
    if unknown and options.validation != "Ignore":
        words = [f'unknown field "{path}"' for path in unknown]
        if options.validation == "Strict":
            raise status.bad_request(
                f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: '
                f"strict decoding error: {', '.join(words)}"
            )
        options.warnings += words
    pruning.default(node, obj)
    defaults.apply(kind, obj)


def prepare_create(kind: Kind, obj: Json, namespace: str, options: Options) -> None:
    """Make `obj` fit to be stored for the first time. Raises Failure 400 or 422."""
    meta = objects.metadata(obj)
    for name in (*_SYSTEM, "resourceVersion", "generation"):
        meta.pop(name, None)
    meta["uid"] = str(uuid.uuid4())
    meta["creationTimestamp"] = objects.now()
    if kind.namespaced:
        meta["namespace"] = namespace
    if kind.status:
        obj.pop("status", None)
    shape(kind, obj, options)
    if kind.generation:
        meta["generation"] = 1
    defaults.on_create(kind, obj)
    check(kind, obj, None)


def prepare_update(kind: Kind, old: Json, new: Json, options: Options) -> None:
    """Make `new` fit to replace `old`. Raises Failure 400, 409 or 422."""
    if options.subresource == "status":
        _keep_all_but_status(old, new)
    elif kind.status:
        _keep_status(old, new)
    meta, before = objects.metadata(new), objects.metadata(old)
    shape(kind, new, options)
    _keep_system_fields(kind, before, meta)
    if kind.generation and _specification(kind, old) != _specification(kind, new):
        meta["generation"] = int(before.get("generation") or 0) + 1
    check(kind, new, old)


def _keep_all_but_status(old: Json, new: Json) -> None:
    for name in [name for name in new if name not in old and name != "status"]:
        del new[name]
    for name, value in old.items():
        if name not in ("metadata", "status") and not objects.identical(new.get(name), value):
            new[name] = objects.copy(value)
    before, managed = dict(objects.metadata(old)), objects.metadata(new).get("managedFields")
    stored = before.pop("managedFields", None)
    meta = new["metadata"] = objects.clone(before)
    if managed is not None or stored is not None:
        meta["managedFields"] = stored if managed is None else managed
    if new.get("status") is None:
        new.pop("status", None)


def _keep_status(old: Json, new: Json) -> None:
    if "status" not in old:
        new.pop("status", None)
    elif not objects.identical(new.get("status"), old["status"]):
        new["status"] = objects.copy(old["status"])


def _keep_system_fields(kind: Kind, before: Json, meta: Json) -> None:
    for name in (*_SYSTEM, "generation", "name", "namespace", "generateName"):
        if name in before:
            meta[name] = before[name]
        else:
            meta.pop(name, None)
    if not kind.namespaced:
        meta.pop("namespace", None)


def _specification(kind: Kind, obj: Json) -> Json:
    return {name: value for name, value in obj.items() if name != "metadata" and not (kind.status and name == "status")}


def check(kind: Kind, obj: Json, old: Json | None) -> None:
    """Refuse what the schema, the rules or the names do not allow. Raises Failure 422."""
    meta = objects.metadata(obj)
    causes = names.check_metadata(kind.collection, meta)
    if old is not None and meta.get("deletionTimestamp"):
        causes += _new_finalizers(objects.metadata(old), meta)
    if kind.schema is not None and kind.custom:
        for name, node in kind.schema.properties.items():
            if name in obj and name != "metadata":
                validation.validate(node, obj[name], name, causes)
        causes += [status.required(name) for name in kind.schema.required if name not in obj]
        if not causes and kind.schema.deep_rules:
            causes += cel.check(kind.schema, obj, old)
    elif not kind.custom:
        causes += defaults.check(kind, obj, old)
    if causes:
        raise status.invalid(kind.kind, kind.group, str(meta.get("name", "")), causes)
    if kind.check is not None:
        kind.check(obj, old)


def check_types(kind: Kind, obj: Json) -> None:
    """Refuse what a typed server could not decode: metadata of every kind, all of a built-in. Raises Failure 400."""
    node = kind.schema
    if node is None:
        return
    pruning.drop_nulls(node, obj)
    found: list[Cause] = []
    for name, child in node.properties.items():
        if name in obj and (not kind.custom or name in _DECODED):
            validation.validate(child, obj[name], name, found)
    wrong = next((cause for cause in found if cause.reason == "FieldValueTypeInvalid"), None)
    if wrong is not None:
        raise status.bad_request(f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: {wrong}')


def _new_finalizers(before: Json, meta: Json) -> list[Cause]:
    added = [name for name in meta.get("finalizers") or () if name not in (before.get("finalizers") or ())]
    if not added:
        return []
    detail = f"no new finalizers can be added if the object is being deleted, found new finalizers {added!r}"
    return [status.forbidden_field("metadata.finalizers", detail.replace("'", '"'))]


def check_size(kind: Kind, raw: bytes) -> None:
    """Refuse an object that is larger than a real server would store. Raises Failure 413."""
    if len(raw) > MAX_OBJECT:
        raise status.Failure(413, f"Request entity too large: limit is {MAX_OBJECT} bytes for one {kind.kind}")
