"""The proxy to take and the certificates to trust, in every container."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.api.builders import agent, task, template
from tests.unit.render.builders import containers, desired, env, live, mounts, standalone, volume

from kubeopencode.api import podspec
from kubeopencode.world import Cluster

PROXY = {"httpProxy": "http://a:1", "httpsProxy": "http://b:2", "noProxy": "localhost,10.0.0.0/8"}
CA = "/etc/ssl/certs/custom-ca"


def test_every_container_knows_the_proxy_in_both_cases():
    for container in containers(standalone(proxy=PROXY)[1]["spec"]):
        found = env(container)
        assert found["HTTP_PROXY"] == found["http_proxy"] == "http://a:1"
        assert found["HTTPS_PROXY"] == found["https_proxy"] == "http://b:2"
        assert found["NO_PROXY"] == found["no_proxy"] == "localhost,10.0.0.0/8,.svc,.cluster.local"


def test_addresses_inside_the_cluster_are_added_once():
    proxy = {"httpProxy": "p", "noProxy": ".svc,.corp"}
    _, pod = desired(task(), template(proxy=proxy), cluster=Cluster(domain="corp"))
    assert env(containers(pod["spec"])[0])["NO_PROXY"] == ".svc,.corp"


def test_the_agents_proxy_wins_over_the_clusters():
    cluster = Cluster(proxy=podspec.ProxySpec(httpProxy="cluster", httpsProxy="cluster"))
    inherited = env(containers(desired(task(), template(), cluster=cluster)[1]["spec"])[0])
    assert inherited["HTTP_PROXY"] == "cluster"
    own = env(containers(desired(task(), template(proxy={"httpProxy": "own"}), cluster=cluster)[1]["spec"])[0])
    assert own["HTTP_PROXY"] == "own"
    assert "HTTPS_PROXY" not in own


def test_without_a_proxy_there_are_no_proxy_variables():
    for container in containers(standalone()[1]["spec"]):
        assert not [name for name in env(container) if "proxy" in name.lower()]


@pytest.mark.parametrize(
    ("bundle", "kind", "named", "key"),
    [
        ({"configMapRef": {"name": "ca"}}, "configMap", "name", "ca-bundle.crt"),
        ({"configMapRef": {"name": "ca", "key": "x"}}, "configMap", "name", "x"),
        ({"secretRef": {"name": "ca"}}, "secret", "secretName", "ca.crt"),
        ({"secretRef": {"name": "ca", "key": "x"}}, "secret", "secretName", "x"),
    ],
)
def test_every_container_trusts_the_certificates_of_the_owner(bundle: Any, kind: str, named: str, key: str):
    _, pod = standalone(caBundle=bundle)
    assert volume(pod, "ca-bundle")[kind] == {named: "ca", "items": [{"key": key, "path": "tls.crt"}]}
    for container in containers(pod["spec"]):
        assert mounts(container)[CA]["readOnly"] is True
        assert env(container)["CUSTOM_CA_CERT_PATH"] == f"{CA}/tls.crt"


def test_a_live_server_has_the_same_network():
    template_of = live(agent(proxy=PROXY, caBundle={"configMapRef": {"name": "ca"}}))["Deployment/solo-server"]["spec"]
    for container in containers(template_of["template"]["spec"]):
        assert env(container)["HTTP_PROXY"] == "http://a:1"
        assert CA in mounts(container)
