"""What the runtime says about itself to Prometheus.

Label sets are small and known beforehand: controllers, sources, verbs and codes, never object names.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import prometheus_client as prometheus

from kubeopencode.kube import errors, transport

REGISTRY = prometheus.CollectorRegistry()
"""Our own registry: what is exposed is what is written here."""

_DEPTH = prometheus.Gauge("kubeopencode_queue_depth", "Keys that wait for a worker", ["controller"], registry=REGISTRY)
_SECONDS = prometheus.Histogram(
    "kubeopencode_reconcile_seconds",
    "Duration of reconciles",
    ["controller"],
    registry=REGISTRY,
    buckets=(0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60),
)
_RESULTS = prometheus.Counter(
    "kubeopencode_reconciles", "Reconciles by result", ["controller", "result"], registry=REGISTRY
)
_REQUESTS = prometheus.Counter(
    "kubeopencode_requests", "Requests to the API server", ["verb", "resource", "code"], registry=REGISTRY
)
REFLECTOR = prometheus.Gauge(
    "kubeopencode_reflector", "Lists, watches, failures and events so far", ["source", "what"], registry=REGISTRY
)
UNDECODABLE = prometheus.Gauge(
    "kubeopencode_undecodable_objects", "Objects passed over because they do not fit their type", registry=REGISTRY
)
LEADER = prometheus.Gauge("kubeopencode_leader", "1 while this process leads", registry=REGISTRY)


class ControllerMetrics:
    """The series of one controller, looked up once."""

    def __init__(self, name: str) -> None:
        self._depth = _DEPTH.labels(name)
        self._seconds = _SECONDS.labels(name)
        self._results = {word: _RESULTS.labels(name, word) for word in ("done", "later", "terminal", "error")}

    def follow(self, depth: Callable[[], float]) -> None:
        """Ask `depth` how many keys wait, whenever somebody wants to know."""
        self._depth.set_function(depth)

    def ended(self, result: str, seconds: float) -> None:
        """A reconcile ended in that way after so many seconds."""
        self._seconds.observe(seconds)
        self._results[result].inc()


@cache
def of_controller(name: str) -> ControllerMetrics:
    """The series of the controller `name`."""
    return ControllerMetrics(name)


async def count_requests(request: transport.Request, send: transport.Transport) -> transport.Answer:
    """The middleware that counts requests by verb, resource and code; a code of `none` means no answer."""
    try:
        answer = await send(request)
    except errors.ConnectionFailed:
        _REQUESTS.labels(request.verb, request.resource, "none").inc()
        raise
    _REQUESTS.labels(request.verb, request.resource, str(answer.status)).inc()
    return answer


def exposition() -> bytes:
    """All series in the text format of Prometheus."""
    return prometheus.generate_latest(REGISTRY)
