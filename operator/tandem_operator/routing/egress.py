"""The way out (LDS): one internal listener for each endpoint: guard, then TLS. Called by `compile_endpoint`.

``cloud|<endpoint>`` is a hop to the internal listener ``cloud|<endpoint>|<destination>``; only that listener names
``upstream|<endpoint>|<destination>`` (`upstream` has both clusters). There is no other way out of the gateway.

An edited endpoint is another destination, so its listener and its provider are new ones and never a mixture: while
Envoy has one half, or has refused it, the hop leads nowhere and the request goes on to its next member.
"""

from collections.abc import Iterator
from typing import Final

from tandem_contract import headers
from tandem_contract.limits import BODY_BYTES

from tandem_operator import names
from tandem_operator.routing.access_log import keep_request_id, make_way_out_log
from tandem_operator.routing.door import remove_prefix
from tandem_operator.routing.inputs import Bounds, RoutedEndpoint
from tandem_operator.routing.limits import CONNECTION_BUFFER_BYTES
from tandem_operator.routing.proto import LISTENER, Message, bounded, extension, header, seconds, typed

_MOST_MILLISECONDS: Final = f"{headers.ENVOY_PREFIX}upstream-rq-per-try-timeout-ms"


def make_way_out(endpoint: RoutedEndpoint, bounds: Bounds) -> Message:
    """Return the internal listener."""
    name = names.way_out_listener(endpoint.name, endpoint.destination)
    manager = typed(
        "filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix=names.cloud_cluster(endpoint.name),
        generate_request_id=False,
        preserve_external_request_id=True,
        stream_idle_timeout=seconds(bounds.cloud_silence),
        # Without it a guard that died costs the client a second.
        delayed_close_timeout="0s",
        http_filters=[
            keep_request_id(),
            _guard(endpoint, bounds),
            _only_with_consent(endpoint),
            _nothing_of_ours(),
            _router(),
        ],
        local_reply_config=_refusals_go_on(),
        access_log=make_way_out_log(endpoint.name),
        route_config={
            "name": name,
            # Envoy would refuse the listener with a provider that it refused, and never be sent it again: it did not
            # change when the provider was mended. An unknown provider is a 503, so the next member is asked.
            "validate_clusters": False,
            "virtual_hosts": [_only_upstream(endpoint, bounds)],
        },
    )
    return {
        "@type": LISTENER,
        "name": name,
        "internal_listener": {},
        "per_connection_buffer_limit_bytes": CONNECTION_BUFFER_BYTES,
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
    }


def _guard(endpoint: RoutedEndpoint, bounds: Bounds) -> Message:
    return extension(
        "envoy.filters.http.ext_proc",
        "filters.http.ext_proc.v3.ExternalProcessor",
        grpc_service={
            "envoy_grpc": {"cluster_name": "guard"},
            # Which way out this is: from the configuration, where no client and no upstream can write.
            "initial_metadata": [
                {"key": headers.ENDPOINT, "value": endpoint.name},
                {"key": headers.DESTINATION_DIGEST, "value": endpoint.destination},
            ],
        },
        failure_mode_allow=False,
        # The route was chosen by headers that do not leave: it stays, whatever the guard rewrites.
        route_cache_action="RETAIN",
        status_on_error={"code": "ServiceUnavailable"},
        message_timeout=seconds(bounds.guard),
        mutation_rules={"allow_all_routing": True, "allow_envoy": True},
        processing_mode={
            "request_header_mode": "SEND",
            "request_body_mode": "BUFFERED",
            "response_header_mode": "SEND",
            "response_body_mode": "STREAMED",
            "request_trailer_mode": "SKIP",
            "response_trailer_mode": "SEND",
        },
    )


def _only_with_consent(endpoint: RoutedEndpoint) -> Message:
    """Return the filter that stops what the guard did not send here: its word for this very place must be there.

    Envoy takes an ext_proc stream that ends well without an answer for consent, and ``failure_mode_allow`` does not
    mean that (seen with Envoy 1.40).
    """
    consent = {"name": headers.DESTINATION_DIGEST, "string_match": {"exact": endpoint.destination}}
    sent_by_the_guard = {"permissions": [{"header": consent}], "principals": [{"any": True}]}
    return extension(
        "envoy.filters.http.rbac",
        "filters.http.rbac.v3.RBAC",
        rules={"action": "ALLOW", "policies": {"sent by the guard": sent_by_the_guard}},
    )


def _refusals_go_on() -> Message:
    """Return the listener's ``local_reply_config``: a refusal of that filter is a 503, so that local answers."""
    comparison = {"op": "EQ", "value": {"default_value": 403, "runtime_key": "tandem.unused"}}
    return {"mappers": [{"filter": {"status_code_filter": {"comparison": comparison}}, "status_code": 503}]}


def _nothing_of_ours() -> Message:
    """Return the filter behind the guard: no header about us or the client goes out, none that steers us comes in.

    The deployment's share of time for this cloud becomes, between two removals, the header that the router obeys and
    takes off.
    """
    ours = [remove_prefix(headers.ENVOY_PREFIX), remove_prefix(headers.PREFIX)]
    # It bounds the time until the answer's headers, streamed or not: after them nobody can be asked instead.
    in_time = {"append": header(_MOST_MILLISECONDS, f"%REQ({headers.CLOUD_MILLISECONDS})%")}
    outgoing = [ours[0], in_time, ours[1], remove_prefix("x-forwarded-"), {"remove": "cookie"}]
    return extension(
        "envoy.filters.http.header_mutation",
        "filters.http.header_mutation.v3.HeaderMutation",
        mutations={"request_mutations": outgoing, "response_mutations": ours},
    )


def _router() -> Message:
    """Return the router, silent: its own headers would tell a provider about retries and paths in here."""
    return extension("envoy.filters.http.router", "filters.http.router.v3.Router", suppress_envoy_headers=True)


def _only_upstream(endpoint: RoutedEndpoint, bounds: Bounds) -> Message:
    return {
        "name": "upstream",
        "domains": ["*"],
        "routes": list(_to_upstream(names.upstream_cluster(endpoint.name, endpoint.destination), bounds)),
    }


def _to_upstream(cluster: str, bounds: Bounds) -> Iterator[Message]:
    says_stream = {"name": headers.STREAM, "string_match": {"exact": "true"}}
    for streamed, matchers in ((True, [says_stream]), (False, [])):
        limits = bounded(streamed=streamed, answer=bounds.cloud_answer, silence=bounds.cloud_silence)
        yield {
            "match": {"prefix": "/", "headers": matchers},
            "request_body_buffer_limit": BODY_BYTES,
            "route": {"cluster": cluster, **limits},
        }
