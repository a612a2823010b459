"""From what is wanted to Envoy's resources, one owner at a time. Called by the reconcilers and `leading`.

Each function returns only its owner's resources, so a change costs what changed. Nothing here reads the world.
"""

from tandem_operator.routing.clusters import make_clusters
from tandem_operator.routing.egress import make_way_out
from tandem_operator.routing.endpoints import make_endpoints
from tandem_operator.routing.inputs import USUAL, Bounds, GatewaySettings, RoutedDeployment, RoutedEndpoint
from tandem_operator.routing.listener import make_listener
from tandem_operator.routing.proto import Message
from tandem_operator.routing.routes import make_routes
from tandem_operator.routing.upstream import make_hop, make_upstream


def compile_gateway(settings: GatewaySettings) -> list[Message]:
    """Return what all deployments share: the listener and its routes."""
    return [make_listener(settings), make_routes(settings.bounds)]


def compile_deployment(deployment: RoutedDeployment, bounds: Bounds = USUAL) -> list[Message]:
    """Return one deployment's clusters and endpoints."""
    return [*make_clusters(deployment, bounds), make_endpoints(deployment.key, deployment.targets)]


def compile_endpoint(endpoint: RoutedEndpoint, bounds: Bounds = USUAL) -> list[Message]:
    """Return one cloud endpoint's way out: hop, guarded internal listener, provider."""
    return [make_hop(endpoint), make_upstream(endpoint), make_way_out(endpoint, bounds)]
