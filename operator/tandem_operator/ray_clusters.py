"""The administrator's Ray clusters as engines, with a fence: who lost the Lease writes to no Ray cluster either."""

from collections.abc import Callable, Mapping
from typing import Any

import aiohttp

from tandem_operator.clients.cluster import NotLeader
from tandem_operator.clients.ray_metrics import RayMetrics
from tandem_operator.clients.ray_serve import RayServeClient
from tandem_operator.config import RayCluster
from tandem_operator.engines.serve_engine import ServeEngine


class FencedClient(RayServeClient):
    """Reads always, writes only while this process leads: Serve's document has no versions to catch a late write."""

    def __init__(self, session: aiohttp.ClientSession, *, fence: Callable[[], float], **rest: Any) -> None:
        super().__init__(session, **rest)
        self._fence = fence

    async def put(self, document: Mapping[str, Any]) -> None:
        self._check()
        await super().put(document)

    async def scale(self, app: str, deployment: str, replicas: int) -> None:
        self._check()
        await super().scale(app, deployment, replicas)

    def _check(self) -> None:
        if self._fence() <= 0:
            raise NotLeader("nothing was written to the Ray cluster: this process does not lead")


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
