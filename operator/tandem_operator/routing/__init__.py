"""ModelDeployments and CloudEndpoints compiled into Envoy's resources: plain dicts in protobuf's JSON form. Pure."""

from tandem_operator.api.v1alpha1 import Target
from tandem_operator.routing.compile import compile_deployment, compile_endpoint, compile_gateway
from tandem_operator.routing.inputs import Bounds, GatewaySettings, RoutedDeployment, RoutedEndpoint
from tandem_operator.routing.proto import Message

__all__ = [
    "Bounds",
    "GatewaySettings",
    "Message",
    "RoutedDeployment",
    "RoutedEndpoint",
    "Target",
    "compile_deployment",
    "compile_endpoint",
    "compile_gateway",
]
