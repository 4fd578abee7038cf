"""Access and token reviews: whoever is let in may do everything, so the answers are short."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from kubeopencode.api.meta import Json
from kubeopencode.apiserver import auth, calls, objects, responses, status
from kubeopencode.apiserver.calls import Call, User
from kubeopencode.apiserver.writes import Target

_AUTHORIZATION = "authorization.k8s.io"
_AUTHENTICATION = "authentication.k8s.io"
PATHS = {
    (_AUTHORIZATION, "selfsubjectaccessreviews"): "SelfSubjectAccessReview",
    (_AUTHORIZATION, "selfsubjectrulesreviews"): "SelfSubjectRulesReview",
    (_AUTHORIZATION, "subjectaccessreviews"): "SubjectAccessReview",
    (_AUTHENTICATION, "selfsubjectreviews"): "SelfSubjectReview",
    (_AUTHENTICATION, "tokenreviews"): "TokenReview",
}
"""The resources that are answered and never stored."""


async def serve(call: Call, path: str, tokens: Mapping[str, str]) -> web.Response:
    """Answer a review. Raises Failure 404."""
    parts = path.strip("/").split("/")
    kind = PATHS.get((parts[1], parts[-1])) if len(parts) == 4 else None
    if kind is None:
        raise status.no_such_path()
    body = calls.as_object(await call.body())
    body["status"] = _status(kind, call.user, objects.section(body, "spec"), tokens)
    body.setdefault("kind", kind)
    body.setdefault("apiVersion", f"{parts[1]}/{parts[2]}")
    return responses.json(body, 201)


def _status(kind: str, user: User, spec: Json, tokens: Mapping[str, str]) -> Json:
    if kind == "SelfSubjectRulesReview":
        everything: Json = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
        return {
            "resourceRules": [everything],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
            "incomplete": False,
        }
    if kind == "SelfSubjectReview":
        return {"userInfo": _info(user)}
    if kind == "TokenReview":
        found = auth.by_token(str(spec.get("token", "")), tokens)
        return {"authenticated": True, "user": _info(found)} if found else {"authenticated": False}
    return {"allowed": True, "reason": "whoever is let in may do everything on a local server"}


def _info(user: User) -> Json:
    groups: list[Any] = list(user.groups)
    return {"username": user.name, "groups": groups}


async def token_request(call: Call, target: Target) -> web.Response:
    """Refuse to issue service account tokens: Pods of a local server have none."""
    await call.body()
    raise status.Failure(403, f'serviceaccounts "{target.name}" is forbidden: this server issues no tokens')
