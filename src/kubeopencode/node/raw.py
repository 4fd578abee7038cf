"""Objects as they are on the server, whole: templates are copied, never rebuilt from the part of them that we model."""

from __future__ import annotations

from typing import Any

import msgspec

from kubeopencode.api import meta
from kubeopencode.kube import client, errors


async def read(connection: client.Client, resource: meta.Resource[Any], key: meta.Key) -> meta.Json | None:
    """The object's JSON, or None."""
    try:
        body = await connection.request("GET", resource.path(key.namespace, key.name))
    except errors.NotFound:
        return None
    return msgspec.json.decode(body, type=dict[str, Any])


def section(found: meta.Json, name: str) -> meta.Json:
    """A part of an object that may be absent or null: then an empty one."""
    part: meta.Json = found.get(name) or {}
    return part


def owner(resource: meta.Resource[Any], found: meta.ObjectMeta) -> meta.Json:
    """The owner reference of a controller, as it goes on what it makes."""
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "name": found.name,
        "uid": found.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def pod(template: meta.Json, namespace: str, prefix: str, reference: meta.Json) -> meta.Json:
    """A Pod of a template, named by the server from a prefix."""
    told = section(template, "metadata")
    metadata: meta.Json = {"generateName": prefix, "namespace": namespace, "ownerReferences": [reference]}
    metadata |= {name: told[name] for name in ("labels", "annotations", "finalizers") if told.get(name)}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": section(template, "spec")}
