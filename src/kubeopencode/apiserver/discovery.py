"""What the server says about itself: versions, groups, resources, in both forms of discovery."""

from __future__ import annotations

from aiohttp import web

from kubeopencode.api.meta import Json
from kubeopencode.apiserver import gnostic, openapi, responses, status
from kubeopencode.apiserver.calls import Call
from kubeopencode.apiserver.registry import Kind, Registry

_VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
_AGGREGATED = "as=APIGroupDiscoveryList"
_POD_SUBRESOURCES = (
    ("log", "Pod", ["get"]),
    ("exec", "PodExecOptions", ["create", "get"]),
    ("portforward", "PodPortForwardOptions", ["create", "get"]),
)
_REVIEWS = {
    "authorization.k8s.io": {
        "selfsubjectaccessreviews": "SelfSubjectAccessReview",
        "selfsubjectrulesreviews": "SelfSubjectRulesReview",
        "subjectaccessreviews": "SubjectAccessReview",
    },
    "authentication.k8s.io": {"selfsubjectreviews": "SelfSubjectReview", "tokenreviews": "TokenReview"},
}


def subresources(kind: Kind) -> list[tuple[str, str, str, list[str]]]:
    """(name, group/version of its kind, kind, verbs) of each subresource."""
    found: list[tuple[str, str, str, list[str]]] = []
    if kind.status:
        found.append(("status", kind.api_version, kind.kind, ["get", "patch", "update"]))
    if kind.scale is not None:
        found.append(("scale", "autoscaling/v1", "Scale", ["get", "patch", "update"]))
    if kind.collection == "/pods":
        found += [(name, "v1", made, verbs) for name, made, verbs in _POD_SUBRESOURCES]
    return found


class Documents:
    """All documents that are read with GET and are not objects."""

    def __init__(self, registry: Registry, version: str) -> None:
        self._registry = registry
        self._version = version
        self._openapi = openapi.OpenApi(registry, version)

    def serve(self, call: Call, path: str) -> web.Response:
        """The document at a path. Raises Failure 404."""
        if path in ("/api", "/apis") and _AGGREGATED in call.accept:
            return self._aggregated(call, core=path == "/api")
        if path.startswith("/openapi/"):
            return self._schemas(call, path)
        parts = path.strip("/").split("/")
        body = self._plain(path, parts)
        if body is None:
            raise status.no_such_path()
        return responses.json(body)

    def _schemas(self, call: Call, path: str) -> web.Response:
        if path == "/openapi/v2" and call.accept and "json" not in call.accept and "*/*" not in call.accept:
            return self._old_schemas(call)
        raw = self._openapi.document(path)
        if raw is None:
            raise status.no_such_path()
        return responses.raw(raw)

    def _old_schemas(self, call: Call) -> web.Response:
        raw = self._openapi.protobuf() if gnostic.CONTENT_TYPE in call.accept else None
        if raw is None:
            raise status.Failure(406, f"only application/json and {gnostic.CONTENT_TYPE} are served for /openapi/v2")
        return web.Response(body=raw, headers={"Content-Type": gnostic.ANSWER_TYPE})

    def _plain(self, path: str, parts: list[str]) -> Json | None:
        groups = self._groups()
        if path == "/version":
            return self._version_document()
        if path == "/":
            return {
                "paths": ["/api", "/apis", "/healthz", "/livez", "/metrics", "/openapi/v2", "/openapi/v3", "/version"]
            }
        if path == "/api":
            return {"kind": "APIVersions", "versions": groups[""], "serverAddressByClientCIDRs": []}
        if path == "/apis":
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [self._group(g) for g in groups if g]}
        if parts[0] == "apis" and len(parts) == 2 and parts[1] in groups:
            return {"apiVersion": "v1", **self._group(parts[1])}
        group, version = ("", parts[-1]) if parts[0] == "api" else (parts[1] if len(parts) > 1 else "", parts[-1])
        if len(parts) == (2 if not group else 3) and version in groups.get(group, ()):
            return self._resources(group, version)
        return None

    def _groups(self) -> dict[str, list[str]]:
        return {**self._registry.groups(), **{group: ["v1"] for group in _REVIEWS}}

    def _version_document(self) -> Json:
        major, minor = self._version.lstrip("v").split(".")[:2]
        return {
            "major": major,
            "minor": minor,
            "gitVersion": self._version,
            "gitCommit": "",
            "gitTreeState": "clean",
            "buildDate": "1970-01-01T00:00:00Z",
            "goVersion": "",
            "compiler": "",
            "platform": "linux/amd64",
        }

    def _group(self, group: str) -> Json:
        versions = [{"groupVersion": f"{group}/{version}", "version": version} for version in self._groups()[group]]
        return {"kind": "APIGroup", "name": group, "versions": versions, "preferredVersion": versions[0]}

    def _resources(self, group: str, version: str) -> Json:
        found: list[Json] = []
        for kind in self._registry.of(group, version):
            found.append(_resource(kind))
            for name, made_in, made, verbs in subresources(kind):
                made_group, _, made_version = made_in.rpartition("/")
                entry: Json = {"name": f"{kind.plural}/{name}", "singularName": "", "namespaced": kind.namespaced}
                if made_in != kind.api_version:
                    entry |= {"group": made_group, "version": made_version}
                found.append(entry | {"kind": made, "verbs": verbs})
        for plural, name in _REVIEWS.get(group, {}).items():
            found.append(
                {"name": plural, "singularName": name.lower(), "namespaced": False, "kind": name, "verbs": ["create"]}
            )
        where = f"{group}/{version}" if group else version
        return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": where, "resources": found}

    def _aggregated(self, call: Call, *, core: bool) -> web.Response:
        version = "v2" if "v=v2;" in call.accept or "v=v2," in call.accept else "v2beta1"
        if "v=v2beta1" in call.accept and "v=v2;" not in call.accept + ";":
            version = "v2beta1"
        groups = [group for group in self._groups() if (group == "") is core]
        body: Json = {
            "kind": "APIGroupDiscoveryList",
            "apiVersion": f"apidiscovery.k8s.io/{version}",
            "metadata": {},
            "items": [self._aggregated_group(group) for group in groups],
        }
        response = responses.json(body)
        form = f"application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"
        response.headers["Content-Type"] = form
        return response

    def _aggregated_group(self, group: str) -> Json:
        versions: list[Json] = []
        for version in self._groups()[group]:
            found = [_aggregated_resource(kind) for kind in self._registry.of(group, version)]
            for plural, name in _REVIEWS.get(group, {}).items():
                found.append(
                    {
                        "resource": plural,
                        "responseKind": {"group": group, "version": version, "kind": name},
                        "scope": "Cluster",
                        "singularResource": name.lower(),
                        "verbs": ["create"],
                    }
                )
            versions.append({"version": version, "resources": found, "freshness": "Current"})
        return {"metadata": {"name": group, "creationTimestamp": None}, "versions": versions}


def _resource(kind: Kind) -> Json:
    made: Json = {
        "name": kind.plural,
        "singularName": kind.one,
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": _VERBS,
    }
    if kind.short_names:
        made["shortNames"] = kind.short_names
    if kind.categories:
        made["categories"] = kind.categories
    return made


def _aggregated_resource(kind: Kind) -> Json:
    made: Json = {
        "resource": kind.plural,
        "responseKind": {"group": kind.group, "version": kind.version, "kind": kind.kind},
        "scope": "Namespaced" if kind.namespaced else "Cluster",
        "singularResource": kind.one,
        "verbs": _VERBS,
    }
    if kind.short_names:
        made["shortNames"] = kind.short_names
    if kind.categories:
        made["categories"] = kind.categories
    below: list[Json] = []
    for name, made_in, its_kind, verbs in subresources(kind):
        group, _, version = made_in.rpartition("/")
        response_kind = {"group": group, "version": version, "kind": its_kind}
        below.append({"subresource": name, "responseKind": response_kind, "verbs": verbs})
    if below:
        made["subresources"] = below
    return made
