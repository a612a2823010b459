"""Leads when it may, and says until when. Started by ``__main__``; ``leader`` holds the rules, the Lease the truth.

Losing the Lease is losing the right to write at once: the fence closes before anybody else may take it. The leader's
work is cancelled then and started anew in the next term; the process, its watch and its cache live on.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime

import structlog

from tandem_operator import leader
from tandem_operator.clients.cluster import LEASES, Cluster
from tandem_operator.errors import Retry
from tandem_operator.leader import Sighting, Terms
from tandem_operator.metrics import Metrics

LEASE = "tandem-operator"

Lead = Callable[[], Coroutine[None, None, None]]
"""What a leader does, until it is cancelled."""

log = structlog.get_logger(__name__)


class Election:
    """One candidate."""

    def __init__(self, me: str, namespace: str, terms: Terms, metrics: Metrics) -> None:
        self._me = me
        self._namespace = namespace
        self._terms = terms
        self._metrics = metrics
        self._sighting: Sighting | None = None
        self._renewed_at: float | None = None

    @property
    def leads(self) -> bool:
        return self.writable_seconds() > 0

    def writable_seconds(self) -> float:
        """Return for how long this process may still write, 0 when it does not lead: the fence."""
        return leader.writable_seconds(self._renewed_at, self._terms, time.monotonic())

    async def run(self, cluster: Cluster, lead: Lead) -> None:
        """Stand for election for ever; ``lead`` runs for one term and is cancelled at its end."""
        try:
            while True:
                await self._until_elected(cluster)
                log.info("leading", identity=self._me)
                self._metrics.leader.set(1)
                try:
                    await self._term(cluster, lead)
                finally:
                    self._metrics.leader.set(0)
                log.warning("no longer leading", identity=self._me)
        finally:
            await self._release(cluster)

    async def _until_elected(self, cluster: Cluster) -> None:
        while not await self._try(cluster):  # noqa: ASYNC110  the Lease is elsewhere; nothing here could signal it
            await asyncio.sleep(self._pause())

    async def _term(self, cluster: Cluster, lead: Lead) -> None:
        """Lead until the Lease is lost; an error of ``lead`` ends the term, and the process with it."""
        work = asyncio.create_task(lead())
        renewal = asyncio.create_task(self._renew(cluster))
        try:
            await asyncio.wait({work, renewal}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (work, renewal):
                task.cancel()
            results = await asyncio.gather(work, renewal, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result

    async def _renew(self, cluster: Cluster) -> None:
        """Renew until that fails for too long, or somebody else holds the Lease."""
        while self.leads:
            await asyncio.sleep(min(self._pause(), self.writable_seconds()))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.writable_seconds()):
                    await self._try(cluster)

    async def _try(self, cluster: Cluster) -> bool:
        """Take or renew the Lease if that is possible now; returns whether this process leads."""
        started = time.monotonic()
        try:
            lease = await cluster.get(LEASES, self._namespace, LEASE)
            self._sighting = leader.sight(self._sighting, lease, time.monotonic())
            if not leader.may_take(self._sighting, self._me, time.monotonic()):
                self._renewed_at = None
                return False
            body = leader.taken(
                self._sighting, self._me, self._terms, namespace=self._namespace, name=LEASE, wall=datetime.now(UTC)
            )
            written = await cluster.write_lease(body, seconds=self._terms.deadline_seconds)
        except Retry as error:
            log.warning("the lease was not renewed" if self.leads else "the lease was not taken", why=str(error))
            return self.leads
        self._sighting = leader.sight(self._sighting, written, time.monotonic())
        self._renewed_at = started  # when it was sent: the server may have written it as early as that
        return self.leads

    async def _release(self, cluster: Cluster) -> None:
        """Free the Lease when this process ends, so that a follower need not wait."""
        if not self.leads or self._sighting is None or self._sighting.lease is None:
            return
        self._renewed_at = None  # nothing is written from here on
        try:
            await cluster.write_lease(leader.released(self._sighting.lease, wall=datetime.now(UTC)), seconds=2)
        except Retry as error:
            log.warning("the lease was not released; it expires by itself", why=str(error))

    def _pause(self) -> float:
        return self._terms.retry_seconds * random.uniform(1.0, leader.LONGEST_RETRY)  # noqa: S311  spreads candidates
