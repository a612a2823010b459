"""Brings one ModelDeployment to its spec: observe → plan → publish → apply → status. Called by the work queue.

It ignores why it was woken, and may be repeated or killed anywhere. Routes are published before replicas are touched:
what the guard allows never lags behind what a replica asks for. The finalizer is on before there is anything to remove.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

import structlog

from tandem_operator import conditions, deployment_status, names, naming, publish, readiness
from tandem_operator.api.v1alpha1 import ModelDeployment, ModelDeploymentStatus, ObjectMeta, Raw
from tandem_operator.cache import Key
from tandem_operator.clients.cluster import DEPLOYMENTS, Cluster
from tandem_operator.conditions import Finding
from tandem_operator.config import OperatorConfig
from tandem_operator.directory import Directory
from tandem_operator.engines.serve_document import Action, App
from tandem_operator.engines.serve_engine import Applied, ServeEngine
from tandem_operator.errors import Hold, Reject, Retry
from tandem_operator.finalize import Finalization
from tandem_operator.observed import Names, Observed
from tandem_operator.parsing import parse, parse_status
from tandem_operator.plan import keep_home, make_plan
from tandem_operator.publish import Publishing
from tandem_operator.readiness import Findings
from tandem_operator.recorder import Recorder
from tandem_operator.references import References, last_known, references
from tandem_operator.routing import compile_deployment
from tandem_operator.sightings import Sightings

_SLOW_SECONDS: Final = 1.0
"""A write to Ray that takes longer does not keep the status waiting."""

_WRITES: Final = frozenset({Action.PUT, Action.SCALE})

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Term:
    """What is the same for all deployments while this process leads."""

    cluster_uid: str
    """Uid of the namespace kube-system: other Kubernetes clusters may use the same Ray cluster."""

    redirect_key: bytes
    """From Secret ``tandem-internal``."""

    def __repr__(self) -> str:
        return f"Term({self.cluster_uid})"


class DeploymentReconciler:
    """Keeps nothing of its own: all that it knows it reads."""

    def __init__(
        self,
        *,
        cluster: Cluster,
        directory: Directory,
        publishing: Publishing,
        recorder: Recorder,
        engines: Mapping[str, ServeEngine],
        config: OperatorConfig,
        term: Term,
        sightings: Sightings,
        usable_endpoints: Callable[[], Mapping[str, bool]],
    ) -> None:
        self._cluster = cluster
        self._directory = directory
        self._publishing = publishing
        self._recorder = recorder
        self._engines = engines
        self._config = config
        self._term = term
        self._sightings = sightings
        self._usable_endpoints = usable_endpoints
        self._finalization = Finalization(cluster, recorder, engines, cluster_uid=term.cluster_uid)

    async def reconcile(self, key: Key) -> float | None:
        """Return the seconds after which to look again; None = at the next resync, or when something changes."""
        owner = publish.deployment_owner(names.key(key.namespace, key.name))
        raw = await self._cluster.get(DEPLOYMENTS, key.namespace, key.name)
        if raw is None or "deletionTimestamp" in raw["metadata"]:
            self._sightings.forget(key)
            self._publishing.drop(owner)
            return None if raw is None else await self._finalization.advance(raw)
        try:
            deployment = parse(ModelDeployment, raw)
        except Reject as error:
            await self._refuse(owner, raw, error)
            return None
        observed = await self._observe(key, deployment)
        plan = make_plan(
            observed,
            app=self._app(deployment),
            import_path=self._config.replica_import_path,
            redirect_key=self._term.redirect_key,
        )
        self._publishing.put(owner, compile_deployment(plan.routed), [plan.policy])
        grace_seconds = self._publishing.grace_seconds(owner)
        if plan.app is None or observed.app is None:
            await self._report(owner, raw, observed)
            return grace_seconds
        return await self._apply(owner, raw, observed, plan.app, replicas=plan.replicas, grace_seconds=grace_seconds)

    async def _observe(self, key: Key, deployment: ModelDeployment) -> Observed:
        observed = Observed(
            deployment=deployment,
            names=self._granted(references(deployment)),
            app=None,
            endpoints=self._directory.endpoints,
            credentials=self._usable_endpoints(),
            namespace_labels=self._directory.namespaces.get(deployment.metadata.namespace),
            refusal=self._refusal(deployment),
        )
        if observed.refusal is not None:
            return observed
        engine = self._engines[deployment.spec.local.ray.external]
        try:
            app = await engine.observe(self._app(deployment))
        except Hold as error:
            self._sightings.note(key, None)
            return replace(observed, app_error=f"{error}; the last known replicas are kept")
        self._sightings.note(key, app)
        return replace(observed, app=deployment_status.with_last_known_counts(app, deployment.status.local))

    def _refusal(self, deployment: ModelDeployment) -> Reject | None:
        """Return why the administrator's configuration gives this deployment no Ray cluster."""
        name, namespace = deployment.spec.local.ray.external, deployment.metadata.namespace
        cluster = self._config.ray_clusters.get(name)
        if cluster is None:
            message = f"spec.local.ray.external: the operator's configuration (rayClusters) has no cluster {name}"
            return Reject(conditions.UNKNOWN_RAY_CLUSTER, message)
        if not cluster.allows(namespace):
            message = (
                f"spec.local.ray.external: namespace {namespace} may not use Ray cluster {name}; "
                f"the administrator lists who may in the operator's configuration (rayClusters.{name}.namespaces)"
            )
            return Reject(conditions.RAY_CLUSTER_NOT_ALLOWED, message)
        return None

    async def _apply(
        self, owner: str, raw: Raw, observed: Observed, app: App, *, replicas: int, grace_seconds: float | None
    ) -> float | None:
        """Hand the app to the Ray cluster, report what it makes of it, and return when to look again."""
        if names.FINALIZER not in raw["metadata"].get("finalizers", []):
            raw = await self._cluster.apply_finalizers(DEPLOYMENTS, raw, [names.FINALIZER])
        engine = self._engines[observed.deployment.spec.local.ray.external]
        applying = asyncio.create_task(engine.apply(app, replicas))
        try:
            await asyncio.wait({applying}, timeout=_SLOW_SECONDS)
            if not applying.done():  # a Ray cluster that starts Serve takes its time: say what is so meanwhile
                raw = await self._report(owner, raw, replace(observed, rolling=True))
                observed = replace(observed, deployment=parse(ModelDeployment, raw))
            outcome, applied = await self._outcome(observed, applying)
        finally:
            applying.cancel()
        await self._report(owner, raw, outcome)
        if outcome.apply_error:  # nothing tells when it can be written: the queue's back-off bounds attempts
            raise Retry(outcome.apply_error)
        if applied is not None and applied.waits:
            return applied.again_seconds
        if outcome.rolling:
            return self._config.poll_seconds
        again = (grace_seconds, applied.again_seconds if applied else None)
        return min((seconds for seconds in again if seconds is not None), default=None)

    @staticmethod
    async def _outcome(observed: Observed, applying: asyncio.Task[Applied]) -> tuple[Observed, Applied | None]:
        """Return what is known once ``apply`` ended, and what it did; None = nothing for sure."""
        try:
            applied = await applying
        except Reject as error:
            return replace(observed, refusal=error), None
        except (Retry, Hold) as error:
            return replace(observed, apply_error=str(error)), None
        # What was seen before a write says nothing about what was written: look again soon.
        return replace(observed, rolling=applied.action in _WRITES), applied

    async def _report(self, owner: str, raw: Raw, observed: Observed) -> Raw:
        """Write the status if it differs, and return the object as it is then."""
        deployment = observed.deployment
        prior = conditions.find(deployment.status.conditions, conditions.ROUTES_PROGRAMMED)
        routes = self._publishing.finding(owner, prior, generation=deployment.metadata.generation)
        if routes is None:
            return raw  # acknowledged in a moment, and then we are called again
        findings = Findings(
            local=readiness.local_available(observed), cloud=readiness.cloud_reachable(observed), routes=routes
        )
        url = f"{self._config.gateway_url.rstrip('/')}/v1"
        status = deployment_status.make_status(observed, findings, url=url, now=datetime.now(UTC))
        return await self._recorder.record(DEPLOYMENTS, raw, deployment.status.conditions, status)

    async def _refuse(self, owner: str, raw: Raw, error: Reject) -> None:
        """Say that the spec is not understood, and let its last known replicas answer on."""
        metadata = ObjectMeta.model_validate(raw["metadata"])
        generation = metadata.generation
        granted = self._granted(last_known(raw)).granted
        known = parse_status(ModelDeploymentStatus, raw).model_copy(update={"names": granted})
        app = names.serve_app(self._term.cluster_uid, metadata.namespace, metadata.name)
        routed, policy = keep_home(metadata, known, app=app, redirect_key=self._term.redirect_key)
        self._publishing.put(owner, compile_deployment(routed), [policy])
        finding = Finding("False", error.reason, f"{error}. Its last known replicas answer on; nothing goes to a cloud")
        after = deployment_status.invalid(known.conditions, finding, generation=generation, now=datetime.now(UTC))
        status = known.model_copy(update={"observed_generation": generation, "conditions": after})
        await self._recorder.record(DEPLOYMENTS, raw, known.conditions, status)

    def _granted(self, own: References) -> Names:
        return naming.grant(own, self._directory.claimants(own))

    def _app(self, deployment: ModelDeployment) -> str:
        metadata = deployment.metadata
        return names.serve_app(self._term.cluster_uid, metadata.namespace, metadata.name)
