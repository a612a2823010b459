import re
from typing import Any

import pytest
from tandem_contract.xds import to_any
from tandem_serving.gateway.bootstrap import make_bootstrap
from tandem_serving.gateway.config import GatewayConfig

BOOTSTRAP = make_bootstrap(GatewayConfig(node_id="gw-1"))


def clusters() -> dict[str, Any]:
    return {cluster["name"]: cluster for cluster in BOOTSTRAP["static_resources"]["clusters"]}


def test_every_field_exists_in_envoys_own_definition() -> None:
    to_any({"@type": "type.googleapis.com/envoy.config.bootstrap.v3.Bootstrap", **BOOTSTRAP})


def test_the_only_static_clusters_lead_to_the_agents_sockets() -> None:
    paths = {
        name: cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]["pipe"]["path"]
        for name, cluster in clusters().items()
    }
    assert paths == {
        "xds": "/run/tandem/xds.sock",
        "guard": "/run/tandem/guard.sock",
        "agent": "/run/tandem/agent.sock",
    }


def test_grpc_is_spoken_over_http2_and_the_rest_over_http1() -> None:
    spoken = {name: "typed_extension_protocol_options" in cluster for name, cluster in clusters().items()}
    assert spoken == {"xds": True, "guard": True, "agent": False}
    (options,) = clusters()["guard"]["typed_extension_protocol_options"].values()
    assert "http2_protocol_options" in options["explicit_http_config"]


def test_the_admin_interface_is_on_loopback_alone() -> None:
    assert BOOTSTRAP["admin"]["address"]["socket_address"]["address"] == "127.0.0.1"


def test_envoy_is_not_ready_before_its_configuration_came() -> None:
    dynamic = BOOTSTRAP["dynamic_resources"]
    assert dynamic["cds_config"]["initial_fetch_timeout"] == dynamic["lds_config"]["initial_fetch_timeout"] == "0s"
    assert dynamic["ads_config"]["api_type"] == "DELTA_GRPC"


def test_memory_and_connections_are_bounded() -> None:
    manager = BOOTSTRAP["overload_manager"]
    assert {monitor["name"].rpartition(".")[2] for monitor in manager["resource_monitors"]} == {
        "fixed_heap",
        "global_downstream_max_connections",
    }
    assert [action["name"].rpartition(".")[2] for action in manager["actions"]] == [
        "shrink_heap",
        "stop_accepting_requests",
    ]


@pytest.mark.parametrize(
    ("stat", "counted"),
    [
        pytest.param("cluster.local|a/b.membership_healthy", True, id="replicas that are healthy"),
        pytest.param("cluster.cloud|x.upstream_rq_5xx", True, id="failures of a cloud"),
        pytest.param("cluster.local|a/b.circuit_breakers.default.cx_open", False, id="a breaker's state"),
        pytest.param("cluster.local|a/b.upstream_cx_length_ms", False, id="a histogram for each model"),
        pytest.param("server.live", True, id="the server's own"),
    ],
)
def test_what_is_counted_is_a_list(stat: str, *, counted: bool) -> None:
    listed = BOOTSTRAP["stats_config"]["stats_matcher"]["inclusion_list"]["patterns"]
    patterns = [re.escape(p["prefix"]) + ".*" if "prefix" in p else ".*" + re.escape(p["suffix"]) for p in listed]
    assert bool(re.fullmatch("|".join(patterns), stat)) is counted
