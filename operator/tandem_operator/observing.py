"""Keeps cache and directory current, on leaders and followers alike: from kopf's events, and from our own lists.

Every change becomes keys on the queue: the object's own, and those of the objects that refer to it. What people did
comes before what the operator, Ray and gateways did, and before what there was already when this process started.
"""

import asyncio
import random
import time
from collections.abc import Mapping
from typing import Final, Protocol

import structlog

from tandem_operator.api.v1alpha1 import Raw
from tandem_operator.cache import Cache, Change, Key, Kind
from tandem_operator.clients.cluster import Cluster
from tandem_operator.directory import Directory
from tandem_operator.errors import Retry
from tandem_operator.metrics import Metrics

_LIST_RETRY_SECONDS: Final = 2.0

_DECIDE: Final[Mapping[Kind, frozenset[Kind]]] = {
    Kind.DEPLOYMENT: frozenset(
        {Kind.DEPLOYMENT, Kind.ENDPOINT}
    ),  # an endpoint's policy names the namespaces of its users
    Kind.ENDPOINT: frozenset({Kind.ENDPOINT}),
    Kind.NAMESPACE: frozenset({Kind.ENDPOINT}),
}
"""Kinds of the objects by which a change of each kind takes effect, or stops to; of the others it only changes more."""

log = structlog.get_logger(__name__)


class Queue(Protocol):
    """The part of ``WorkQueue`` that is fed from here."""

    def add(self, key: Key, *, urgent: bool = False) -> None: ...

    def glance(self, key: Key) -> None: ...


class Observing:
    """What is known of the API server, and how old that is."""

    def __init__(self, cluster: Cluster, metrics: Metrics, *, relist_seconds: float, queue: Queue) -> None:
        self.cache = Cache()
        self.directory = Directory()
        self.synced = asyncio.Event()
        """Set once everything was listed."""

        self._cluster = cluster
        self._metrics = metrics
        self._relist_seconds = relist_seconds
        self._queue = queue
        self._gap = asyncio.Event()
        self._event_at = self._list_at = self._tried_at = time.monotonic()
        metrics.last_event_age.set_function(lambda: time.monotonic() - self._event_at)
        metrics.last_resync_age.set_function(lambda: time.monotonic() - self._list_at)

    @property
    def current(self) -> bool:
        """Whether what is known is at most two lists old."""
        return (
            self.synced.is_set() and time.monotonic() - self._list_at < 2 * self._relist_seconds + _LIST_RETRY_SECONDS
        )

    @property
    def alive(self) -> bool:
        """Whether lists are still being tried, with success or not: an outage of the API server is no fault of ours."""
        return time.monotonic() - self._tried_at < 10 * self._relist_seconds

    def on_event(self, kind: Kind, raw: Raw, gone: bool) -> None:
        """Take in one event of the watch."""
        self._event_at = time.monotonic()
        change = self.cache.gone(kind, raw) if gone else self.cache.see(kind, raw)
        if change is not None:
            self._take(change)

    def on_gap(self) -> None:
        """Say that the watch may have missed something: list soon."""
        self._gap.set()

    async def run(self) -> None:
        """List until cancelled, and sooner when the watch had a gap."""
        while True:
            listed = await self._relist()
            wait = self._relist_seconds * random.uniform(0.9, 1.1) if listed else _LIST_RETRY_SECONDS  # noqa: S311  jitter
            try:
                await asyncio.wait_for(self._gap.wait(), wait)
                self._gap.clear()
            except TimeoutError:
                continue

    async def _relist(self) -> bool:
        self._tried_at = time.monotonic()
        try:
            for kind in Kind:
                await self._relist_kind(kind)
        except Retry as error:
            log.warning("objects could not be listed", why=str(error))
            return False
        self._list_at = time.monotonic()
        self.synced.set()
        return True

    async def _relist_kind(self, kind: Kind) -> None:
        self.cache.relist_begins(kind)
        listing = await self._cluster.list_all(kind)
        changes = self.cache.relist(kind, listing.items, listing.version)
        for change in changes:
            self._take(change)
        if changes and self.synced.is_set():
            log.info("the watch had missed something", kind=kind.value, objects=[str(c.key) for c in changes[:10]])

    def _take(self, change: Change) -> None:
        first = _DECIDE[change.key.kind] if self.synced.is_set() and change.made_by_people else frozenset()
        for key in self.directory.take(change):
            if key == change.key and not change.made_by_people:
                self._queue.glance(key)
            else:
                self._queue.add(key, urgent=key.kind in first)
        self._metrics.objects.labels(change.key.kind.value).set(len(self.cache.keys(change.key.kind)))
