"""What a leader does for one term: certificates, a first look at everything, then gateways and queue for ever.

Called by ``election`` through ``__main__``, and cancelled when the term ends. A term has a publisher of its own, and
lets gateways in only after every object was published once: what is not there by then is taken from them.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime
from typing import Final, TypeVar

import aiohttp
import structlog
from tandem_contract.documents import Freshness

from tandem_operator import names, publish
from tandem_operator.cache import Key, Kind
from tandem_operator.clients.cluster import NAMESPACES, Cluster
from tandem_operator.clients.ray_metrics import RayMetrics
from tandem_operator.config import OperatorConfig
from tandem_operator.engines.serve_engine import ServeEngine
from tandem_operator.errors import Hold, Retry, TandemError
from tandem_operator.first_look import FirstLook
from tandem_operator.internal_secrets import ensure_pki
from tandem_operator.observing import Observing
from tandem_operator.pki import Pki
from tandem_operator.polling import poll
from tandem_operator.publish import Publishing
from tandem_operator.ray_clusters import make_engines
from tandem_operator.reconcile_deployment import DeploymentReconciler, Term
from tandem_operator.reconcile_endpoint import EndpointReconciler
from tandem_operator.recorder import Recorder
from tandem_operator.routing import GatewaySettings, compile_gateway
from tandem_operator.servers.xds import FRESHNESS_OWNER, Publisher
from tandem_operator.sightings import Sightings
from tandem_operator.workqueue import Reconcile, WorkQueue

_RETRY_SECONDS: Final = 2.0

T = TypeVar("T")

log = structlog.get_logger(__name__)


class Leading:
    """What leaders share from term to term; ``lead`` is one term."""

    def __init__(
        self,
        *,
        config: OperatorConfig,
        cluster: Cluster,
        observing: Observing,
        queue: WorkQueue[Key],
        ray_metrics: RayMetrics,
        fence: Callable[[], float],
    ) -> None:
        self._config = config
        self._cluster = cluster
        self._observing = observing
        self._queue = queue
        self._ray_metrics = ray_metrics
        self._fence = fence

    async def lead(self) -> None:
        """Lead until cancelled."""
        await self._observing.synced.wait()
        pki = await _patiently(self._ensure_pki)
        term = Term(await _patiently(self._read_cluster_uid), pki.redirect_key)
        publisher = Publisher(changed=self._on_acknowledged)
        config = self._config
        publisher.put("gateway", compile_gateway(GatewaySettings(config.gateway_address, config.gateway_port)))
        await publisher.start(config.xds_address, config.xds_port, pki.server)
        try:
            async with aiohttp.ClientSession() as session:
                engines = make_engines(
                    config.ray_clusters, session, self._ray_metrics, cluster_uid=term.cluster_uid, fence=self._fence
                )
                await self._work(term, pki, publisher, engines)
        finally:
            await publisher.stop()

    async def _work(self, term: Term, pki: Pki, publisher: Publisher, engines: Mapping[str, ServeEngine]) -> None:
        keys = [key for kind in (Kind.ENDPOINT, Kind.DEPLOYMENT) for key in self._observing.cache.keys(kind)]
        first_look = FirstLook(map(_owner, keys))
        self._queue.clear()  # of what a follower heard
        for key in keys:
            self._queue.add(key)
        sightings = Sightings()
        reconcile = self._make_reconcile(term, publisher, engines, first_look, sightings)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._queue.work(reconcile, workers=self._config.workers))
            group.create_task(self._open(publisher, first_look))
            group.create_task(self._keep_pki(publisher, pki))
            group.create_task(self._keep_fresh(publisher))
            group.create_task(self._sweep(term, engines))
            group.create_task(
                poll(
                    engines,
                    self._observing.directory.deployments,
                    cluster_uid=term.cluster_uid,
                    every_seconds=self._config.poll_seconds,
                    sightings=sightings,
                    enqueue=self._queue.add,
                )
            )

    def _make_reconcile(
        self,
        term: Term,
        publisher: Publisher,
        engines: Mapping[str, ServeEngine],
        first_look: FirstLook,
        sightings: Sightings,
    ) -> Reconcile[Key]:
        """Return the function that brings any key to its spec, and looks again at the next resync at the latest."""
        publishing, recorder = Publishing(publisher, decided=first_look.decided), Recorder(self._cluster)
        endpoints = EndpointReconciler(
            cluster=self._cluster,
            directory=self._observing.directory,
            publishing=publishing,
            recorder=recorder,
            config=self._config,
            enqueue=self._queue.add,
        )
        deployments = DeploymentReconciler(
            cluster=self._cluster,
            directory=self._observing.directory,
            publishing=publishing,
            recorder=recorder,
            engines=engines,
            config=self._config,
            term=term,
            sightings=sightings,
            usable_endpoints=lambda: endpoints.usable,
        )
        by_kind = {Kind.ENDPOINT: endpoints.reconcile, Kind.DEPLOYMENT: deployments.reconcile}

        async def reconcile(key: Key) -> float | None:
            try:
                again_seconds = await by_kind[key.kind](key)
            except Exception as error:
                first_look.failed(_owner(key), error)
                raise
            if again_seconds is not None or self._observing.cache.get(key) is None:
                return again_seconds
            return self._config.resync_seconds * random.uniform(0.9, 1.1)  # noqa: S311  jitter

        return reconcile

    def _on_acknowledged(self, owners: frozenset[str]) -> None:
        """Look again at the objects whose routes gateways have taken or refused."""
        for owner in owners:
            kind, _, rest = owner.partition("/")
            if kind == "endpoint":
                self._queue.add(Key(Kind.ENDPOINT, "", rest))
            elif kind == "deployment":
                namespace, _, name = rest.partition("/")
                self._queue.add(Key(Kind.DEPLOYMENT, namespace, name))

    async def _open(self, publisher: Publisher, first_look: FirstLook) -> None:
        await first_look.over.wait()
        publisher.open()
        log.info("gateways are let in")

    async def _keep_fresh(self, publisher: Publisher) -> None:
        """Tell gateways that the policy is current, as long as it is."""
        while True:
            if self._observing.current:
                now = Freshness(observed_seconds=int(datetime.now(UTC).timestamp()))
                publisher.put(FRESHNESS_OWNER, documents=[now])
            await asyncio.sleep(self._config.freshness_seconds)

    async def _keep_pki(self, publisher: Publisher, pki: Pki) -> None:
        server = pki.server
        while True:
            await asyncio.sleep(self._config.certificates_seconds)
            try:
                pki = await ensure_pki(
                    self._cluster, self._config.namespace, server=server, names=self._config.xds_names
                )
            except (Retry, Hold) as error:
                log.warning("certificates could not be looked at", why=str(error))
                continue
            if pki.server != server:
                server = pki.server
                publisher.use(server)

    async def _sweep(self, term: Term, engines: Mapping[str, ServeEngine]) -> None:
        """Remove Serve apps whose deployments are gone although nobody removed them: finalizers can be forced off."""

        def known() -> list[str]:
            keys = self._observing.cache.keys(Kind.DEPLOYMENT)
            return [names.serve_app(term.cluster_uid, key.namespace, key.name) for key in keys]

        while True:
            await asyncio.sleep(self._config.resync_seconds * random.uniform(0.9, 1.1))  # noqa: S311  jitter
            for name, engine in engines.items():
                if not self._observing.current:
                    continue
                try:
                    if lost := await engine.sweep(known):
                        log.warning("removed apps that no deployment wants", ray_cluster=name, apps=lost)
                except TandemError as error:
                    log.info("could not look for lost apps", ray_cluster=name, why=str(error))

    async def _ensure_pki(self) -> Pki:
        return await ensure_pki(self._cluster, self._config.namespace, server=None, names=self._config.xds_names)

    async def _read_cluster_uid(self) -> str:
        system = await self._cluster.get(NAMESPACES, "", "kube-system")
        if system is None:
            raise Retry("namespace kube-system does not exist")
        return str(system["metadata"]["uid"])


def _owner(key: Key) -> str:
    if key.kind is Kind.ENDPOINT:
        return publish.endpoint_owner(key.name)
    return publish.deployment_owner(names.key(key.namespace, key.name))


async def _patiently(get: Callable[[], Coroutine[None, None, T]]) -> T:
    """Return what ``get`` returns, as soon as it can."""
    while True:
        try:
            return await get()
        except (Retry, Hold) as error:
            log.warning("cannot start to lead yet", why=str(error))
        await asyncio.sleep(_RETRY_SECONDS)
