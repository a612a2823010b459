"""A change costs what changed."""

import inspect

import pytest
from tandem_operator.routing import (
    GatewaySettings,
    RoutedDeployment,
    RoutedEndpoint,
    Target,
    compile_deployment,
    compile_endpoint,
    compile_gateway,
)


def test_the_gateway_knows_no_deployment() -> None:
    assert list(inspect.signature(compile_gateway).parameters) == ["settings"]
    assert compile_gateway(GatewaySettings()) == compile_gateway(GatewaySettings())


def test_a_deployments_resources_are_its_own() -> None:
    one = RoutedDeployment("ns", "one", ("one", "ns/one"), "/app-1", ("east",), fails_over=True, overflows=True)
    two = RoutedDeployment("ns", "two", ("two", "ns/two"), "/app-2", ("east",), fails_over=True, overflows=True)
    assert named(compile_deployment(one)).isdisjoint(named(compile_deployment(two)))


def test_every_granted_name_has_chains_of_its_own() -> None:
    resources = compile_deployment(RoutedDeployment("ns", "m", ("m", "ns/m"), "/app", ("c",), True, True))
    assert named(resources) == {
        "local|ns/m",
        *(f"{kind}|{model}" for kind in ("model", "home", "escalated") for model in ("m", "ns/m")),
    }


def test_chains_carry_who_they_are() -> None:
    resources = compile_deployment(RoutedDeployment("ns", "m", ("m",), "/app", ("c",), True, True))
    told = [r["metadata"]["filter_metadata"]["tandem"] for r in resources if "metadata" in r]
    facts = {"prefix": "/app", "deployment": "ns/m", "local_attempts": "2", "cloud_milliseconds": "300000"}
    assert told == [facts] * 3


@pytest.mark.parametrize(("replicas", "attempts"), [(0, 2), (1, 2), (2, 2), (3, 3), (4, 4), (40, 4)])
def test_each_replica_is_asked_before_a_cloud_up_to_a_few(replicas: int, attempts: int) -> None:
    targets = tuple(Target(replica=str(number), address="10.0.0.1", port=30000 + number) for number in range(replicas))
    deployment = RoutedDeployment("ns", "m", ("m",), "/app", ("c",), True, True, targets)
    for resource in compile_deployment(deployment):
        if "metadata" in resource and resource["name"].startswith("model|"):
            members = [member["name"] for member in resource["cluster_type"]["typed_config"]["clusters"]]
            assert members[: attempts + 2] == [*["local|ns/m"] * attempts, "cloud|c", "local|ns/m"]
            assert resource["metadata"]["filter_metadata"]["tandem"]["local_attempts"] == str(attempts)


def test_an_endpoint_is_a_hop_a_guarded_listener_and_a_provider() -> None:
    east = RoutedEndpoint("east", "https://api.example.com:8443/v1", "eu-de")
    assert [(r["@type"].rpartition(".")[2], r["name"]) for r in compile_endpoint(east)] == [
        ("Cluster", "cloud|east"),
        ("Cluster", f"upstream|east|{east.destination}"),
        ("Listener", f"cloud|east|{east.destination}"),
    ]


def test_another_place_shares_nothing_with_the_old_one_but_the_hop() -> None:
    """So no half of an edit can meet the other half of what was before."""
    here = compile_endpoint(RoutedEndpoint("east", "https://api.example.com/v1", "eu-de"))
    there = compile_endpoint(RoutedEndpoint("east", "https://api.example.com/v1", "us-va"))
    assert named(here) & named(there) == {"cloud|east"}


def named(resources: list[dict[str, object]]) -> set[object]:
    return {resource.get("name", resource.get("cluster_name")) for resource in resources}
