"""Type URLs on the stream, the order in which they are sent, and who may see which."""

from typing import Final

PREFIX: Final = "type.googleapis.com/"

CLUSTER: Final = PREFIX + "envoy.config.cluster.v3.Cluster"
ENDPOINTS: Final = PREFIX + "envoy.config.endpoint.v3.ClusterLoadAssignment"
LISTENER: Final = PREFIX + "envoy.config.listener.v3.Listener"
ROUTES: Final = PREFIX + "envoy.config.route.v3.RouteConfiguration"

ENVOY: Final = (CLUSTER, ENDPOINTS, LISTENER, ROUTES)
"""What Envoy itself takes, in the order that makes before it breaks."""

_TANDEM: Final = PREFIX + "tandem.dev.v1."
DEPLOYMENT_POLICY: Final = _TANDEM + "DeploymentPolicy"
ENDPOINT_POLICY: Final = _TANDEM + "EndpointPolicy"
CREDENTIAL: Final = _TANDEM + "Credential"
FRESHNESS: Final = _TANDEM + "Freshness"

TANDEM: Final = (DEPLOYMENT_POLICY, ENDPOINT_POLICY, CREDENTIAL, FRESHNESS)
"""JSON documents for the guard. Envoy never sees them."""

ALL: Final = ENVOY + TANDEM

NEVER_ON_DISK: Final = frozenset({CREDENTIAL, FRESHNESS})
"""A key lives in memory only; a heartbeat says nothing about another process."""
