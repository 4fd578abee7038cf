"""The built-in controllers of PersistentVolumeClaims (bound at once to a directory) and of default ServiceAccounts."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from pathlib import Path

import msgspec

from kubeopencode.api import core, meta
from kubeopencode.kube import client, errors
from kubeopencode.node import launching, podstatus, volumes
from kubeopencode.runtime import outcome, store

IN_USE_SECONDS = 2.0
"""When to look again whether the last Pod has let go of a claim that was deleted."""


@dataclass(frozen=True)
class Claims:
    """Reconciles PersistentVolumeClaims; their directories live below `root`."""

    connection: client.Client
    claims: store.Store[core.PersistentVolumeClaim]
    pods: store.Store[core.Pod]
    root: Path

    async def reconcile(self, key: meta.Key) -> outcome.Outcome:
        """Bind a claim, or remove what one that is gone has left."""
        claim = self.claims.get(key)
        if claim is None:
            return await self._remove(key)
        if claim.metadata.deletionTimestamp is None and claim.status.phase != "Bound":
            await self._bind(claim)
        return outcome.Done()

    async def _bind(self, claim: core.PersistentVolumeClaim) -> None:
        launching.claim_directory(self.root, claim).mkdir(parents=True, exist_ok=True)
        key = claim.metadata.key
        capacity = {name: claim.spec.resources.requests[name] for name in claim.spec.resources.requests}
        status = core.ClaimStatus("Bound", claim.spec.accessModes, capacity)
        body = {"status": msgspec.to_builtins(status)}
        with contextlib.suppress(errors.NotFound):
            await self.connection.patch(core.PVCS, key.name, body, key.namespace, options=client.STATUS)

    async def _remove(self, key: meta.Key) -> outcome.Outcome:
        for pod in self.pods.list(key.namespace):
            used = {
                volume.persistentVolumeClaim.claimName for volume in pod.spec.volumes if volume.persistentVolumeClaim
            }
            if key.name in used and not podstatus.finished(pod):
                return outcome.Later(IN_USE_SECONDS)
        for directory in (self.root / key.namespace).glob(f"{key.name}-????????-????-????-????-????????????"):
            await asyncio.to_thread(volumes.remove, directory)
        return outcome.Done()


@dataclass(frozen=True)
class Accounts:
    """Gives every namespace its ServiceAccount `default`."""

    connection: client.Client
    namespaces: store.Store[core.Namespace]
    accounts: store.Store[core.ServiceAccount]

    async def reconcile(self, key: meta.Key) -> outcome.Outcome:
        """Create the account of one namespace if it is absent. `key` is the namespace's."""
        namespace = self.namespaces.get(key)
        if namespace is None or namespace.metadata.deletionTimestamp is not None:
            return outcome.Done()
        if meta.Key(key.name, "default") not in self.accounts:
            with contextlib.suppress(errors.AlreadyExists, errors.NotFound):
                await self.connection.create(core.SERVICEACCOUNTS, {"metadata": {"name": "default"}}, key.name)
        return outcome.Done()
