"""The gateway's listener (LDS): where clients come in. Called by `compile_gateway`."""

import json
from typing import Final

from tandem_contract import headers
from tandem_contract.limits import BODY_BYTES
from tandem_contract.openai_error import openai_error

from tandem_operator import names
from tandem_operator.routing import routes
from tandem_operator.routing.access_log import make_access_log
from tandem_operator.routing.door import make_early_mutations
from tandem_operator.routing.inputs import GatewaySettings
from tandem_operator.routing.limits import CONNECTION_BUFFER_BYTES
from tandem_operator.routing.proto import LISTENER, Message, extension, from_ads, header, seconds, typed
from tandem_operator.routing.replies import make_local_replies

NAME: Final = "gateway"
_NAMED: Final = "%REQUEST_BODY(model)%"
_INPUT: Final = "type.googleapis.com/envoy.type.matcher.v3"


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
        http_filters=[_buffer(), _answers_are_ours(), _transform(), _router()],
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


def _answers_are_ours() -> Message:
    """Return the filter that turns what is no answer of ours into a 503.

    That is a redirect that Envoy did not follow: no client is sent elsewhere. And plain text from nobody in particular:
    a port that changed hands. Replicas and the guard say who answers, and the gateway's own errors are JSON.
    """
    status = {"name": "status", "typed_config": {"@type": f"{_INPUT}.HttpResponseStatusCodeClassMatchInput"}}
    from_nobody = [_is(headers.DESTINATION, {"exact": headers.GATEWAY}), _is("content-type", {"prefix": "text/plain"})]
    return extension(
        "envoy.filters.http.custom_response",
        "filters.http.custom_response.v3.CustomResponse",
        custom_response_matcher={
            "matcher_list": {
                "matchers": [
                    {
                        "predicate": {"single_predicate": {"input": status, "value_match": {"exact": "3xx"}}},
                        "on_match": {"action": _unavailable("Redirected more than once.")},
                    },
                    {
                        "predicate": {"and_matcher": {"predicate": from_nobody}},
                        "on_match": {"action": _unavailable("No replica of this model was found at its address.")},
                    },
                ]
            }
        },
    )


def _is(name: str, value: Message) -> Message:
    """Return the predicate that a response's header has this value."""
    input_ = {"name": name, "typed_config": {"@type": f"{_INPUT}.HttpResponseHeaderMatchInput", "header_name": name}}
    return {"single_predicate": {"input": input_, "value_match": value}}


def _unavailable(message: str) -> Message:
    error = openai_error(message, kind="server_error", code="unavailable")
    return extension(
        "unavailable",
        "http.custom_response.local_response_policy.v3.LocalResponsePolicy",
        status_code=503,
        body={"inline_string": json.dumps(error)},
        response_headers_to_add=[
            header("content-type", "application/json"),
            header("retry-after", "1"),
            header(headers.DESTINATION, headers.GATEWAY),
        ],
    )
