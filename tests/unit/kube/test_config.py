"""Kubeconfigs as the great providers write them, and what becomes of them."""

from __future__ import annotations

import base64
import stat
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from kubeopencode.kube import auth, config, errors


@pytest.fixture(scope="module")
def pair() -> auth.Certificate:
    """A certificate and its key, good for a CA and for a client."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return auth.Certificate(
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )


def b64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def kubeconfig(path: Path, *, cluster=None, user=None, name="one", namespace="") -> Path:
    context = {"cluster": name, "user": name, **({"namespace": namespace} if namespace else {})}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "preferences": {},
        "clusters": [{"name": name, "cluster": {"server": "https://example.org:6443", **(cluster or {})}}],
        "users": [{"name": name, "user": user or {}}],
        "contexts": [{"name": name, "context": context}],
        "current-context": name,
    }
    path.write_text(yaml.safe_dump(document))
    return path


def plugin(tmp_path: Path, body: str, name: str = "plugin") -> Path:
    script = tmp_path / name
    script.write_text(
        f"#!{sys.executable}\nimport json, os, sys\ninfo = json.loads(os.environ['KUBERNETES_EXEC_INFO'])\n{body}\n"
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return script


def printing(status: str, version: str = "v1") -> str:
    return (
        "print(json.dumps({'kind': 'ExecCredential',"
        f" 'apiVersion': 'client.authentication.k8s.io/{version}', 'status': {status}}}))"
    )


async def test_kind_a_client_certificate_inside_the_file(tmp_path, pair):
    path = kubeconfig(
        tmp_path / "config",
        cluster={"certificate-authority-data": b64(pair.certificate), "server": "https://127.0.0.1:34567"},
        user={"client-certificate-data": b64(pair.certificate), "client-key-data": b64(pair.key)},
    )
    found = config.load(path)
    ticket = await found.credentials.ticket()
    assert found.server == "https://127.0.0.1:34567"
    assert ticket.certificate == pair
    assert config.ssl_context(found.tls, ticket.certificate).check_hostname


async def test_minikube_certificates_in_files_beside_the_kubeconfig(tmp_path, pair):
    (tmp_path / "certs").mkdir()
    (tmp_path / "certs/ca.crt").write_bytes(pair.certificate)
    (tmp_path / "certs/client.crt").write_bytes(pair.certificate)
    (tmp_path / "certs/client.key").write_bytes(pair.key)
    path = kubeconfig(
        tmp_path / "config",
        cluster={"certificate-authority": "certs/ca.crt"},
        user={"client-certificate": "certs/client.crt", "client-key": "certs/client.key"},
    )
    found = config.load(path)
    assert (await found.credentials.ticket()).certificate == pair
    assert found.tls.ca == pair.certificate


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
async def test_eks_and_gke_a_plugin_that_prints_a_token(tmp_path, version):
    script = plugin(
        tmp_path,
        "parts = ['k8s-aws-v1', os.environ['AWS_PROFILE'], sys.argv[-1], str(info['spec']['interactive'])]\n"
        "token = '.'.join(parts)\n"
        + printing("{'token': token, 'expirationTimestamp': '2099-01-01T00:00:00Z'}", version),
    )
    user = {
        "exec": {
            "apiVersion": f"client.authentication.k8s.io/{version}",
            "command": str(script),
            "args": ["--region", "eu-west-1", "eks", "get-token", "--cluster-name", "prod"],
            "env": [{"name": "AWS_PROFILE", "value": "work"}],
            "interactiveMode": "IfAvailable",
            "provideClusterInfo": False,
        }
    }
    found = config.load(kubeconfig(tmp_path / "config", user=user))
    ticket = await found.credentials.ticket()
    assert ticket.authorization == "Bearer k8s-aws-v1.work.prod.False"


async def test_aks_a_plugin_with_null_fields_and_cluster_information(tmp_path, pair):
    script = plugin(tmp_path, printing("{'token': info['spec']['cluster']['server'].replace('/', '_')}", "v1beta1"))
    user = {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1beta1",
            "args": ["get-token", "--login", "azurecli"],
            "command": f"./{script.name}",
            "env": None,
            "installHint": "install kubelogin",
            "provideClusterInfo": True,
        }
    }
    found = config.load(kubeconfig(tmp_path / "config", user=user))
    assert (await found.credentials.ticket()).authorization == "Bearer https:__example.org:6443"


async def test_openshift_a_token_and_a_namespace(tmp_path):
    path = kubeconfig(tmp_path / "config", user={"token": "sha256~abc"}, namespace="project")
    found = config.load(path)
    assert found.namespace == "project"
    assert (await found.credentials.ticket()).authorization == "Bearer sha256~abc"


async def test_a_password_and_an_id_token_are_shown(tmp_path):
    basic = config.load(kubeconfig(tmp_path / "basic", user={"username": "jane", "password": "pä:ss"}))
    assert (await basic.credentials.ticket()).authorization == "Basic " + b64("jane:pä:ss".encode())
    oidc = {"auth-provider": {"name": "oidc", "config": {"id-token": "a.b.c", "refresh-token": "r"}}}
    found = config.load(kubeconfig(tmp_path / "oidc", user=oidc))
    assert (await found.credentials.ticket()).authorization == "Bearer a.b.c"


async def test_a_token_file_is_relative_to_its_kubeconfig_and_wins_over_a_token(tmp_path):
    (tmp_path / "token").write_text("from-file\n")
    found = config.load(kubeconfig(tmp_path / "config", user={"tokenFile": "token", "token": "inline"}))
    assert (await found.credentials.ticket()).authorization == "Bearer from-file"


def test_settings_of_the_way_to_the_server(tmp_path):
    cluster = {
        "insecure-skip-tls-verify": True,
        "tls-server-name": "inner.example.org",
        "proxy-url": "http://proxy:3128",
        "disable-compression": True,
    }
    user = {"as": "jane", "as-uid": "1", "as-groups": ["dev"], "as-user-extra": {"scope": ["a"]}}
    found = config.load(kubeconfig(tmp_path / "config", cluster=cluster, user=user))
    assert found.tls == config.Tls(server_name="inner.example.org", insecure=True)
    assert (found.proxy, found.compress) == ("http://proxy:3128", False)
    assert found.impersonate == config.Impersonation("jane", "1", ("dev",), {"scope": ("a",)})


def test_without_a_proxy_of_its_own_a_cluster_is_reached_as_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://corporate:3128")
    monkeypatch.setenv("NO_PROXY", "example.org")
    outside = kubeconfig(tmp_path / "outside", cluster={"server": "https://example.com"})
    assert config.load(outside).proxy == "http://corporate:3128"
    assert config.load(kubeconfig(tmp_path / "inside")).proxy == ""


def test_files_are_merged_and_the_first_word_counts(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    first = kubeconfig(tmp_path / "a" / "config", cluster={"server": "https://first"}, namespace="a")
    second = kubeconfig(tmp_path / "second", cluster={"server": "https://second"})
    third = kubeconfig(tmp_path / "third", name="three", cluster={"server": "https://third"})
    monkeypatch.setenv("KUBECONFIG", f"{first}:{tmp_path / 'absent'}:{second}::{third}")
    assert config.load().server == "https://first"
    assert config.load(context="three").server == "https://third"
    assert config.load((third, first)).server == "https://third"


@pytest.mark.parametrize(
    ("cluster", "user", "told"),
    [
        ({"server": "example.org"}, {}, 'server "example.org" of cluster "one" is not an http'),
        ({"certificate-authority-data": "%%%"}, {}, "certificate-authority-data is not base64"),
        ({"certificate-authority": "nowhere.crt"}, {}, r"certificate-authority: .*nowhere.crt cannot be read"),
        ({"certificate-authority": "x", "insecure-skip-tls-verify": True}, {}, "only one may be set"),
        ({}, {"client-certificate-data": b64(b"x")}, "needs both client-certificate and client-key"),
        ({}, {"token": "two\nlines"}, "blanks or control characters"),
        ({}, {"as-groups": ["x"]}, "need a user to act as"),
        (
            {},
            {"exec": {"command": "x", "apiVersion": "client.authentication.k8s.io/v1alpha1"}},
            "v1alpha1.* is not one of",
        ),
        ({}, {"exec": {"command": "x", "interactiveMode": "Always"}}, "wants a terminal"),
        ({}, {"auth-provider": {"name": "gcp"}}, 'auth-provider "gcp" has no token; use an exec'),
        ({"server": 5}, {}, r"is not one: .*clusters\[0\].cluster.server"),
    ],
)
def test_what_cannot_be_used_says_why(tmp_path, cluster, user, told):
    with pytest.raises(errors.ConfigError, match=told):
        config.load(kubeconfig(tmp_path / "config", cluster=cluster, user=user))


def test_a_name_that_is_not_there_is_told_with_those_that_are(tmp_path):
    path = kubeconfig(tmp_path / "config")
    with pytest.raises(errors.ConfigError, match='no context "two"; it has: one'):
        config.load(path, "two")
    with pytest.raises(errors.ConfigError, match=r"no kubeconfig found at .*absent; set KUBECONFIG"):
        config.load(tmp_path / "absent")


def test_a_file_that_is_no_yaml_is_told_without_its_content(tmp_path):
    path = tmp_path / "config"
    path.write_text("users:\n - token: 'secret\n")
    with pytest.raises(errors.ConfigError, match="is not YAML in line") as caught:
        config.load(path)
    assert "secret" not in str(caught.value)


async def test_a_plugin_is_run_again_when_its_ticket_expires_or_is_refused_and_not_before(tmp_path):
    count = tmp_path / "count"
    count.write_text("")
    body = f"""
path = {str(count)!r}
open(path, 'a').write('x')
number = len(open(path).read())
expires = '2000-01-01T00:00:00Z' if number == 1 else '2099-01-01T00:00:00Z'
{printing("{'token': 'number-' + str(number), 'expirationTimestamp': expires}")}
"""
    user = {"exec": {"command": str(plugin(tmp_path, body)), "apiVersion": "client.authentication.k8s.io/v1"}}
    credentials = config.load(kubeconfig(tmp_path / "config", user=user)).credentials
    assert (await credentials.ticket()).authorization == "Bearer number-1"
    second = await credentials.ticket()
    assert second.authorization == "Bearer number-2"
    assert await credentials.ticket() is second
    assert credentials.refuse(second)
    assert (await credentials.ticket()).authorization == "Bearer number-3"


async def test_a_plugin_may_give_a_certificate(tmp_path, pair):
    status = {"clientCertificateData": pair.certificate.decode(), "clientKeyData": pair.key.decode()}
    user = {
        "exec": {
            "command": str(plugin(tmp_path, printing(repr(status)))),
            "apiVersion": "client.authentication.k8s.io/v1",
        }
    }
    ticket = await config.load(kubeconfig(tmp_path / "config", user=user)).credentials.ticket()
    assert ticket == auth.Ticket("", pair)
    config.ssl_context(config.Tls(), ticket.certificate)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("print('{\"secret\": ')", "did not print an ExecCredential"),
        ("sys.exit(7)", "failed with exit code 7"),
        (printing("{'token': 't'}", "v1beta1"), "printed client.authentication.k8s.io/v1beta1"),
        (printing("{}"), "neither a token nor a certificate"),
        (printing("{'clientKeyData': 'k'}"), "half of a client certificate"),
    ],
)
async def test_a_plugin_that_fails_says_how_without_what_it_printed(tmp_path, body, told):
    user = {"exec": {"command": str(plugin(tmp_path, body)), "apiVersion": "client.authentication.k8s.io/v1"}}
    credentials = config.load(kubeconfig(tmp_path / "config", user=user)).credentials
    with pytest.raises(errors.ConfigError, match=told) as caught:
        await credentials.ticket()
    assert "secret" not in str(caught.value)


async def test_a_plugin_that_is_not_installed_gives_its_hint(tmp_path):
    user = {"exec": {"command": "no-such-plugin-anywhere", "installHint": "install it from example.org"}}
    credentials = config.load(kubeconfig(tmp_path / "config", user=user)).credentials
    with pytest.raises(errors.ConfigError, match=r"install it from example\.org"):
        await credentials.ticket()


async def test_a_pod_finds_its_service_account(tmp_path, monkeypatch, pair):
    (tmp_path / "token").write_text("pod-token")
    (tmp_path / "namespace").write_text("home\n")
    (tmp_path / "ca.crt").write_bytes(pair.certificate)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    found = config.in_cluster(tmp_path)
    assert (found.server, found.namespace) == ("https://[fd00::1]:443", "home")
    assert (await found.credentials.ticket()).authorization == "Bearer pod-token"
    config.ssl_context(found.tls, None)


def test_outside_a_cluster_there_is_no_service_account(tmp_path, monkeypatch):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(errors.ConfigError, match="not inside a cluster"):
        config.in_cluster(tmp_path)


def test_a_secret_is_not_in_what_is_printed(pair):
    settings = config.local_socket(Path("/s"), "topsecret")
    assert "topsecret" not in repr(settings)
    assert "PRIVATE" not in repr(pair)
