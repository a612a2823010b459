"""The promise of the gateway, for any mix of deployments and endpoints and any name that a client puts anywhere."""

from hypothesis import given, settings
from hypothesis import strategies as st
from support.ways_out import Snapshot, ways_out
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

# The schema allows less; the promise must not rest on the schema.
any_name = st.one_of(
    st.sampled_from(["a", "b", "guard", "agent", "xds", "cloud|a", "upstream|a", "local|a/b", "model|a", ""]),
    st.text(max_size=12),
)
endpoints = st.builds(
    RoutedEndpoint,
    name=any_name,
    url=st.builds("https://{}:{}/v1".format, st.sampled_from(["api.example.com", "localhost"]), st.integers(1, 65535)),
    region=st.sampled_from(["eu-de", "us-va"]),
    ca_pem=st.one_of(st.none(), st.just("PEM")),
)
targets = st.builds(
    Target, replica=st.text(max_size=5), address=st.sampled_from(["10.0.0.1", "fd00::1"]), port=st.integers(1, 65535)
)
deployments = st.builds(
    RoutedDeployment,
    namespace=any_name,
    name=any_name,
    names=st.lists(any_name, max_size=3).map(tuple),
    prefix=any_name.map("/{}".format),
    clouds=st.lists(any_name, max_size=3).map(tuple),
    fails_over=st.booleans(),
    overflows=st.booleans(),
    targets=st.lists(targets, max_size=3).map(tuple),
)


@settings(deadline=None)
@given(st.lists(deployments, max_size=4), st.lists(endpoints, max_size=3))
def test_no_snapshot_has_a_way_out_that_skips_the_guard(
    some_deployments: list[RoutedDeployment], some_endpoints: list[RoutedEndpoint]
) -> None:
    assert ways_out(compiled(some_deployments, some_endpoints)) == []


@settings(deadline=None)
@given(st.lists(deployments, max_size=4), st.lists(endpoints, max_size=3))
def test_only_the_gateway_listens_on_a_socket(
    some_deployments: list[RoutedDeployment], some_endpoints: list[RoutedEndpoint]
) -> None:
    listeners = Snapshot.of(compiled(some_deployments, some_endpoints)).listeners.values()
    assert [listener["name"] for listener in listeners if "address" in listener] == ["gateway"]


@settings(deadline=None)
@given(endpoints)
def test_every_way_out_checks_the_providers_certificate(endpoint: RoutedEndpoint) -> None:
    (upstream,) = (
        c for c in compile_endpoint(endpoint) if c["name"] == f"upstream|{endpoint.name}|{endpoint.destination}"
    )
    tls = upstream["transport_socket"]["typed_config"]
    validation = tls["common_tls_context"]["validation_context"]
    assert tls["sni"] == endpoint.host
    assert validation["trusted_ca"].keys() == ({"inline_string"} if endpoint.ca_pem else {"filename"})
    assert [san["matcher"]["exact"] for san in validation["match_typed_subject_alt_names"]] == [endpoint.host]


def compiled(some_deployments: list[RoutedDeployment], some_endpoints: list[RoutedEndpoint]) -> list[Message]:
    return [
        *compile_gateway(GatewaySettings()),
        *(resource for deployment in some_deployments for resource in compile_deployment(deployment)),
        *(resource for endpoint in some_endpoints for resource in compile_endpoint(endpoint)),
    ]
