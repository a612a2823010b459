"""Envoy's bootstrap: who it is, where its configuration comes from, what it must never outgrow. Pure but for ``main``.

``python -m tandem_serving.gateway.bootstrap > bootstrap.json``. All else that Envoy knows arrives from the agent.
"""

import json
import sys
from pathlib import Path
from typing import Any, Final

from tandem_serving.gateway.config import GatewayConfig

_TYPE: Final = "type.googleapis.com/envoy."

STATS: Final = (
    {"prefix": "server."},
    {"prefix": "cluster_manager."},
    {"prefix": "listener_manager."},
    {"prefix": "overload."},
    {"prefix": "http."},
    {"prefix": "cluster.xds."},
    {"prefix": "cluster.guard."},
    {"suffix": ".membership_healthy"},
    {"suffix": ".membership_total"},
    {"suffix": ".upstream_cx_active"},
    {"suffix": ".upstream_cx_connect_fail"},
    {"suffix": ".upstream_rq_total"},
    {"suffix": ".upstream_rq_active"},
    {"suffix": ".upstream_rq_retry"},
    {"suffix": ".upstream_rq_2xx"},
    {"suffix": ".upstream_rq_4xx"},
    {"suffix": ".upstream_rq_5xx"},
)
"""All that Envoy counts. Without a list, 1,000 models are 338,575 numbers, 44 MB and 2.2 s a scrape."""


def make_bootstrap(config: GatewayConfig) -> dict[str, Any]:
    """Return the bootstrap as a plain dict."""
    ads = {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"}  # not ready before it has a listener
    return {
        "node": {"id": config.node_id, "cluster": "tandem-gateway"},
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": config.admin_port}}},
        "bootstrap_extensions": [
            {
                "name": "envoy.bootstrap.internal_listener",
                "typed_config": {"@type": f"{_TYPE}extensions.bootstrap.internal_listener.v3.InternalListener"},
            }
        ],
        "dynamic_resources": {"ads_config": _ads_config(), "cds_config": ads, "lds_config": ads},
        "static_resources": {
            "clusters": [
                _socket_cluster("xds", config.xds_socket, grpc=True),
                _socket_cluster("guard", config.guard_socket, grpc=True),
                _socket_cluster("agent", config.agent_socket, grpc=False),
            ]
        },
        "overload_manager": _overload_manager(config),
        "stats_config": {"stats_matcher": {"inclusion_list": {"patterns": list(STATS)}}},
    }


def _ads_config() -> dict[str, Any]:
    return {
        "api_type": "DELTA_GRPC",
        "transport_api_version": "V3",
        "set_node_on_first_message_only": True,
        "grpc_services": [
            {
                "envoy_grpc": {
                    "cluster_name": "xds",
                    "max_receive_message_length": 64 << 20,
                    # the agent is on the same machine: when it comes back, be there at once
                    "retry_policy": {"retry_back_off": {"base_interval": "0.1s", "max_interval": "1s"}},
                }
            }
        ],
    }


def _socket_cluster(name: str, socket: Path, *, grpc: bool) -> dict[str, Any]:
    """Return a cluster behind a Unix socket; how much of it may run at once is its own business, not a breaker's."""
    most = 1_000_000
    cluster: dict[str, Any] = {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "circuit_breakers": {
            "thresholds": [{"max_connections": most, "max_pending_requests": most, "max_requests": most}]
        },
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"pipe": {"path": str(socket)}}}}]}],
        },
    }
    if grpc:
        cluster["typed_extension_protocol_options"] = {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{_TYPE}extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        }
    return cluster


def _overload_manager(config: GatewayConfig) -> dict[str, Any]:
    def action(name: str, threshold: float) -> dict[str, Any]:
        trigger = {"name": "envoy.resource_monitors.fixed_heap", "threshold": {"value": threshold}}
        return {"name": f"envoy.overload_actions.{name}", "triggers": [trigger]}

    return {
        "refresh_interval": "0.25s",
        "resource_monitors": [
            {
                "name": "envoy.resource_monitors.fixed_heap",
                "typed_config": {
                    "@type": f"{_TYPE}extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig",
                    "max_heap_size_bytes": config.max_heap_bytes,
                },
            },
            {
                "name": "envoy.resource_monitors.global_downstream_max_connections",
                "typed_config": {
                    "@type": (
                        f"{_TYPE}extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig"
                    ),
                    "max_active_downstream_connections": config.max_connections,
                },
            },
        ],
        "actions": [action("shrink_heap", 0.9), action("stop_accepting_requests", 0.95)],
    }


def main() -> None:
    json.dump(make_bootstrap(GatewayConfig()), sys.stdout, indent=1)


if __name__ == "__main__":
    main()
