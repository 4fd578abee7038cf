"""The client against a server with a certificate of its own authority, which asks for one in return."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from kubeopencode.api import core
from kubeopencode.kube import auth, client, config, errors, retry


def issue(name, authority=None):
    """A certificate for `name`, its own authority unless one is given; (certificate, key)."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    signer, issuer = (authority[1], authority[0].subject) if authority else (key, subject)
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=authority is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(signer, hashes.SHA256())
    )
    return certificate, key


def pem(certificate, key):
    return auth.Certificate(
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )


@pytest.fixture
async def secured(tmp_path):
    """(server URL, CA, client certificate); the server is called inner.example.org."""
    authority = issue("authority")
    serving, showing = pem(*issue("inner.example.org", authority)), pem(*issue("jane", authority))
    root = pem(*authority).certificate
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=root.decode())
    context.verify_mode = ssl.CERT_REQUIRED
    (tmp_path / "server.pem").write_bytes(serving.certificate + serving.key)
    context.load_cert_chain(tmp_path / "server.pem")

    async def handle(request):
        who = dict(part[0] for part in request.transport.get_extra_info("peercert")["subject"])["commonName"]
        return web.json_response({"metadata": {"name": who}})

    runner = web.ServerRunner(web.Server(handle, access_log=None))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    yield f"https://127.0.0.1:{runner.addresses[0][1]}", root, showing
    await runner.cleanup()


def connected(server, tls, certificate):
    settings = config.Config(server, auth.Fixed(auth.Ticket(certificate=certificate)), tls)
    return client.Client(settings, policy=retry.Policy(attempts=1))


async def test_both_sides_prove_who_they_are(secured):
    server, root, showing = secured
    async with connected(server, config.Tls(root, server_name="inner.example.org"), showing) as kube:
        assert (await kube.get(core.CONFIGMAPS, "x", "ns")).metadata.name == "jane"


@pytest.mark.parametrize("flaw", ["name", "authority"])
async def test_a_server_that_cannot_prove_itself_gets_no_request(secured, flaw):
    server, root, showing = secured
    tls = {"name": config.Tls(root), "authority": config.Tls(server_name="inner.example.org")}[flaw]
    async with connected(server, tls, showing) as kube:
        with pytest.raises(errors.ConnectionFailed, match="certificate"):
            await kube.get(core.CONFIGMAPS, "x", "ns")


async def test_a_server_need_not_prove_itself_where_that_was_waived(secured):
    server, _, showing = secured
    async with connected(server, config.Tls(insecure=True), showing) as kube:
        assert (await kube.get(core.CONFIGMAPS, "x", "ns")).metadata.name == "jane"


async def test_without_a_certificate_there_is_no_connection(secured):
    server, root, _ = secured
    async with connected(server, config.Tls(root, server_name="inner.example.org"), None) as kube:
        with pytest.raises(errors.ConnectionFailed):
            await kube.get(core.CONFIGMAPS, "x", "ns")


async def test_a_renewed_authority_is_read_again(secured, tmp_path):
    server, root, showing = secured
    file = tmp_path / "ca.crt"
    file.write_bytes(pem(*issue("somebody else")).certificate)
    async with connected(server, config.Tls(ca_file=file, server_name="inner.example.org"), showing) as kube:
        with pytest.raises(errors.ConnectionFailed):
            await kube.get(core.CONFIGMAPS, "x", "ns")
        (tmp_path / "renewed").write_bytes(root)
        (tmp_path / "renewed").replace(file)
        assert (await kube.get(core.CONFIGMAPS, "x", "ns")).metadata.name == "jane"
