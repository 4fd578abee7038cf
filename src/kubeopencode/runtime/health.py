"""The endpoints a kubelet and a Prometheus ask: /healthz, /readyz, /metrics."""

from __future__ import annotations

import asyncio

from aiohttp import web

from kubeopencode.runtime import manager, metrics


class HealthServer:
    """Serves the health of a manager. `start` it, `close` it; `port` 0 picks a free one, see `address`.

    A replica that waits for its turn to lead is ready: it has listed everything.
    """

    def __init__(self, looked_after: manager.Manager) -> None:
        self._manager = looked_after
        self._runner: web.AppRunner | None = None
        self.address = ""

    async def start(self, host: str, port: int) -> None:
        """Listen. Raises `OSError` when the port is taken."""
        application = web.Application()
        application.router.add_get("/healthz", self._healthz)
        application.router.add_get("/readyz", self._readyz)
        application.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        await site.start()
        bound = self._runner.addresses[0]
        self.address = f"http://{bound[0]}:{bound[1]}"

    async def close(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _healthz(self, _: web.Request) -> web.Response:
        # That the loop answers is the health that a restart could mend.
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        waiting = [found for found in self._manager.reflectors if not found.store.synced.is_set()]
        if not waiting:
            return web.Response(text="ok\n")
        told = "".join(f"not listed yet: {found.source} {found.last_error}\n" for found in waiting)
        return web.Response(status=503, text=told)

    async def _metrics(self, _: web.Request) -> web.Response:
        for found in self._manager.reflectors:
            for what in ("lists", "watches", "failures", "events"):
                metrics.REFLECTOR.labels(str(found.source), what).set(getattr(found.counts, what))
        metrics.UNDECODABLE.set(self._manager.client.undecodable)
        # Rendering some hundred series takes milliseconds that the loop would miss.
        text = await asyncio.to_thread(metrics.exposition)
        return web.Response(body=text, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})
