"""Mistakes planted in a snapshot, each of which the walk that proves our promise must notice."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
from support.ways_out import Snapshot, ways_out
from tandem_operator.routing import (
    GatewaySettings,
    RoutedDeployment,
    RoutedEndpoint,
    compile_deployment,
    compile_endpoint,
    compile_gateway,
)

ENDPOINT = RoutedEndpoint("c", "https://api.example.com/v1", "eu-de")
UPSTREAM = f"upstream|c|{ENDPOINT.destination}"
INNER = f"cloud|c|{ENDPOINT.destination}"


def a_snapshot() -> Snapshot:
    deployment = RoutedDeployment("ns", "a", ("a",), "/app", ("c",), fails_over=True, overflows=True)
    compiled = [*compile_gateway(GatewaySettings()), *compile_deployment(deployment), *compile_endpoint(ENDPOINT)]
    return Snapshot.of(copy.deepcopy(compiled))


def inner_manager(snapshot: Snapshot) -> dict[str, Any]:
    manager: dict[str, Any] = snapshot.listeners[INNER]["filter_chains"][0]["filters"][0]["typed_config"]
    return manager


BEFORE, GUARD, CONSENT = range(3)
"""Where the filters of a way out stand."""


def inner_filter(snapshot: Snapshot, number: int = GUARD) -> dict[str, Any]:
    found: dict[str, Any] = inner_manager(snapshot)["http_filters"][number]["typed_config"]
    return found


def inner_routes(snapshot: Snapshot) -> list[dict[str, Any]]:
    routes: list[dict[str, Any]] = inner_manager(snapshot)["route_config"]["virtual_hosts"][0]["routes"]
    return routes


def outer_routes(snapshot: Snapshot) -> list[dict[str, Any]]:
    routes: list[dict[str, Any]] = snapshot.routes["gateway"]["virtual_hosts"][0]["routes"]
    return routes


def forget_a_prefix(snapshot: Snapshot) -> None:
    for route in outer_routes(snapshot):
        route["match"]["headers"] = [h for h in route["match"].get("headers", []) if "prefix" not in str(h)]


def skip_the_hop(snapshot: Snapshot) -> None:
    snapshot.clusters["model|a"]["cluster_type"]["typed_config"]["clusters"].append({"name": UPSTREAM})


def fail_open(snapshot: Snapshot) -> None:
    inner_filter(snapshot)["failure_mode_allow"] = True


def hide_the_body(snapshot: Snapshot) -> None:
    inner_filter(snapshot)["processing_mode"]["request_body_mode"] = "NONE"


def ask_another(snapshot: Snapshot) -> None:
    inner_filter(snapshot)["grpc_service"]["envoy_grpc"]["cluster_name"] = "agent"


def put_the_router_first(snapshot: Snapshot) -> None:
    inner_manager(snapshot)["http_filters"].reverse()


def disable_the_guard(snapshot: Snapshot) -> None:
    inner_manager(snapshot)["http_filters"][GUARD]["disabled"] = True


def disable_the_guard_for_a_route(snapshot: Snapshot) -> None:
    inner_routes(snapshot)[0]["typed_per_filter_config"] = {"envoy.filters.http.ext_proc": {"disabled": True}}


def disable_the_guard_for_a_host(snapshot: Snapshot) -> None:
    (host,) = inner_manager(snapshot)["route_config"]["virtual_hosts"]
    host["typed_per_filter_config"] = {"envoy.filters.http.ext_proc": {"disabled": True}}


def let_an_answer_shrink_what_the_guard_sees(snapshot: Snapshot) -> None:
    inner_filter(snapshot)["allow_mode_override"] = True


def only_watch(snapshot: Snapshot) -> None:
    inner_filter(snapshot)["observability_mode"] = True


def match_the_guard(snapshot: Snapshot) -> None:
    """A filter of another type under the guard's name may leave it out for some requests."""
    inner_filter(snapshot)["@type"] = "type.googleapis.com/envoy.extensions.common.matching.v3.ExtensionWithMatcher"


def need_no_consent(snapshot: Snapshot) -> None:
    inner_filter(snapshot, CONSENT)["rules"]["policies"]["everybody"] = {"permissions": [{"any": True}]}


def put_the_guard_behind_consent(snapshot: Snapshot) -> None:
    filters = inner_manager(snapshot)["http_filters"]
    filters.insert(CONSENT, filters.pop(GUARD))


def put_a_second_filter_before_the_guard(snapshot: Snapshot) -> None:
    filters = inner_manager(snapshot)["http_filters"]
    filters.insert(BEFORE, filters[BEFORE])


def note_more_than_the_id(snapshot: Snapshot) -> None:
    (note,) = inner_filter(snapshot, BEFORE)["on_request_headers"]
    note["object_key"] = "envoy.network.upstream_server_name"


def share_what_is_noted(snapshot: Snapshot) -> None:
    (note,) = inner_filter(snapshot, BEFORE)["on_request_headers"]
    note["shared_with_upstream"] = "TRANSITIVE"


def tell_of_another_endpoint(snapshot: Snapshot) -> None:
    inner_filter(snapshot)["grpc_service"]["initial_metadata"][0]["value"] = "d"


def tell_of_another_place(snapshot: Snapshot) -> None:
    inner_filter(snapshot)["grpc_service"]["initial_metadata"][1]["value"] = "0" * 16


def forget_the_place(snapshot: Snapshot) -> None:
    inner_filter(snapshot)["grpc_service"]["initial_metadata"].pop()


def lead_to_another_provider(snapshot: Snapshot) -> None:
    inner_routes(snapshot)[0]["route"]["cluster"] = f"upstream|d|{ENDPOINT.destination}"


def lead_to_another_place(snapshot: Snapshot) -> None:
    inner_routes(snapshot)[0]["route"]["cluster"] = "upstream|c|0000000000000000"


def let_a_header_choose_the_provider(snapshot: Snapshot) -> None:
    inner_routes(snapshot)[0]["route"] = {"cluster_header": "x-where"}


def split_the_traffic(snapshot: Snapshot) -> None:
    inner_routes(snapshot)[0]["route"] = {"weighted_clusters": {"clusters": [{"name": "upstream|d"}]}}


def open_a_port(snapshot: Snapshot) -> None:
    snapshot.listeners[INNER]["address"] = {"socket_address": {"address": "0.0.0.0", "port_value": 1}}


def open_a_second_door(snapshot: Snapshot) -> None:
    snapshot.listeners["gateway"]["default_filter_chain"] = snapshot.listeners[INNER]["filter_chains"][0]


def pass_connections_through(snapshot: Snapshot) -> None:
    (chain,) = snapshot.listeners["gateway"]["filter_chains"]
    proxy = {"@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", "cluster": UPSTREAM}
    chain["filters"][0]["typed_config"] = proxy | {"http_filters": [], "route_config": {"virtual_hosts": []}}


def route_to_the_provider(snapshot: Snapshot) -> None:
    outer_routes(snapshot).append({"match": {"prefix": "/"}, "route": {"cluster": UPSTREAM}})


def mirror(snapshot: Snapshot) -> None:
    outer_routes(snapshot)[0]["route"] = {"cluster": "agent", "request_mirror_policies": [{"cluster": UPSTREAM}]}


def mirror_for_a_host(snapshot: Snapshot) -> None:
    snapshot.routes["gateway"]["virtual_hosts"][0]["request_mirror_policies"] = [{"cluster": UPSTREAM}]


def mirror_behind_the_guard(snapshot: Snapshot) -> None:
    inner_routes(snapshot)[0]["route"]["request_mirror_policies"] = [{"cluster": "upstream|d"}]


def point_the_hop_outside(snapshot: Snapshot) -> None:
    snapshot.clusters["cloud|c"] = snapshot.clusters[UPSTREAM] | {"name": "cloud|c"}


def point_the_hop_outside_by_address(snapshot: Snapshot) -> None:
    load = snapshot.clusters[UPSTREAM]["load_assignment"]
    snapshot.clusters["cloud|c"]["load_assignment"] = load


def lead_two_hops_to_one_way_out(snapshot: Snapshot) -> None:
    snapshot.clusters["cloud|d"] = snapshot.clusters["cloud|c"] | {"name": "cloud|d"}
    snapshot.clusters["model|a"]["cluster_type"]["typed_config"]["clusters"].append({"name": "cloud|d"})


MISTAKES = [
    forget_a_prefix,
    skip_the_hop,
    fail_open,
    hide_the_body,
    ask_another,
    put_the_router_first,
    disable_the_guard,
    disable_the_guard_for_a_route,
    disable_the_guard_for_a_host,
    let_an_answer_shrink_what_the_guard_sees,
    only_watch,
    match_the_guard,
    need_no_consent,
    put_the_guard_behind_consent,
    put_a_second_filter_before_the_guard,
    note_more_than_the_id,
    share_what_is_noted,
    tell_of_another_endpoint,
    tell_of_another_place,
    forget_the_place,
    lead_to_another_provider,
    lead_to_another_place,
    let_a_header_choose_the_provider,
    split_the_traffic,
    open_a_port,
    open_a_second_door,
    pass_connections_through,
    route_to_the_provider,
    mirror,
    mirror_for_a_host,
    mirror_behind_the_guard,
    point_the_hop_outside,
    point_the_hop_outside_by_address,
    lead_two_hops_to_one_way_out,
]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_walk_notices_a_mistake(mistake: Callable[[Snapshot], None]) -> None:
    snapshot = a_snapshot()
    mistake(snapshot)
    resources = [*snapshot.listeners.values(), *snapshot.clusters.values(), *snapshot.routes.values()]
    assert ways_out(resources) != []


def test_without_a_mistake_it_notices_nothing() -> None:
    snapshot = a_snapshot()
    resources = [*snapshot.listeners.values(), *snapshot.clusters.values(), *snapshot.routes.values()]
    assert ways_out(resources) == []
