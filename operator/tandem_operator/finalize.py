"""Takes a deleted ModelDeployment's Serve app away, then lets the object go. Called by ``reconcile_deployment``.

Only the app needs this: everything else goes by itself. A Ray cluster that cannot be reached holds the object, and a
condition says so and how to give the app up; one that the administrator's configuration no longer names lets it go.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

import structlog

from tandem_operator import conditions, deployment_status, names
from tandem_operator.api.v1alpha1 import ModelDeploymentStatus, Raw
from tandem_operator.clients.cluster import DEPLOYMENTS, Cluster
from tandem_operator.conditions import Finding
from tandem_operator.engines.serve_engine import ServeEngine
from tandem_operator.errors import Hold, Retry
from tandem_operator.events import Note
from tandem_operator.parsing import parse_status
from tandem_operator.recorder import Recorder

AGAIN_SECONDS: Final = 2.0
HELD_SECONDS: Final = 10.0

log = structlog.get_logger(__name__)


class Finalization:
    """The last part of an object's life."""

    def __init__(
        self, cluster: Cluster, recorder: Recorder, engines: Mapping[str, ServeEngine], *, cluster_uid: str
    ) -> None:
        self._cluster = cluster
        self._recorder = recorder
        self._engines = engines
        self._cluster_uid = cluster_uid

    async def advance(self, raw: Raw) -> float | None:
        """Do the next step for an object that is being deleted; returns the seconds until the one after, if any."""
        metadata = raw["metadata"]
        if names.FINALIZER not in metadata.get("finalizers", []):
            return None
        if metadata.get("annotations", {}).get(names.ABANDON) == "true":
            message = f"the annotation {names.ABANDON} gives the Serve app up: if it still runs, nobody removes it"
            await self._release(raw, Note("Warning", "ServeAppAbandoned", message))
            return None
        ray = _ray_cluster(raw)
        if ray is None:
            message = f"spec.local.ray names no Ray cluster that this operator understands. {_to_give_up(metadata)}"
            await self._say(raw, Finding("False", conditions.INVALID_SPEC, message))
            return None
        engine = self._engines.get(ray)
        if engine is None:
            message = f"Ray cluster {ray} is not in the operator's configuration any more: its Serve app is left alone"
            await self._release(raw, Note("Warning", "RayClusterGone", message))
            return None
        return await self._remove(raw, ray, engine)

    async def _remove(self, raw: Raw, ray: str, engine: ServeEngine) -> float | None:
        metadata = raw["metadata"]
        app = names.serve_app(self._cluster_uid, metadata["namespace"], metadata["name"])
        try:
            removed = await engine.remove(app)
        except (Retry, Hold) as error:
            message = f"the Serve app cannot be removed from Ray cluster {ray}: {error}. {_to_give_up(metadata)}"
            await self._say(raw, Finding("False", conditions.RAY_UNREACHABLE, message))
            return HELD_SECONDS
        if not removed:
            await self._say(raw, Finding("False", conditions.DELETING, "the Serve app is being removed"))
            return AGAIN_SECONDS
        await self._release(raw, None)
        return None

    async def _release(self, raw: Raw, note: Note | None) -> None:
        await self._cluster.remove_finalizer(DEPLOYMENTS, raw, names.FINALIZER)
        log.info("let go", deployment=names.key(raw["metadata"]["namespace"], raw["metadata"]["name"]))
        if note is not None:
            await self._recorder.tell(raw, note)

    async def _say(self, raw: Raw, ready: Finding) -> None:
        known = parse_status(ModelDeploymentStatus, raw)
        generation = raw["metadata"]["generation"]
        status = deployment_status.with_ready(known, ready, generation=generation, now=datetime.now(UTC))
        await self._recorder.record(DEPLOYMENTS, raw, known.conditions, status)


def _ray_cluster(raw: Raw) -> str | None:
    """Return the cluster that a spec names, also one that is not understood otherwise."""
    try:
        return str(raw["spec"]["local"]["ray"]["external"])
    except (KeyError, TypeError):
        return None


def _to_give_up(metadata: Raw) -> str:
    command = f"kubectl annotate mdep {metadata['name']} -n {metadata['namespace']} {names.ABANDON}=true"
    return f"To give its Serve app up: {command}"
