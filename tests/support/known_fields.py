"""The fields of Envoy's messages of which `ways_out` knows that they open no way out. Anything else is a finding.

Add one here only after asking what it can do to a request: ``disabled`` takes the guard away, for one route
``typed_per_filter_config`` does; ``request_mirror_policies`` sends a copy elsewhere; ``allow_mode_override`` lets an
answer of the guard shrink what it sees; ``default_filter_chain`` is a second door.
"""

from collections.abc import Iterator, Set
from typing import Final

from tandem_operator.routing import Message

NAMED: Final = {"name", "typed_config"}

_LISTENER: Final = {"@type", "name", "per_connection_buffer_limit_bytes", "filter_chains"}
DOOR: Final = _LISTENER | {"address"}
INNER: Final = _LISTENER | {"internal_listener"}

_MANAGER: Final = {
    "@type",
    "access_log",
    "http_filters",
    "local_reply_config",
    "preserve_external_request_id",
    "stat_prefix",
    "stream_idle_timeout",
}
DOOR_MANAGER: Final = _MANAGER | {
    "always_set_request_id_in_response",
    "early_header_mutation_extensions",
    "merge_slashes",
    "normalize_path",
    "rds",
    "request_headers_timeout",
    "use_remote_address",
}
INNER_MANAGER: Final = _MANAGER | {"delayed_close_timeout", "generate_request_id", "route_config"}

HARMLESS_FILTERS: Final = {"Buffer", "CustomResponse", "HeaderMutation", "TransformConfig", "Router"}
"""By type, which decides what a filter is; its name is only a label."""

BEFORE_THE_GUARD: Final = {
    "name": "envoy.filters.http.set_filter_state",
    "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.set_filter_state.v3.Config",
        "on_request_headers": [
            {
                "object_key": "tandem.request_id",
                "factory_key": "envoy.string",
                "format_string": {"text_format_source": {"inline_string": "%REQ(x-request-id)%"}},
            }
        ],
    },
}
"""The one filter that may stand there, to the letter: under other keys Envoy's state chooses hosts and clusters."""

GUARD: Final = {
    "@type",
    "failure_mode_allow",
    "grpc_service",
    "message_timeout",
    "mutation_rules",
    "processing_mode",
    "route_cache_action",
    "status_on_error",
}
GUARD_SERVICE: Final = {"envoy_grpc", "initial_metadata"}

ROUTES: Final = {"@type", "name", "validate_clusters", "virtual_hosts"}
VIRTUAL_HOST: Final = {
    "domains",
    "include_request_attempt_count",
    "name",
    "request_headers_to_remove",
    "response_headers_to_add",
    "response_headers_to_remove",
    "routes",
}
ROUTE: Final = {"direct_response", "match", "request_body_buffer_limit", "request_headers_to_add", "route"}
ACTION: Final = {
    "cluster",
    "cluster_header",
    "cluster_not_found_response_code",
    "idle_timeout",
    "internal_redirect_policy",
    "path_rewrite",
    "timeout",
}

_CLUSTER: Final = {"@type", "name", "connect_timeout", "circuit_breakers"}
CHAIN: Final = _CLUSTER | {"cluster_type", "lb_policy", "metadata", "typed_extension_protocol_options"}
HOP: Final = _CLUSTER | {"load_assignment", "per_connection_buffer_limit_bytes", "type"}
REPLICAS: Final = _CLUSTER | {
    "common_lb_config",
    "eds_cluster_config",
    "health_checks",
    "ignore_health_on_host_removal",
    "lb_policy",
    "outlier_detection",
    "per_connection_buffer_limit_bytes",
    "type",
    "typed_extension_protocol_options",
}
HTTP_OPTIONS: Final = {"@type", "common_http_protocol_options", "explicit_http_config", "retry_policy"}


def unknown(message: Message, known: Set[str], where: str) -> Iterator[str]:
    """Yield a finding for each field of ``message`` that is not ``known``."""
    yield from (f"{where}: unknown field {name}" for name in sorted(message.keys() - known))


def type_of(message: Message) -> str:
    """Return the last word of a message's type: ``Listener``."""
    return str(message["@type"]).rpartition(".")[2]
