"""OpenAPI documents from the same schemas that check objects: v3 for each group version, v2 in one piece.

kubectl reads v3 for `explain` and to learn that the server validates fields; its old versions read v2.
"""

from __future__ import annotations

import hashlib
from typing import Any, cast

from kubeopencode.api.meta import Json
from kubeopencode.apiserver import gnostic, objects
from kubeopencode.apiserver.registry import Kind, Registry
from kubeopencode.apiserver.schema import Schema

_QUERY = ("dryRun", "fieldManager", "fieldValidation", "force", "pretty")


def type_name(kind: Kind) -> str:
    """The name of a kind's schema, by the reversed group as the real server names it."""
    if not kind.custom:
        group = kind.group.partition(".")[0] or "core"
        return f"io.k8s.api.{group}.{kind.version}.{kind.kind}"
    return ".".join([*reversed(kind.group.split(".")), kind.version, kind.kind])


def _body(kind: Kind) -> Json:
    schema: Schema | None = kind.schema
    source = dict(schema.source) if schema is not None else {"type": "object"}
    source.pop("x-builtin", None)
    source = cast(Json, _plain(source))
    properties: Json = {
        "apiVersion": {"type": "string", "description": "The version of the schema of this object."},
        "kind": {"type": "string", "description": "What this object is."},
        "metadata": {"type": "object", "description": "Data that every object has: name, labels, owners."},
    }
    source["properties"] = {**objects.section(source, "properties"), **properties}
    source["x-kubernetes-group-version-kind"] = [{"group": kind.group, "version": kind.version, "kind": kind.kind}]
    return source


def _plain(node: Any) -> Any:
    """A schema in which int-or-string has a type that every reader knows."""
    if isinstance(node, dict):
        made = {name: _plain(child) for name, child in cast(Json, node).items()}
        if made.get("x-kubernetes-int-or-string") is True and "type" not in made:
            made |= {"type": "string", "format": "int-or-string"}
        return made
    if isinstance(node, list):
        return [_plain(child) for child in cast("list[Any]", node)]
    return node


def _list_body(kind: Kind) -> Json:
    return {
        "type": "object",
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "items": {"type": "array", "items": {"$ref": f"#/components/schemas/{type_name(kind)}"}},
        },
        "x-kubernetes-group-version-kind": [{"group": kind.group, "version": kind.version, "kind": kind.list_kind}],
    }


def _path(kind: Kind) -> str:
    root = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
    return f"{root}/namespaces/{{namespace}}/{kind.plural}" if kind.namespaced else f"{root}/{kind.plural}"


def _operation(kind: Kind, action: str) -> Json:
    verb = {"put": "put", "patch": "patch", "post": "post"}[action]
    reference = {"$ref": f"#/components/schemas/{type_name(kind)}"}
    body_type = "application/apply-patch+yaml" if action == "patch" else "application/json"
    return {
        "operationId": f"{verb}{kind.version.title()}{kind.kind}",
        "parameters": [
            {"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": True}} for name in _QUERY
        ],
        "requestBody": {"content": {body_type: {"schema": reference}}},
        "responses": {"200": {"description": "OK", "content": {"application/json": {"schema": reference}}}},
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": {"group": kind.group, "version": kind.version, "kind": kind.kind},
    }


class OpenApi:
    """The documents, made when asked for and kept until the kinds change."""

    def __init__(self, registry: Registry, version: str) -> None:
        self._registry = registry
        self._version = version
        self._made: dict[str, bytes] = {}
        self._generation = 0

    def _kept(self, path: str) -> bytes | None:
        if self._generation != self._registry.generation:
            self._made.clear()
            self._generation = self._registry.generation
        return self._made.get(path)

    def document(self, path: str) -> bytes | None:
        """The document at a path below `/openapi`; None when there is none."""
        found = self._kept(path)
        if found is not None:
            return found
        body = self._make(path)
        if body is None:
            return None
        raw = self._made[path] = objects.encode(body)
        return raw

    def protobuf(self) -> bytes:
        """The second version as protobuf."""
        found = self._kept("protobuf")
        if found is None:
            found = self._made["protobuf"] = gnostic.encode(self._second())
        return found

    def _make(self, path: str) -> Json | None:
        if path == "/openapi/v2":
            return self._second()
        if path == "/openapi/v3":
            return {"paths": {name: {"serverRelativeURL": self._hashed(name)} for name in self._names()}}
        group, version = _group_version(path.removeprefix("/openapi/v3/"))
        kinds = self._registry.of(group, version)
        return self._third(kinds) if kinds else None

    def _names(self) -> list[str]:
        return [
            f"apis/{group}/{version}" if group else f"api/{version}"
            for group, versions in self._registry.groups().items()
            for version in versions
        ]

    def _hashed(self, name: str) -> str:
        raw = self.document(f"/openapi/v3/{name}") or b""
        return f"/openapi/v3/{name}?hash={hashlib.sha256(raw).hexdigest()[:32]}"

    def _info(self) -> Json:
        return {"title": "Kubernetes", "version": self._version}

    def _third(self, kinds: list[Kind]) -> Json:
        paths: Json = {}
        schemas: Json = {}
        for kind in kinds:
            schemas[type_name(kind)] = _body(kind)
            schemas[type_name(kind) + "List"] = _list_body(kind)
            paths[_path(kind)] = {"post": _operation(kind, "post")}
            paths[_path(kind) + "/{name}"] = {
                "put": _operation(kind, "put"),
                "patch": _operation(kind, "patch"),
            }
        return {"openapi": "3.0.0", "info": self._info(), "paths": paths, "components": {"schemas": schemas}}

    def _second(self) -> Json:
        definitions = {type_name(kind): _body(kind) for kind in self._registry.all()}
        paths: Json = {}
        for kind in self._registry.all():
            operation = _operation(kind, "patch")
            parameters = [{"name": name, "in": "query", "type": "string"} for name in _QUERY]
            paths[_path(kind) + "/{name}"] = {
                "patch": {**operation, "parameters": parameters, "requestBody": None, "responses": {}}
            }
            del paths[_path(kind) + "/{name}"]["patch"]["requestBody"]
        return {"swagger": "2.0", "info": self._info(), "paths": paths, "definitions": definitions}


def _group_version(name: str) -> tuple[str, str]:
    parts = name.split("/")
    if parts[0] == "api" and len(parts) == 2:
        return "", parts[1]
    return (parts[1], parts[2]) if parts[0] == "apis" and len(parts) == 3 else ("", "")
