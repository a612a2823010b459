"""Clusters of an endpoint (CDS): the hop into its way out, and the provider behind it. Called by `compile_endpoint`.

`egress` has the listener that lies between them.
"""

from typing import Final

from tandem_operator import names
from tandem_operator.routing.inputs import RoutedEndpoint
from tandem_operator.routing.limits import BREAKERS, CONNECTION_BUFFER_BYTES
from tandem_operator.routing.proto import CLUSTER, Message, extension, typed

SYSTEM_ROOTS: Final = "/etc/ssl/certs/ca-certificates.crt"
"""Where Debian, Ubuntu and Envoy's official image keep the system's authorities."""


def make_hop(endpoint: RoutedEndpoint) -> Message:
    """Return the cluster that leads into the internal listener."""
    name = names.cloud_cluster(endpoint.name)
    listener = names.way_out_listener(endpoint.name, endpoint.destination)
    return {
        "@type": CLUSTER,
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "circuit_breakers": BREAKERS,
        "per_connection_buffer_limit_bytes": CONNECTION_BUFFER_BYTES,
        "load_assignment": _one_address(
            name, {"address": {"envoy_internal_address": {"server_listener_name": listener}}}
        ),
    }


def make_upstream(endpoint: RoutedEndpoint) -> Message:
    """Return the provider's own cluster: TLS, its certificate checked against its name."""
    name = names.upstream_cluster(endpoint.name, endpoint.destination)
    address = {"socket_address": {"address": endpoint.host, "port_value": endpoint.port}}
    return {
        "@type": CLUSTER,
        "name": name,
        "alt_stat_name": names.upstream_statistics(endpoint.name),
        "type": "LOGICAL_DNS",
        "dns_lookup_family": "V4_PREFERRED",
        # A gateway that starts with its link cut must serve what is local at once.
        "wait_for_warm_on_init": False,
        "connect_timeout": "3s",
        "circuit_breakers": BREAKERS,
        "per_connection_buffer_limit_bytes": CONNECTION_BUFFER_BYTES,
        "load_assignment": _one_address(name, {"address": address, "hostname": endpoint.host}),
        "transport_socket": extension(
            "envoy.transport_sockets.tls",
            "transport_sockets.tls.v3.UpstreamTlsContext",
            sni=endpoint.host,
            common_tls_context={
                "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
                "validation_context": _trusts(endpoint),
            },
        ),
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": typed(
                "upstreams.http.v3.HttpProtocolOptions",
                auto_config={"http_protocol_options": {}, "http2_protocol_options": {}},
                # Below the idle time-outs of the usual load balancers: theirs would meet a request on its way.
                common_http_protocol_options={"idle_timeout": "30s"},
            )
        },
    }


def _trusts(endpoint: RoutedEndpoint) -> Message:
    authorities = {"filename": SYSTEM_ROOTS} if endpoint.ca_pem is None else {"inline_string": endpoint.ca_pem}
    return {
        "trusted_ca": authorities,
        "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": endpoint.host}}],
    }


def _one_address(cluster: str, endpoint: Message) -> Message:
    return {"cluster_name": cluster, "endpoints": [{"lb_endpoints": [{"endpoint": endpoint}]}]}
