"""Events: what users read in `kubectl describe`. Written in the background, never in anybody's way.

The same thing said again about the same object becomes a `series` on the first event, written at most every few
seconds. When there is too much to say, the rest is dropped and counted. Failures are nobody's failure.
"""

from __future__ import annotations

import logging
import uuid
from dataclasses import dataclass, field
from datetime import datetime

from kubeopencode.api import core, meta
from kubeopencode.kube import client, errors
from kubeopencode.runtime import clock, queue

log = logging.getLogger(__name__)

NORMAL = "Normal"
WARNING = "Warning"


@dataclass(frozen=True)
class Subject:
    """The object an event is about."""

    api_version: str
    kind: str
    key: meta.Key
    uid: str = ""

    @staticmethod
    def of(resource: meta.Resource[meta.Object], found: meta.Object) -> Subject:
        """`found`, which is of the kind of `resource`, as the subject of an event."""
        return Subject(resource.api_version, resource.kind, found.metadata.key, found.metadata.uid)


@dataclass(frozen=True)
class _Topic:
    subject: Subject
    type: str
    reason: str
    action: str


@dataclass
class _Series:
    name: str
    note: str
    first: datetime
    last: datetime
    count: int = 1
    written: int = 0


@dataclass(frozen=True)
class Pace:
    """How much is written: topics remembered, seconds between writes, seconds between writes of one topic.

    A topic not heard of for `forget_seconds` starts a new event when it comes back.
    """

    topics: int = 1000
    between_writes: float = 0.1
    between_series: float = 10.0
    forget_seconds: float = 360.0


@dataclass
class EventRecorder:
    """Writes events in the name of `controller`. `record` at any time, `run` in a task of its own."""

    client: client.Client
    controller: str
    instance: str
    clock: clock.Clock = clock.SYSTEM
    pace: Pace = Pace()
    dropped: int = field(default=0, init=False)
    _series: dict[_Topic, _Series] = field(default_factory=dict[_Topic, _Series], init=False)
    _queue: queue.Queue[_Topic] = field(init=False)

    def __post_init__(self) -> None:
        self._queue = queue.Queue(self.clock)

    def record(self, subject: Subject, type_: str, reason: str, note: str, *, action: str = "Reconcile") -> None:
        """Say that something happened. Returns at once and never fails."""
        topic = _Topic(subject, type_, reason, action)
        now = self.clock.now()
        known = self._series.get(topic)
        if known is not None and (now - known.last).total_seconds() < self.pace.forget_seconds:
            known.count += 1
            known.last = now
            known.note = note
            self._queue.add_after(topic, self.pace.between_series if known.written else 0)
            return
        if known is None and len(self._series) >= self.pace.topics and not self._make_room(now):
            self.dropped += 1
            return
        self._series[topic] = _Series(_name(subject), note, now, now)
        self._queue.add(topic)

    async def run(self) -> None:
        """Write what was recorded, until cancelled."""
        while True:
            topic = await self._queue.get()
            try:
                await self._write(topic)
            except errors.KubeError as error:
                log.debug("an event about %s was not written: %s", topic.subject.key, error)
            finally:
                self._queue.done(topic)
            await clock.sleep(self.clock, self.pace.between_writes)

    async def _write(self, topic: _Topic) -> None:
        series = self._series.get(topic)
        if series is None or series.written == series.count:
            return
        count = series.count
        namespace = topic.subject.key.namespace or "default"
        if series.written:
            try:
                await self.client.patch(core.EVENTS, series.name, {"series": _series(series)}, namespace)
            except errors.NotFound:
                # Events expire after an hour; a series may outlive its event.
                series.name = _name(topic.subject)
                await self.client.create(core.EVENTS, self._body(topic, series), namespace)
        else:
            await self.client.create(core.EVENTS, self._body(topic, series), namespace)
        series.written = count

    def _body(self, topic: _Topic, series: _Series) -> meta.Json:
        subject = topic.subject
        regarding = {
            "apiVersion": subject.api_version,
            "kind": subject.kind,
            "name": subject.key.name,
            "namespace": subject.key.namespace,
            "uid": subject.uid,
        }
        body: meta.Json = {
            "metadata": {"name": series.name, "namespace": subject.key.namespace or "default"},
            "eventTime": _micro(series.first),
            "reportingController": self.controller,
            "reportingInstance": self.instance[:128],
            "action": topic.action[:128],
            "reason": topic.reason[:128],
            "regarding": {name: value for name, value in regarding.items() if value},
            "note": series.note.encode()[:1024].decode(errors="ignore"),
            "type": topic.type,
        }
        return {**body, "series": _series(series)} if series.count > 1 else body

    def _make_room(self, now: datetime) -> bool:
        """Forget what has not been heard of for long; whether there is room now."""
        limit = self.pace.forget_seconds
        old = [topic for topic, series in self._series.items() if (now - series.last).total_seconds() >= limit]
        for topic in old:
            del self._series[topic]
        return len(self._series) < self.pace.topics


def _series(series: _Series) -> meta.Json:
    # A series of one is refused by the API.
    return {"count": max(series.count, 2), "lastObservedTime": _micro(series.last)}


def _name(subject: Subject) -> str:
    return f"{subject.key.name[:200]}.{uuid.uuid4().hex[:16]}"


def _micro(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
