"""Brings one CloudEndpoint to its spec: read → publish → status. Called by the work queue, for whatever reason.

Fails closed: without a key, or without the certificates that it asks for, no credential is published and nothing
leaves. A Secret that could not be *read* changes nothing for the spec that it was last read for; an edited spec never
goes on with it, since what was published may allow more.
"""

from collections.abc import Callable
from datetime import UTC, datetime

import structlog
from tandem_contract.documents import Document

from tandem_operator import conditions, deployment_status, endpoint_status, publish
from tandem_operator.api.v1alpha1 import CloudEndpoint, CloudEndpointStatus, Raw
from tandem_operator.cache import Key
from tandem_operator.clients.cluster import ENDPOINTS, SECRETS, Cluster, Forbidden
from tandem_operator.conditions import Finding
from tandem_operator.config import OperatorConfig
from tandem_operator.directory import Directory
from tandem_operator.egress.policy import endpoint_policy
from tandem_operator.endpoint_status import Read, Resolved, Unread
from tandem_operator.errors import Reject, Retry
from tandem_operator.parsing import parse, parse_status
from tandem_operator.publish import Publishing
from tandem_operator.recorder import Recorder
from tandem_operator.routing import Message, RoutedEndpoint, compile_endpoint

log = structlog.get_logger(__name__)


class EndpointReconciler:
    """Knows, beside the API server's objects, only which endpoints have a usable key."""

    def __init__(
        self,
        *,
        cluster: Cluster,
        directory: Directory,
        publishing: Publishing,
        recorder: Recorder,
        config: OperatorConfig,
        enqueue: Callable[[Key], None],
    ) -> None:
        self._cluster = cluster
        self._directory = directory
        self._publishing = publishing
        self._recorder = recorder
        self._namespace = config.namespace
        self._again_seconds = config.credentials_seconds
        self._enqueue = enqueue
        self._usable: dict[str, bool] = {}
        self._read: dict[str, tuple[tuple[str, int], Resolved]] = {}
        """What was last read of each endpoint's Secrets, and for which version of its spec."""

    @property
    def usable(self) -> dict[str, bool]:
        """Whether each endpoint that was looked at has what it needs to be used."""
        return dict(self._usable)

    async def reconcile(self, key: Key) -> float | None:
        """Return the seconds after which the Secrets should be read again; None = the endpoint is gone."""
        raw = await self._cluster.get(ENDPOINTS, "", key.name)
        if raw is None or "deletionTimestamp" in raw["metadata"]:
            self._withdraw(key)
            return None
        try:
            endpoint = parse(CloudEndpoint, raw)
        except Reject as error:
            self._withdraw(key)
            await self._refuse(raw, error)
            return None
        resolved = endpoint_status.resolve(
            endpoint,
            key_secret=await self._secret(endpoint.spec.credentials.secret_ref.name),
            ca_secret=await self._secret(endpoint.spec.tls.ca_secret_ref.name) if endpoint.spec.tls else None,
        )
        await self._insist_on(endpoint)
        if resolved.unread:
            self._keep(key, endpoint)
        else:
            self._read[key.name] = _version(endpoint), resolved
            self._publish(endpoint, resolved)
            self._note(key, usable=resolved.usable)
        await self._report(raw, endpoint, resolved)
        if resolved.unread is Unread.FAILED:
            raise Retry(f"Secrets of CloudEndpoint {key.name} could not be read")
        return self._again_seconds

    async def _secret(self, name: str) -> Read:
        try:
            return await self._cluster.get(SECRETS, self._namespace, name)
        except Forbidden as error:
            log.warning("a Secret may not be read", secret=name, why=str(error))
            return Unread.FORBIDDEN
        except Retry as error:
            log.warning("a Secret could not be read", secret=name, why=str(error))
            return Unread.FAILED

    def _keep(self, key: Key, endpoint: CloudEndpoint) -> None:
        """Go on with what this leader read for this very spec; without that, nothing leaves."""
        version, resolved = self._read.get(key.name, (None, None))
        if resolved is not None and version == _version(endpoint):
            self._publish(endpoint, resolved)
        else:
            self._publishing.drop(publish.endpoint_owner(key.name))
            self._note(key, usable=False)

    async def _insist_on(self, endpoint: CloudEndpoint) -> None:
        """Start anew when the endpoint was edited while its Secrets were read: the key may be the next place's."""
        meta, now = endpoint.metadata, await self._cluster.get(ENDPOINTS, "", endpoint.metadata.name)
        if now is None or (now["metadata"]["uid"], now["metadata"]["generation"]) != (meta.uid, meta.generation):
            raise Retry(f"CloudEndpoint {meta.name} was edited while its Secrets were read", delay_seconds=0)

    def _publish(self, endpoint: CloudEndpoint, resolved: Resolved) -> None:
        name = endpoint.metadata.name
        users = self._directory.users(name)
        documents: list[Document] = [
            endpoint_policy(
                endpoint, destination=resolved.destination, namespaces=self._directory.namespaces, users=users
            )
        ]
        if resolved.usable and resolved.credential is not None:
            documents.append(resolved.credential)
        self._publishing.put(publish.endpoint_owner(name), way_out(endpoint, resolved), documents)

    async def _report(self, raw: Raw, endpoint: CloudEndpoint, resolved: Resolved) -> None:
        name = endpoint.metadata.name
        prior = conditions.find(endpoint.status.conditions, conditions.ROUTES_PROGRAMMED)
        generation = endpoint.metadata.generation
        routes = self._publishing.finding(publish.endpoint_owner(name), prior, generation=generation)
        if routes is None:
            return  # acknowledged in a moment: we are called again then
        status = endpoint_status.make_status(
            endpoint, resolved, routes, used_by=self._directory.users(name), now=datetime.now(UTC)
        )
        await self._recorder.record(ENDPOINTS, raw, endpoint.status.conditions, status)

    async def _refuse(self, raw: Raw, error: Reject) -> None:
        generation = raw["metadata"]["generation"]
        known = parse_status(CloudEndpointStatus, raw)
        finding = Finding("False", error.reason, str(error))
        after = deployment_status.invalid(known.conditions, finding, generation=generation, now=datetime.now(UTC))
        status = known.model_copy(update={"observed_generation": generation, "conditions": after})
        await self._recorder.record(ENDPOINTS, raw, known.conditions, status)

    def _withdraw(self, key: Key) -> None:
        self._publishing.drop(publish.endpoint_owner(key.name))
        self._read.pop(key.name, None)
        if self._usable.pop(key.name, None) is not None:
            self._wake_users(key)

    def _note(self, key: Key, *, usable: bool) -> None:
        if self._usable.get(key.name) is not usable:
            self._usable[key.name] = usable
            self._wake_users(key)

    def _wake_users(self, key: Key) -> None:
        for user in self._directory.user_keys(key.name):
            self._enqueue(user)


def _version(endpoint: CloudEndpoint) -> tuple[str, int]:
    return endpoint.metadata.uid, endpoint.metadata.generation


def way_out(endpoint: CloudEndpoint, resolved: Resolved) -> list[Message]:
    """Return Envoy's resources for ``endpoint``; none while the certificates that it asks for are missing."""
    if resolved.ca is not None:
        return []
    spec = endpoint.spec
    return compile_endpoint(RoutedEndpoint(endpoint.metadata.name, spec.url, spec.region, resolved.ca_pem))
