"""Endpoints (EDS): a deployment's replicas. Called by `compile_deployment`."""

from collections.abc import Sequence

from tandem_operator import names
from tandem_operator.api.v1alpha1 import Target
from tandem_operator.routing.proto import ENDPOINTS, Message


def make_endpoints(deployment: str, targets: Sequence[Target]) -> Message:
    """Return the replicas of ``namespace/name``, also when there are none: Envoy waits for a cluster's EDS resource."""
    return {
        "@type": ENDPOINTS,
        "cluster_name": names.local_cluster(deployment),
        "endpoints": [{"lb_endpoints": [_endpoint(target) for target in targets]}] if targets else [],
    }


def _endpoint(target: Target) -> Message:
    return {
        "endpoint": {"address": {"socket_address": {"address": target.address, "port_value": target.port}}},
        "metadata": {"filter_metadata": {"tandem": {"replica": target.replica}}},
    }
