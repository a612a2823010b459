"""Names of Envoy's messages, and the shape of an extension. Used by every module here; decides nothing."""

from typing import Any, Final

Message = dict[str, Any]
"""A protobuf message in its JSON form, with ``@type`` where it travels as Any."""

_PREFIX: Final = "type.googleapis.com/"

_MARGIN_SECONDS: Final = 60

LISTENER: Final = f"{_PREFIX}envoy.config.listener.v3.Listener"
ROUTES: Final = f"{_PREFIX}envoy.config.route.v3.RouteConfiguration"
CLUSTER: Final = f"{_PREFIX}envoy.config.cluster.v3.Cluster"
ENDPOINTS: Final = f"{_PREFIX}envoy.config.endpoint.v3.ClusterLoadAssignment"


def extension(name: str, message: str, **fields: Any) -> Message:
    """Return an extension called ``name`` with its configuration of type ``envoy.extensions.<message>``."""
    return {"name": name, "typed_config": typed(message, **fields)}


def typed(message: str, **fields: Any) -> Message:
    """Return a message of type ``envoy.extensions.<message>`` to be packed into an Any."""
    return {"@type": f"{_PREFIX}envoy.extensions.{message}", **fields}


def from_ads(**fields: Any) -> Message:
    """Return the config source "the stream that this resource came by"."""
    return {"ads": {}, "resource_api_version": "V3", **fields}


def seconds(value: float) -> str:
    """Return a protobuf duration."""
    return f"{value:g}s"


def header(name: str, value: str, action: str = "OVERWRITE_IF_EXISTS_OR_ADD") -> Message:
    """Return a header to set; ``value`` may hold Envoy's command operators."""
    return {"header": {"key": name, "value": value}, "append_action": action}


def bounded(*, streamed: bool, answer: float, silence: float) -> Message:
    """Return a route's time-outs: what is not streamed is silent until it is done, so its silence must not count."""
    if streamed:
        return {"timeout": "0s", "idle_timeout": seconds(silence)}
    return {"timeout": seconds(answer), "idle_timeout": seconds(answer + _MARGIN_SECONDS)}
