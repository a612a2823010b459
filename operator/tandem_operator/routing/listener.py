"""The gateway's listener (LDS): where clients come in. Called by `compile_gateway`."""

import json
from typing import Final

from tandem_contract import headers

from tandem_operator import names
from tandem_operator.routing import routes
from tandem_operator.routing.access_log import make_access_log
from tandem_operator.routing.door import make_early_mutations
from tandem_operator.routing.inputs import GatewaySettings
from tandem_operator.routing.limits import BODY_BYTES, CONNECTION_BUFFER_BYTES
from tandem_operator.routing.proto import LISTENER, Message, extension, from_ads, header, seconds, typed
from tandem_operator.routing.replies import make_local_replies

NAME: Final = "gateway"
_NAMED: Final = "%REQUEST_BODY(model)%"
_REDIRECTED: Final = {
    "error": {"message": "Redirected more than once.", "type": "server_error", "param": None, "code": "unavailable"}
}


def make_listener(settings: GatewaySettings) -> Message:
    """Return the listener."""
    manager = typed(
        "filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="gateway",
        rds={"route_config_name": routes.NAME, "config_source": from_ads()},
        use_remote_address=True,
        normalize_path=True,
        merge_slashes=True,
        preserve_external_request_id=True,
        always_set_request_id_in_response=True,
        request_headers_timeout="10s",
        stream_idle_timeout=seconds(settings.bounds.silence),
        early_header_mutation_extensions=make_early_mutations(),
        http_filters=[_buffer(), _redirects_end_here(), _transform(), _router()],
        local_reply_config=make_local_replies(),
        access_log=make_access_log(),
    )
    return {
        "@type": LISTENER,
        "name": NAME,
        "address": {"socket_address": {"address": settings.address, "port_value": settings.port}},
        "per_connection_buffer_limit_bytes": CONNECTION_BUFFER_BYTES,
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
    }


def _buffer() -> Message:
    return extension("envoy.filters.http.buffer", "filters.http.buffer.v3.Buffer", max_request_bytes=BODY_BYTES)


def _transform() -> Message:
    """Return the filter that writes the clusters into headers: the prefix keeps a client from naming any other."""
    from_body = {
        headers.MODEL: names.model_cluster(_NAMED),
        headers.ESCALATED: names.escalated_cluster(_NAMED),
        headers.HOME: names.home_cluster(_NAMED),
        headers.REQUESTED: _NAMED,
        headers.STREAM: "%REQUEST_BODY(stream)%",
    }
    return extension(
        "envoy.filters.http.transform",
        "filters.http.transform.v3.TransformConfig",
        clear_route_cache=True,
        request_transformation={
            "headers_mutations": [{"append": header(name, value)} for name, value in from_body.items()]
        },
    )


def _router() -> Message:
    return extension("envoy.filters.http.router", "filters.http.router.v3.Router")


def _redirects_end_here() -> Message:
    """Return the filter that turns a redirect that Envoy did not follow into a 503: no client is sent elsewhere."""
    refuse = extension(
        "refuse",
        "http.custom_response.local_response_policy.v3.LocalResponsePolicy",
        status_code=503,
        body={"inline_string": json.dumps(_REDIRECTED)},
        response_headers_to_add=[
            header("content-type", "application/json"),
            header("retry-after", "1"),
            header(headers.DESTINATION, headers.GATEWAY),
        ],
    )
    status = {
        "name": "status",
        "typed_config": {"@type": "type.googleapis.com/envoy.type.matcher.v3.HttpResponseStatusCodeClassMatchInput"},
    }
    return extension(
        "envoy.filters.http.custom_response",
        "filters.http.custom_response.v3.CustomResponse",
        custom_response_matcher={
            "matcher_tree": {"input": status, "exact_match_map": {"map": {"3xx": {"action": refuse}}}}
        },
    )
