"""Writes a status when it differs from the one that was read, and Events for what turned. Used by both reconcilers.

The only place that writes a status: an equal one costs nothing, however often an object is looked at.
"""

from collections.abc import Iterable
from datetime import UTC, datetime

import structlog

from tandem_operator.api.v1alpha1 import CloudEndpointStatus, Condition, ModelDeploymentStatus, Raw
from tandem_operator.clients.cluster import EVENTS, Cluster, NotLeader, Resource
from tandem_operator.errors import Retry
from tandem_operator.events import Note, make_event, transitions

log = structlog.get_logger(__name__)


class Recorder:
    """Status and Events of one API server."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def record(
        self,
        resource: Resource,
        raw: Raw,
        before: Iterable[Condition],
        status: ModelDeploymentStatus | CloudEndpointStatus,
    ) -> Raw:
        """Write ``status`` on the object that ``raw`` is, unless it has it already; return the object as it is then."""
        wanted = status.model_dump(mode="json", by_alias=True)
        if raw.get("status") == wanted:
            return raw
        written = await self._cluster.apply_status(resource, raw, wanted)
        for note in transitions(before, status.conditions):
            log.info("condition turned", object=f"{raw['kind']} {raw['metadata']['name']}", reason=note.reason)
            await self.tell(raw, note)
        return written

    async def tell(self, raw: Raw, note: Note) -> None:
        """Write one Event; losing it loses no more than the telling."""
        try:
            await self._cluster.create(EVENTS, make_event(raw, note, now=datetime.now(UTC)))
        except NotLeader:
            raise
        except Retry as error:
            log.warning("an event was not written", reason=note.reason, why=str(error))
