"""Asks each Ray cluster every few seconds what its applications do, and wakes the deployments for which that changed.

Run by the leader, so that no reconcile has to ask again while a state lasts. A replica that died comes back at another
address, and nobody but Ray knows; a whole cluster is one question, however many deployments it has. It writes nothing.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping

import structlog

from tandem_operator import names
from tandem_operator.api.v1alpha1 import ModelDeployment
from tandem_operator.cache import Key, Kind
from tandem_operator.engines.serve_engine import ServeEngine
from tandem_operator.errors import Hold
from tandem_operator.observed import AppState
from tandem_operator.sightings import Sightings

log = structlog.get_logger(__name__)


async def poll(
    engines: Mapping[str, ServeEngine],
    deployments: Callable[[], Iterable[ModelDeployment]],
    *,
    cluster_uid: str,
    every_seconds: float,
    sightings: Sightings,
    enqueue: Callable[[Key], None],
) -> None:
    """Poll all clusters until cancelled, each at its own pace: a silent one keeps nobody waiting."""
    async with asyncio.TaskGroup() as group:
        for name, engine in engines.items():

            def its_deployments(ray: str = name) -> list[ModelDeployment]:
                return [deployment for deployment in deployments() if deployment.spec.local.ray.external == ray]

            group.create_task(
                _poll_one(
                    engine,
                    its_deployments,
                    cluster_uid=cluster_uid,
                    every_seconds=every_seconds,
                    sightings=sightings,
                    enqueue=enqueue,
                )
            )


async def _poll_one(
    engine: ServeEngine,
    deployments: Callable[[], list[ModelDeployment]],
    *,
    cluster_uid: str,
    every_seconds: float,
    sightings: Sightings,
    enqueue: Callable[[Key], None],
) -> None:
    while True:
        await asyncio.sleep(every_seconds)
        for deployment in deployments():
            key, state = _key(deployment), await _look(engine, deployment, cluster_uid)
            if sightings.note(key, state):
                enqueue(key)


async def _look(engine: ServeEngine, deployment: ModelDeployment, cluster_uid: str) -> AppState | None:
    metadata = deployment.metadata
    try:
        return await engine.observe(names.serve_app(cluster_uid, metadata.namespace, metadata.name))
    except Hold:
        return None
    except Exception:  # an answer that nobody foresaw, about one application: the others are looked at all the same
        log.exception("an application could not be looked at", deployment=str(_key(deployment)))
        return None


def _key(deployment: ModelDeployment) -> Key:
    return Key(Kind.DEPLOYMENT, deployment.metadata.namespace, deployment.metadata.name)
