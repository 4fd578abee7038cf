"""What every container must know of the network: the proxy to take and the certificates to trust."""

from __future__ import annotations

from kubeopencode.api.agent import AgentShape
from kubeopencode.api.meta import Json
from kubeopencode.render.parts import PodPart, mount, variable
from kubeopencode.world import Cluster

CA_FOLDER = "/etc/ssl/certs/custom-ca"
CA_FILE = f"{CA_FOLDER}/tls.crt"
CONFIG_MAP_KEY = "ca-bundle.crt"
SECRET_KEY = "ca.crt"  # noqa: S105  # the name of a key, not a secret


def proxy(shape: AgentShape, cluster: Cluster) -> PodPart:
    """Proxy variables in both cases; the Agent's settings win, and addresses inside the cluster never take it."""
    wanted = shape.proxy or cluster.proxy
    if wanted is None:
        return PodPart()
    inside = [".svc", f".{cluster.domain}"]
    no_proxy = [part for part in wanted.noProxy.split(",") if part]
    values = {
        "HTTP_PROXY": wanted.httpProxy,
        "HTTPS_PROXY": wanted.httpsProxy,
        "NO_PROXY": ",".join(no_proxy + [part for part in inside if part not in no_proxy]),
    }
    pairs = [(name, value) for name, value in values.items() if value]
    return PodPart(
        shared_env=tuple(variable(case(name), value) for name, value in pairs for case in (str.upper, str.lower))
    )


def ca_bundle(shape: AgentShape) -> PodPart:
    """The Agent's certificates as one file, and where to find it."""
    bundle = shape.caBundle
    if bundle is None:
        return PodPart()
    volume: Json = {"name": "ca-bundle"}
    if bundle.configMapRef:
        item = {"key": bundle.configMapRef.key or CONFIG_MAP_KEY, "path": "tls.crt"}
        volume["configMap"] = {"name": bundle.configMapRef.name, "items": [item]}
    elif bundle.secretRef:
        item = {"key": bundle.secretRef.key or SECRET_KEY, "path": "tls.crt"}
        volume["secret"] = {"secretName": bundle.secretRef.name, "items": [item]}
    return PodPart(
        volumes=(volume,),
        shared_mounts=(mount("ca-bundle", CA_FOLDER, read_only=True),),
        shared_env=(variable("CUSTOM_CA_CERT_PATH", CA_FILE), variable("NODE_EXTRA_CA_CERTS", CA_FILE)),
    )
