"""One Ray cluster as the engine of deployments: read, ask the pure modules, write, look again.

Called by ``reconcile`` for every deployment that names this cluster, on one event loop. One lock per Ray cluster
covers read, write and the look afterwards, since every write replaces everybody's document. What needs no write is
decided without it, from an answer that others share: a thousand quiet deployments cost a question per second. It holds
no state that a restart could miss: what it remembers only makes it wait, or tell of other writers.
"""

import asyncio
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

import structlog

from tandem_operator import conditions
from tandem_operator.clients.ray_metrics import RayMetrics
from tandem_operator.clients.ray_serve import RayServeClient, Refused
from tandem_operator.engines import serve_details, serve_document
from tandem_operator.engines.patience import Patience
from tandem_operator.engines.serve_details import DEPLOYMENT, AppDetails, ServeDetails
from tandem_operator.engines.serve_document import Action, App, Step
from tandem_operator.errors import Hold, Reject, Retry
from tandem_operator.observed import AppState, AppStatus

log = structlog.get_logger(__name__)

SNAPSHOT_SECONDS: Final = 1.0
"""One answer serves every deployment of the cluster for so long: they are looked at together."""

MOST_IN_LINE: Final = 3
"""Deployments that wait for their turn to write, each with a worker of the queue: a cluster that answers no write must
not have them all."""

PARKED_SECONDS: Final = 3.0
PARKED_PER_SECOND: Final = 20.0
"""When the others come again: together not more often than this."""

FAIL_FAST_SECONDS: Final = 5.0
"""After a failed read, others are told at once for so long, instead of each waiting for the same silence."""

NOTE_SECONDS: Final = 600.0
"""How long a clash with another writer stays in what ``observe`` says."""

FIRST_RETRY_SECONDS: Final = 60.0
LONGEST_RETRY_SECONDS: Final = 900.0
"""Between attempts at a document that Ray gave up on; doubled each time."""

PATIENCE_SECONDS: Final = 120.0
"""How long an edit may wait for room beside the old replicas, before the old ones make room."""


_WRITES: Final = frozenset({Action.PUT, Action.SCALE})


@dataclass(frozen=True, slots=True)
class Applied:
    """What ``apply`` did, and when it wants to be called again though nothing changed."""

    action: Action
    again_seconds: float | None = None
    waits: bool = False
    """``action`` is still to be done, since others stand in line before it."""


class ServeEngine:
    """The applications of this Kubernetes cluster on one Ray cluster."""

    def __init__(
        self,
        client: RayServeClient,
        *,
        cluster: str,
        cluster_uid: str,
        http_host: str,
        http_port: int,
        metrics: RayMetrics,
        clock: Callable[[], float] = time.monotonic,
        patience_seconds: float = PATIENCE_SECONDS,
        first_retry_seconds: float = FIRST_RETRY_SECONDS,
        snapshot_seconds: float = SNAPSHOT_SECONDS,
    ) -> None:
        """``http_host`` and ``http_port`` count only where Serve was never started; the port is of Ray's own proxy."""
        self._client = client
        self._cluster = cluster
        self._cluster_uid = cluster_uid
        self._http_host = http_host
        self._http_port = http_port
        self._metrics = metrics
        self._clock = clock
        self._patience_seconds = patience_seconds
        self._first_retry_seconds = first_retry_seconds
        self._snapshot_seconds = snapshot_seconds
        self._writing = asyncio.Lock()
        self._in_line = 0
        self._parked: set[str] = set()
        self._reading = asyncio.Lock()
        self._last: tuple[float, ServeDetails | Hold] | None = None
        self._wrote_at = -math.inf
        self._failing = Patience(clock)
        self._cramped = Patience(clock)
        self._written: dict[str, tuple[str, App]] = {}
        self._notes: dict[str, tuple[float, str]] = {}
        self._foreign: tuple[str, ...] = ()

    async def observe(self, app: str) -> AppState:
        """Return what runs; ``Hold``, with the reason, when it cannot be known."""
        details = await self._recent()
        state = serve_details.app_state(details, app)
        told = [state.message, *self._advice(details, app), *self._note(app)]
        return replace(state, message="; ".join(filter(None, told)))

    async def apply(self, app: App, replicas: int) -> Applied:
        """Bring one application to its document and its number of replicas; writes nothing when it is there.

        Whether it is there, a recent answer tells; what is written is built from one that was read just before. Raises
        ``Hold`` when writing could harm others or Ray cannot be read, ``Reject`` when Ray refuses ``app``, and
        ``Retry`` when the write may or may not have arrived.
        """
        step, again_seconds = self._decide(await self._recent(), app, replicas)
        self._parked.discard(app["name"])
        if step.action not in _WRITES:
            return Applied(step.action, again_seconds)
        if self._in_line >= MOST_IN_LINE:
            self._parked.add(app["name"])
            return Applied(step.action, max(PARKED_SECONDS, len(self._parked) / PARKED_PER_SECOND), waits=True)
        self._in_line += 1
        try:
            async with self._writing:
                before = await self._read()
                step, again_seconds = self._decide(before, app, replicas)
                await self._carry_out(before, step, app["name"], replicas)
        finally:
            self._in_line -= 1
        return Applied(step.action, again_seconds)

    def _decide(self, before: ServeDetails, app: App, replicas: int) -> tuple[Step, float | None]:
        """Return what is to be done, and the seconds after which to decide again though nothing changed."""
        found = before.applications.get(app["name"])
        self._notice(app["name"], before)
        retry_in, cramped_in = self._waits(found, app)
        step = serve_document.next_step(found, app, replicas, retry=retry_in == 0, cramped=cramped_in == 0)
        return step, min((seconds for seconds in (retry_in, cramped_in) if seconds), default=None)

    async def _carry_out(self, before: ServeDetails, step: Step, name: str, replicas: int) -> None:
        if step.action is Action.PUT and step.app is not None:
            await self._put_app(before, step.app)
        elif step.action is Action.SCALE:
            log.info("scaling", ray_cluster=self._cluster, app=name, replicas=replicas)
            try:
                await self._client.scale(name, DEPLOYMENT, replicas)
            finally:
                self._forget_answers()

    async def remove(self, app: str) -> bool:
        """Take one application out of the document; True once Ray has let go of its last replica."""
        async with self._writing:
            before = await self._read()
            found = before.applications.get(app)
            self._forget(app)
            if found is None:
                await self._make_sure_it_is_fresh(before)
                return True
            if found.status is not AppStatus.DELETING:
                await self._take_out(before, frozenset({app}))
        return False

    def _forget(self, app: str) -> None:
        """A namesake begins anew."""
        self._written.pop(app, None)
        self._notes.pop(app, None)
        self._parked.discard(app)
        self._failing.forget(app)
        self._cramped.forget(app)

    async def sweep(self, known_apps: Callable[[], Iterable[str]]) -> tuple[str, ...]:
        """Remove this Kubernetes cluster's applications that no deployment wants, and return their names.

        Call it only when the list of deployments is complete. ``known_apps`` is asked while nothing else writes, so
        that a deployment that came in between is known.
        """
        async with self._writing:
            before = await self._read()
            found = serve_details.orphans(before, known_apps(), self._cluster_uid)
            lost = frozenset(app for app in found if before.applications[app].status is not AppStatus.DELETING)
            if lost:
                await self._take_out(before, lost)
        return tuple(sorted(lost))

    async def _recent(self) -> ServeDetails:
        if self._reading.locked() and self._last is not None and isinstance(self._last[1], Hold):
            raise self._last[1]  # one who waits for a silent cluster is enough
        async with self._reading:
            if self._last is not None:
                at, told = self._last
                if isinstance(told, Hold):
                    if self._clock() - at < FAIL_FAST_SECONDS:
                        raise told
                elif self._clock() - at < self._snapshot_seconds:
                    return told
            return await self._read()

    async def _read(self) -> ServeDetails:
        asked_at = self._clock()
        try:
            details = await self._client.details()
        except Hold as hold:
            self._last = self._clock(), hold
            raise
        if asked_at >= self._wrote_at:  # else it may be from before a write that ended meanwhile
            self._last = self._clock(), details
        self._count_foreign(details)
        return details

    def _forget_answers(self) -> None:
        """Serve nobody what was asked for before a write that has just ended, however it ended."""
        self._last, self._wrote_at = None, self._clock()

    async def _put_app(self, before: ServeDetails, app: App) -> None:
        document = serve_document.merged(before, app, http_host=self._http_host, http_port=self._http_port)
        name = app["name"]
        log.info("deploying", ray_cluster=self._cluster, app=name, attempt=serve_document.attempt(app))
        try:
            after = await self._put(before, document, frozenset({name}))
        except Refused as refused:
            raise self._blame(name, document, refused) from refused
        self._failing.forget(name)
        self._cramped.forget(name)
        found = after.applications.get(name)
        if found and serve_document.covers(found.deployed_app_config or {}, app):
            self._written[name] = after.controller_info.actor_id, app

    async def _take_out(self, before: ServeDetails, apps: frozenset[str]) -> None:
        document = serve_document.without(before, apps, http_host=self._http_host, http_port=self._http_port)
        log.info("removing", ray_cluster=self._cluster, apps=sorted(apps))
        try:
            await self._put(before, document, apps)
        except Refused as refused:
            raise Retry(f"Ray cluster {self._cluster} refuses its own document: {_short(refused)}") from refused

    async def _put(self, before: ServeDetails, document: dict[str, Any], ours: frozenset[str]) -> ServeDetails:
        """Write, and look whether somebody else wrote too."""
        if why := serve_document.unwritable(before, document, ours):
            raise Hold(f"Ray cluster {self._cluster}: {why}")
        await self._make_sure_it_is_fresh(before)
        try:
            await self._client.put(document)
        finally:
            self._forget_answers()
        after = await self._read()
        for told in serve_document.surprises(before, document, after):
            self._clash(ours, told)
        return after

    async def _make_sure_it_is_fresh(self, before: ServeDetails) -> None:
        """Ray answers for a Serve that it lost sight of as for one that was never started: ask another way."""
        if not before.started and await self._client.serve_exists():
            raise Hold(f"Ray cluster {self._cluster}: Serve is running, but does not say what; nothing is written")

    def _blame(self, app: str, document: dict[str, Any], refused: Refused) -> Reject | Retry:
        """What was in the document before had been accepted once: a refusal that names nobody is about ours."""
        about = serve_document.refused_app(document, str(refused))
        if about in {"", app}:
            return Reject(conditions.ENGINE_REFUSED, f"Ray refuses the application: {_short(refused)}")
        return Retry(f"Ray cluster {self._cluster} refuses application {about}, which is not ours: {_short(refused)}")

    def _waits(self, found: AppDetails | None, app: App) -> tuple[float | None, float | None]:
        """Return the seconds until a failed application is tried again, and until old replicas must make room."""
        deployed = found.deployed_app_config if found else None
        same = serve_document.is_deployed(found, app)
        failed = same and found is not None and found.status is AppStatus.DEPLOY_FAILED
        attempts = min(serve_document.attempt(deployed), 10)
        back_off = min(self._first_retry_seconds * 2**attempts, LONGEST_RETRY_SECONDS)
        cramped = (
            same and found is not None and serve_document.surges(deployed) and serve_details.waits_for_resources(found)
        )
        failing_for = self._failing.waited(app["name"], holds=failed)
        cramped_for = self._cramped.waited(app["name"], holds=cramped)
        return (
            max(back_off - failing_for, 0) if failed else None,
            max(self._patience_seconds - cramped_for, 0) if cramped else None,
        )

    def _notice(self, app: str, before: ServeDetails) -> None:
        """Tell when somebody changed or removed what we wrote, on the same Serve that we gave it to."""
        serve, written = self._written.pop(app, ("", {}))
        if not serve or serve != before.controller_info.actor_id:
            return
        found = before.applications.get(app)
        if found is None or found.deployed_app_config is None:
            self._clash(frozenset({app}), f"another writer removed application {app}")
        elif not serve_document.covers(found.deployed_app_config, written):
            self._clash(frozenset({app}), f"another writer changed application {app}")
        else:
            self._written[app] = serve, written

    def _clash(self, apps: frozenset[str], told: str) -> None:
        if self._foreign:
            told = f"{told} (on this Ray cluster, applications of others: {', '.join(self._foreign[:5])})"
        log.warning("another writer", ray_cluster=self._cluster, apps=sorted(apps), told=told)
        self._metrics.foreign_writes.labels(self._cluster).inc()
        for app in apps:
            self._notes[app] = self._clock(), told

    def _note(self, app: str) -> list[str]:
        at, told = self._notes.get(app, (0.0, ""))
        return [told] if told and self._clock() - at < NOTE_SECONDS else []

    def _advice(self, details: ServeDetails, app: str) -> list[str]:
        """What an administrator has to do before this Ray cluster can serve."""
        if not serve_details.lacks_direct_ingress(details, app):
            return []
        return [
            "replicas run but have no HTTP port: set RAY_SERVE_ENABLE_DIRECT_INGRESS=1 on every node of the Ray cluster"
        ]

    def _count_foreign(self, details: ServeDetails) -> None:
        foreign = serve_details.foreign(details, self._cluster_uid)
        self._metrics.foreign_applications.labels(self._cluster).set(len(foreign))
        if foreign != self._foreign:
            log.info("applications of others on this Ray cluster", ray_cluster=self._cluster, apps=foreign)
        self._foreign = foreign


def _short(refused: Refused) -> str:
    return serve_details.ray_message(str(refused))
