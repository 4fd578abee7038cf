"""kubeoc operator: our controllers against a cluster."""

from __future__ import annotations

import asyncio
import logging
import os
import signal

import click

from kubeopencode.cli import target

KEY_VARIABLE = "KUBEOPENCODE_PASSWORD_KEY"


@click.command("operator")
@click.option("--install-crds", is_flag=True, help="Create or update our CustomResourceDefinitions first.")
@click.option("--leader-elect", is_flag=True, help="Work only while holding the lease; for more than one replica.")
@click.option("--lease-namespace", default="kubeopencode-system", show_default=True, help="Namespace of the lease.")
@click.option("--health", default="127.0.0.1:8081", show_default=True, help="Address for /healthz, /readyz, /metrics.")
def command(install_crds: bool, leader_elect: bool, lease_namespace: str, health: str) -> None:
    """Run the controllers against the cluster of the kubeconfig, or the one this Pod is in."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    asyncio.run(_run(install_crds=install_crds, lease_namespace=lease_namespace if leader_elect else "", health=health))


async def _run(*, install_crds: bool, lease_namespace: str, health: str) -> None:
    from pathlib import Path

    from kubeopencode import wiring
    from kubeopencode.api import meta
    from kubeopencode.kube import client, config
    from kubeopencode.runtime import lease
    from kubeopencode.runtime.health import HealthServer

    said = target.choice()
    inside = not said.kubeconfig and not said.context and config.SERVICE_ACCOUNT.exists()
    settings = (
        config.in_cluster() if inside else config.load([Path(said.kubeconfig)] if said.kubeconfig else [], said.context)
    )
    key = os.environ.get(KEY_VARIABLE, "")
    if not key:
        raise click.ClickException(
            f"{KEY_VARIABLE} is not set; give a random text that stays the same, such as `openssl rand -hex 32`"
        )
    async with client.Client(settings) as api:
        if install_crds:
            await wiring.install_definitions(api)
        election = lease.Election(api, meta.Key(lease_namespace, "kubeopencode.io")) if lease_namespace else None
        operator = wiring.Operator(api, wiring.OperatorSettings(key.encode(), election=election))
        for name in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(name, operator.stop)
        host, _, port = health.rpartition(":")
        probes = HealthServer(operator.manager)
        await probes.start(host, int(port))
        try:
            await operator.run()
        except lease.Lost as error:
            # Another replica leads now; only a fresh start may try again.
            raise click.ClickException(str(error)) from error
        finally:
            await probes.close()
