"""Counters of the server in the Prometheus text format; hand-made, because they are few."""

from __future__ import annotations

from collections.abc import Callable

from kubeopencode.apiserver.storage import Storage


class Metrics:
    """Requests by verb, resource and code; open watches; objects by collection."""

    def __init__(self, storage: Storage, watches: Callable[[], int]) -> None:
        self._storage = storage
        self._watches = watches
        self._requests: dict[tuple[str, str, int], int] = {}
        self._seconds: dict[tuple[str, str], float] = {}

    def count(self, verb: str, resource: str, code: int, seconds: float) -> None:
        """Remember one answered request."""
        key = (verb, resource, code)
        self._requests[key] = self._requests.get(key, 0) + 1
        if verb != "watch":
            self._seconds[verb, resource] = self._seconds.get((verb, resource), 0.0) + seconds

    def text(self) -> str:
        """All metrics."""
        lines = ["# TYPE apiserver_request_total counter"]
        for (verb, resource, code), count in sorted(self._requests.items()):
            labels = f'verb="{verb.upper()}",resource="{resource}",code="{code}"'
            lines.append(f"apiserver_request_total{{{labels}}} {count}")
        lines.append("# TYPE apiserver_request_duration_seconds_sum counter")
        for (verb, resource), seconds in sorted(self._seconds.items()):
            labels = f'verb="{verb.upper()}",resource="{resource}"'
            lines.append(f"apiserver_request_duration_seconds_sum{{{labels}}} {seconds:.6f}")
        lines += ["# TYPE apiserver_watches gauge", f"apiserver_watches {self._watches()}"]
        lines.append("# TYPE apiserver_storage_objects gauge")
        for collection, count in sorted(self._storage.counts().items()):
            lines.append(f'apiserver_storage_objects{{resource="{collection.lstrip("/")}"}} {count}')
        return "\n".join(lines) + "\n"
