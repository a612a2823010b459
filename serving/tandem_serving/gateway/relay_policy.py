"""The guard's policy as it arrives: documents, made into one immutable view. Pure; used by ``relay_mirror``.

A document that cannot be read takes its deployment's or endpoint's policy away: denied is the only safe reading.
"""

from types import MappingProxyType
from typing import Final

from envoy.config.core.v3 import health_check_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from pydantic import ValidationError
from tandem_contract.documents import Credential, DeploymentPolicy, EndpointPolicy, Freshness
from tandem_contract.identity import LOCAL_PREFIX
from tandem_contract.xds import types
from tandem_contract.xds.resources import Key, Resource, to_document

from tandem_serving.gateway.policy_board import PolicyView, fresh_at

_NOT_READY: Final = frozenset(
    {health_check_pb2.UNHEALTHY, health_check_pb2.DRAINING, health_check_pb2.TIMEOUT, health_check_pb2.DEGRADED}
)


class PolicyReader:
    """Keeps what the view is made of. ``take`` and ``forget`` change it, ``view`` returns it as of now."""

    def __init__(self) -> None:
        self._deployments: dict[str, DeploymentPolicy] = {}
        self._endpoints: dict[str, EndpointPolicy] = {}
        self._credentials: dict[str, Credential] = {}
        self._ready: dict[str, int] = {}
        self._fresh_at: float | None = None
        self._heard: Freshness | None = None

    def take(self, resource: Resource, *, now_seconds: float, monotonic_seconds: float) -> None:
        """Take over one resource; ``ValueError``, without the document's content, when it cannot be read."""
        key = resource.key
        if key.type_url == types.ENDPOINTS:
            self._count(key.name, endpoint_pb2.ClusterLoadAssignment.FromString(resource.body.value))
        if key.type_url not in types.TANDEM:
            return
        try:
            document = to_document(resource)
        except ValidationError as error:
            self.forget(key)
            raise ValueError(_explain(error)) from error
        match document:
            case DeploymentPolicy():
                self._deployments[key.name] = document
            case EndpointPolicy():
                self._endpoints[key.name] = document
            case Credential():
                self._credentials[key.name] = document
            case Freshness():
                self._hear(document, now_seconds, monotonic_seconds)

    def forget(self, key: Key) -> None:
        """Let go of one resource. A heartbeat that is withdrawn leaves the age of the last one as it is."""
        match key.type_url:
            case types.ENDPOINTS:
                self._ready.pop(key.name.removeprefix(LOCAL_PREFIX), None)
            case types.DEPLOYMENT_POLICY:
                self._deployments.pop(key.name, None)
            case types.ENDPOINT_POLICY:
                self._endpoints.pop(key.name, None)
            case types.CREDENTIAL:
                self._credentials.pop(key.name, None)

    def view(self) -> PolicyView:
        return PolicyView(
            deployments=MappingProxyType(dict(self._deployments)),
            endpoints=MappingProxyType(dict(self._endpoints)),
            credentials=MappingProxyType(dict(self._credentials)),
            ready_replicas=MappingProxyType(dict(self._ready)),
            fresh_at=self._fresh_at,
        )

    def _count(self, name: str, assignment: endpoint_pb2.ClusterLoadAssignment) -> None:
        if not name.startswith(LOCAL_PREFIX):
            return
        ready = sum(
            endpoint.health_status not in _NOT_READY
            for locality in assignment.endpoints
            for endpoint in locality.lb_endpoints
        )
        self._ready[name.removeprefix(LOCAL_PREFIX)] = ready

    def _hear(self, document: Freshness, now_seconds: float, monotonic_seconds: float) -> None:
        if document != self._heard:  # sent again on a new stream, it is as old as it was
            self._heard = document
            self._fresh_at = fresh_at(
                document.observed_seconds, now_seconds=now_seconds, monotonic_seconds=monotonic_seconds
            )


def _explain(error: ValidationError) -> str:
    """Say which fields are wrong, and never what they hold."""
    return "; ".join(
        f"{'.'.join(map(str, detail['loc'])) or 'document'}: {detail['msg']}"
        for detail in error.errors(include_url=False, include_context=False, include_input=False)
    )
