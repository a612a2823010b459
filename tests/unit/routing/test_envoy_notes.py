"""Each line of envoy.md that is a setting and whose loss no behaviour test would show for certain, by its number."""

from pathlib import Path
from typing import Any

import pytest
from tandem_operator.routing import (
    GatewaySettings,
    Message,
    RoutedDeployment,
    RoutedEndpoint,
    Target,
    compile_deployment,
    compile_endpoint,
    compile_gateway,
)
from tandem_operator.routing.clusters import LONGEST
from tandem_operator.routing.inputs import USUAL
from tandem_operator.routing.routes import LOCAL_PATHS, SHARED_PATHS

HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
MEBIBYTES_16 = 16 * 1024 * 1024

CHAT = RoutedDeployment("ns", "chat", ("chat", "ns/chat"), "/app", ("east", "west"), fails_over=True, overflows=True)
EAST = RoutedEndpoint("east", "https://api.example.com/v1", "eu-de")


def manager_of(listener: Message) -> Message:
    manager: Message = listener["filter_chains"][0]["filters"][0]["typed_config"]
    return manager


def gateway() -> tuple[Message, Message, list[Message]]:
    """Return the listener, its HTTP manager and its routes."""
    listener, routes = compile_gateway(GatewaySettings())
    return listener, manager_of(listener), routes["virtual_hosts"][0]["routes"]


def way_out() -> tuple[Message, Message, list[Message]]:
    listener = compile_endpoint(EAST)[-1]
    manager = manager_of(listener)
    return listener, manager, manager["route_config"]["virtual_hosts"][0]["routes"]


def clusters(deployment: RoutedDeployment = CHAT) -> dict[str, Message]:
    return {resource["name"]: resource for resource in compile_deployment(deployment) if "name" in resource}


def all_members(cluster: Message) -> list[str]:
    return [member["name"] for member in cluster["cluster_type"]["typed_config"]["clusters"]]


def members(cluster: Message) -> list[str]:
    """Return the members that a request may come to: as many as it has attempts."""
    return all_members(cluster)[: 1 + retries(cluster)["num_retries"]]


def retries(cluster: Message) -> Message:
    policy: Message = cluster["typed_extension_protocol_options"][HTTP_OPTIONS]["retry_policy"]
    return policy


def filter_names(manager: Message) -> list[str]:
    return [http_filter["name"].removeprefix("envoy.filters.http.") for http_filter in manager["http_filters"]]


def test_01_addresses_and_paths_are_not_taken_from_the_client() -> None:
    _, manager, _ = gateway()
    assert (manager["use_remote_address"], manager["normalize_path"], manager["merge_slashes"]) == (True, True, True)


def test_01_each_cluster_header_requires_its_own_prefix() -> None:
    _, _, routes = gateway()
    named = {
        route["route"]["cluster_header"]: matcher["string_match"]["prefix"]
        for route in routes
        if "cluster_header" in route.get("route", {})
        for matcher in route["match"]["headers"]
        if matcher["name"] == route["route"]["cluster_header"]
    }
    assert named == {
        "x-tandem-model": "model|",
        "x-tandem-escalated": "escalated|",
        "x-tandem-home": "home|",
    }


def test_02_only_a_first_attempt_may_be_redirected_once() -> None:
    _, _, routes = gateway()
    policies = {
        route["route"]["cluster_header"]: route["route"].get("internal_redirect_policy")
        for route in routes
        if "cluster_header" in route.get("route", {})
    }
    assert policies["x-tandem-escalated"] is None
    assert policies["x-tandem-home"] is None
    assert policies["x-tandem-model"] == {
        "max_internal_redirects": 1,
        "redirect_response_codes": [307],
        "response_headers_to_copy": ["x-tandem-reason", "x-tandem-token", "x-tandem-prior-attempts"],
        "allow_cross_scheme_redirect": True,
    }


def test_03_a_dead_guard_does_not_cost_the_client_a_second() -> None:
    _, manager, _ = way_out()
    assert manager["delayed_close_timeout"] == "0s"


def test_06_circuit_breakers_are_out_of_the_way_everywhere() -> None:
    all_clusters = [*clusters().values(), *(r for r in compile_endpoint(EAST) if r["@type"].endswith(".Cluster"))]
    for cluster in all_clusters:
        (thresholds,) = cluster["circuit_breakers"]["thresholds"]
        wanted = {"max_connections", "max_pending_requests", "max_requests", "max_retries"}
        assert {limit for limit in wanted if thresholds[limit] >= 100_000} == wanted, cluster["name"]


@pytest.mark.parametrize(
    ("fails_over", "overflows", "clouds", "first", "redirected"),
    [
        pytest.param(
            True, True, ("a", "b"), ["L", "L", "cloud|a", "cloud|b", "L"], ["cloud|a", "cloud|b", "L"], id="all"
        ),
        pytest.param(True, False, ("a",), ["L", "L", "cloud|a", "L"], ["L", "L"], id="failover or bridge only"),
        pytest.param(False, True, ("a",), ["L", "L"], ["cloud|a", "L"], id="overflow only"),
        pytest.param(False, False, ("a",), ["L", "L"], ["L", "L"], id="no reason to leave"),
        pytest.param(True, True, (), ["L", "L"], ["L", "L"], id="no cloud"),
    ],
)
def test_07_chains(
    fails_over: bool, overflows: bool, clouds: tuple[str, ...], first: list[str], redirected: list[str]
) -> None:
    deployment = RoutedDeployment("ns", "m", ("m",), "/app", clouds, fails_over, overflows)
    found = clusters(deployment)
    chain = {
        name: [m.replace("local|ns/m", "L") for m in members(found[name])] for name in found if name != "local|ns/m"
    }
    assert chain["model|m"] == first
    assert chain["home|m"] == ["L", "L"]
    assert chain["escalated|m"] == redirected


def test_07_a_retry_asks_another_replica() -> None:
    policy = retries(clusters()["model|chat"])
    assert [predicate["name"] for predicate in policy["retry_host_predicate"]] == [
        "envoy.retry_host_predicates.previous_hosts"
    ]
    assert policy["host_selection_retry_max_attempts"] >= 250


@pytest.mark.parametrize("clouds", range(9))
@pytest.mark.parametrize("replicas", range(6))
def test_08_whatever_a_chain_becomes_under_a_request_there_is_a_replica_for_each_retry(
    replicas: int, clouds: int
) -> None:
    targets = tuple(Target(replica=str(number), address="10.0.0.1", port=30000 + number) for number in range(replicas))
    deployment = RoutedDeployment("ns", "m", ("m",), "/app", tuple("abcdefgh"[:clouds]), True, True, targets)
    chains = [cluster for name, cluster in clusters(deployment).items() if name != "local|ns/m"]
    assert {len(all_members(chain)) for chain in chains} == {LONGEST}
    assert {member for chain in chains for member in all_members(chain)[len(members(chain)) - 1 :]} == {"local|ns/m"}


def test_08_what_a_replica_marks_as_final_is_not_retried() -> None:
    assert "envoy-ratelimited" not in retries(clusters()["model|chat"])["retry_on"]


def test_09_there_is_no_bound_between_tokens_but_silence() -> None:
    _, manager, routes = gateway()
    actions = [route["route"] for route in routes if "cluster_header" in route.get("route", {})]
    assert all("per_try_idle_timeout" not in str(cluster) for cluster in clusters().values())
    assert {(action["timeout"], action["idle_timeout"]) for action in actions} == {("0s", "900s"), ("900s", "960s")}
    assert manager["stream_idle_timeout"] == "900s"


def test_09_the_way_out_bounds_silence_by_itself() -> None:
    _, manager, routes = way_out()
    assert manager["stream_idle_timeout"] == "300s"
    assert [(route["route"]["timeout"], route["route"]["idle_timeout"]) for route in routes] == [
        ("0s", "300s"),
        ("300s", "360s"),
    ]


@pytest.mark.parametrize(
    ("clouds", "seconds"), [(1, 300), (2, 300), (3, 200), (4, 150), (5, 120), (6, 100), (7, 85.714), (8, 75)]
)
def test_09_each_cloud_has_time_for_a_whole_answer_and_all_leave_the_replicas_theirs(
    clouds: int, seconds: float
) -> None:
    deployment = RoutedDeployment("ns", "m", ("m",), "/app", tuple("abcdefgh"[:clouds]), fails_over=True)
    told = clusters(deployment)["model|m"]["metadata"]["filter_metadata"]["tandem"]
    share = int(told["cloud_milliseconds"]) / 1000
    assert share == seconds
    assert min(USUAL.answer, USUAL.silence) - clouds * share >= USUAL.cloud_answer


def test_10_retries_do_not_wait() -> None:
    for name, cluster in clusters().items():
        if name != "local|ns/chat":
            assert retries(cluster)["retry_back_off"] == {"base_interval": "0.001s", "max_interval": "0.001s"}


def test_10_a_new_replica_is_found_at_once_and_no_sick_one_is_used() -> None:
    replicas = clusters()["local|ns/chat"]
    (check,) = replicas["health_checks"]
    assert check["no_traffic_interval"] == check["interval"] == "2s"
    assert check["http_health_check"]["path"] == "/app/tandem/healthz"
    assert replicas["common_lb_config"]["healthy_panic_threshold"] == {"value": 0}


def test_11_a_replica_that_left_is_forgotten_at_once() -> None:
    replicas = clusters()["local|ns/chat"]
    assert replicas["ignore_health_on_host_removal"] is True
    assert replicas["common_lb_config"]["update_merge_window"] == "0s"


@pytest.mark.parametrize("targets", [(), (Target(replica="r", address="10.0.0.1", port=30000),)])
def test_12_there_is_an_eds_resource_also_without_replicas(targets: tuple[Target, ...]) -> None:
    *_, endpoints = compile_deployment(RoutedDeployment("ns", "m", ("m",), "/app", targets=targets))
    assert endpoints["cluster_name"] == "local|ns/m"
    assert len(endpoints["endpoints"]) == len(targets)


def test_12_envoy_waits_a_second_at_most_for_endpoints() -> None:
    assert clusters()["local|ns/chat"]["eds_cluster_config"]["eds_config"]["initial_fetch_timeout"] == "1s"


def test_14_bodies_to_16_mebibytes_on_every_route() -> None:
    for listener, _, routes in (gateway(), way_out()):
        assert listener["per_connection_buffer_limit_bytes"] == 256 * 1024
        assert {route["request_body_buffer_limit"] for route in routes} == {MEBIBYTES_16}


def test_14_a_body_is_whole_before_it_is_read() -> None:
    _, manager, _ = gateway()
    names = filter_names(manager)
    buffer: dict[str, Any] = manager["http_filters"][names.index("buffer")]["typed_config"]
    assert names.index("buffer") < names.index("transform") < names.index("router") == len(names) - 1
    assert buffer["max_request_bytes"] == MEBIBYTES_16


def test_15_only_filtered_mappers_shape_errors() -> None:
    _, manager, _ = gateway()
    replies = manager["local_reply_config"]
    assert replies.keys() == {"mappers"}
    assert all(mapper["filter"] for mapper in replies["mappers"])


def test_17_a_replica_is_not_ejected_for_saying_that_it_is_full() -> None:
    outliers = clusters()["local|ns/chat"]["outlier_detection"]
    assert (outliers["enforcing_consecutive_5xx"], outliers["enforcing_consecutive_gateway_failure"]) == (0, 0)
    assert outliers["split_external_local_origin_errors"] is True


def test_the_access_log_has_no_body_and_no_credential() -> None:
    _, manager, _ = gateway()
    text = str(manager["access_log"]).lower()
    assert "body" not in text
    assert "authorization" not in text
    assert "cookie" not in text


def test_a_provider_whose_name_cannot_be_resolved_does_not_hold_up_envoys_start() -> None:
    (upstream,) = (resource for resource in compile_endpoint(EAST) if resource["name"].startswith("upstream|east|"))
    assert upstream["wait_for_warm_on_init"] is False


def test_the_reference_lists_every_path_and_every_error_code(repository: Path) -> None:
    page = (repository / "docs" / "reference" / "http.md").read_text()
    _, manager, _ = gateway()
    told = [
        str(mapper["body_format_override"]["json_format"]["error"]["code"])
        for mapper in manager["local_reply_config"]["mappers"]
    ]
    missing = [word for word in [*SHARED_PATHS, *LOCAL_PATHS, *told] if f"{word}`" not in page]
    assert missing == []
