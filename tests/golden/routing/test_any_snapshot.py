"""Envoy takes whatever the schema lets in: generated sets of deployments and endpoints, a few at a time."""

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from support.static_gateway import pipe, static_bootstrap
from support.ways_out import ways_out
from tandem_lab.certificates import Authority
from tandem_lab.envoy import validate
from tandem_operator import names
from tandem_operator.routing import (
    GatewaySettings,
    RoutedDeployment,
    RoutedEndpoint,
    Target,
    compile_deployment,
    compile_endpoint,
    compile_gateway,
)

CA_PEM = Authority().ca_pem
CLOUDS = ("a", "openai-eu", "a-name-of-forty-characters-0123456789abc", "gone")

label = st.from_regex("[a-z]([-a-z0-9]{0,38}[a-z0-9])?", fullmatch=True)
model_name = st.from_regex("[A-Za-z0-9]([-A-Za-z0-9._:]{0,30}[A-Za-z0-9])?", fullmatch=True)
targets = st.builds(
    Target,
    replica=st.text(max_size=40),
    address=st.sampled_from(["10.0.0.1", "192.168.255.254", "fd00::1"]),
    port=st.integers(1, 65535),
)
urls = st.builds(
    "https://{}{}{}".format,
    st.sampled_from(["api.example.com", "localhost", f"{'x' * 60}.example.com"]),
    st.one_of(st.just(""), st.integers(1, 65535).map(":{}".format)),
    st.sampled_from(["", "/v1", "/deployments/gpt-5_mini~1/v1"]),
)
endpoints = st.builds(
    RoutedEndpoint,
    name=st.sampled_from(CLOUDS[:-1]),
    url=urls,
    region=st.text(min_size=1, max_size=63),
    ca_pem=st.sampled_from([None, CA_PEM]),
)
deployments = st.builds(
    RoutedDeployment,
    namespace=label,
    name=label,
    names=st.lists(model_name, max_size=2).map(tuple),
    prefix=st.builds(names.serve_app, st.just("0a1b2c3d"), label, label).map(names.prefix),
    clouds=st.lists(st.sampled_from(CLOUDS), unique=True).map(tuple),
    fails_over=st.booleans(),
    overflows=st.booleans(),
    targets=st.lists(targets, max_size=3, unique_by=lambda target: (target.address, target.port)).map(tuple),
)


@settings(max_examples=8, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(
    some=st.lists(deployments, min_size=4, max_size=8, unique_by=lambda deployment: deployment.key),
    ways=st.lists(endpoints, max_size=3, unique_by=lambda endpoint: endpoint.name),
)
def test_envoy_takes_what_the_schema_lets_in(some: list[RoutedDeployment], ways: list[RoutedEndpoint]) -> None:
    resources = [
        *compile_gateway(GatewaySettings()),
        *(resource for deployment in granted(some) for resource in compile_deployment(deployment)),
        *(resource for endpoint in ways for resource in compile_endpoint(endpoint)),
    ]
    assert ways_out(resources) == []
    with tempfile.TemporaryDirectory() as folder:
        unix = pipe(Path(folder, "unused.sock"))
        validate(static_bootstrap(resources, guard=unix, agent=unix), Path(folder))


def granted(some: list[RoutedDeployment]) -> Iterator[RoutedDeployment]:
    """Yield the deployments with names of which nobody else has one, as the operator grants them."""
    taken: set[str] = set()
    for deployment in some:
        free = dict.fromkeys(name for name in (*deployment.names, deployment.key) if name not in taken)
        taken |= free.keys()
        yield replace(deployment, names=tuple(free))
