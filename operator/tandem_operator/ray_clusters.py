"""The administrator's Ray clusters as engines, with a fence: who lost the Lease writes to no Ray cluster either."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import aiohttp

from tandem_operator.clients.cluster import NotLeader
from tandem_operator.clients.ray_metrics import RayMetrics
from tandem_operator.clients.ray_serve import RayServeClient
from tandem_operator.config import RayCluster
from tandem_operator.engines.serve_engine import ServeEngine


class FencedClient(RayServeClient):
    """Reads always, writes only while this process leads: Serve's document has no versions to catch a late write.

    A write may take longer than a Lease lasts (the first one starts Serve), so it goes on for as long as the Lease is
    renewed meanwhile, and is let go of before anybody else may lead.
    """

    def __init__(self, session: aiohttp.ClientSession, *, fence: Callable[[], float], **rest: Any) -> None:
        super().__init__(session, **rest)
        self._fence = fence

    async def put(self, document: Mapping[str, Any]) -> None:
        await self._while_leading(super().put(document))

    async def scale(self, app: str, deployment: str, replicas: int) -> None:
        await self._while_leading(super().scale(app, deployment, replicas))

    async def _while_leading(self, write: Coroutine[Any, Any, None]) -> None:
        if self._fence() <= 0:
            write.close()
            raise NotLeader("nothing was written to the Ray cluster: this process does not lead")
        sent = asyncio.ensure_future(write)
        try:
            while not sent.done():
                if (seconds := self._fence()) <= 0:
                    raise NotLeader("a write to the Ray cluster was let go of: this process does not lead any more")
                await asyncio.wait({sent}, timeout=seconds)
            sent.result()
        finally:
            sent.cancel()
            await asyncio.gather(sent, return_exceptions=True)  # its connection is closed by then


def make_engines(
    clusters: Mapping[str, RayCluster],
    session: aiohttp.ClientSession,
    metrics: RayMetrics,
    *,
    cluster_uid: str,
    fence: Callable[[], float],
) -> dict[str, ServeEngine]:
    """Return one engine for each cluster, by the name that specs use."""
    return {
        name: ServeEngine(
            FencedClient(session, fence=fence, cluster=name, url=cluster.url, token=cluster.token, metrics=metrics),
            cluster=name,
            cluster_uid=cluster_uid,
            http_host=cluster.http_host,
            http_port=cluster.http_port,
            metrics=metrics,
        )
        for name, cluster in clusters.items()
    }
