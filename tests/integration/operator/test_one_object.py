"""One object that the API server fails on: what it may not allow any more is withdrawn, and nothing else suffers."""

import pytest
from support.builders import merged
from support.operator_world import SETTLE_SECONDS, faulty_api, running_world
from support.wait import eventually
from tandem_operator import names

RESOLVED = ("True", "Resolved")
UNREADABLE = ("False", "SecretUnreadable")


@pytest.fixture
def behind_a_proxy(control_plane, tmp_path):
    with (
        faulty_api(control_plane, tmp_path) as (api, kubeconfig),
        running_world(control_plane, tmp_path, {}, kubeconfig_file=kubeconfig) as world,
    ):
        yield world, api
        api.pass_on()
        control_plane.run_kubectl("delete", "cloudep", "--all", "--timeout=30s")


def until(world, endpoint, expected):
    eventually(lambda: world.endpoint_condition(endpoint, "CredentialsResolved") == expected, SETTLE_SECONDS)


def test_an_edit_that_allows_less_counts_although_the_secret_cannot_be_read(behind_a_proxy):
    world, api = behind_a_proxy
    for name in ("stays", "tightened"):
        world.create_secret(name, api_key=f"sk-{name}")
        world.apply(world.endpoint(name, maxDataClass="Restricted"))
        until(world, name, RESOLVED)
        api.answer("GET", f"/secrets/{name}", 500, "unable to transform key")
    world.apply(world.endpoint("tightened", maxDataClass="Public"))
    for name in ("stays", "tightened"):
        until(world, name, UNREADABLE)
    eventually(lambda: world.gateway.endpoint_policy("tightened") is None, SETTLE_SECONDS)
    eventually(lambda: world.gateway.credential("tightened") is None, SETTLE_SECONDS)  # its own message
    assert world.gateway.credential("stays") == "Bearer sk-stays"

    let_in = len(world.gateway.streams)
    world.operator.restart()
    eventually(lambda: len(world.gateway.streams) > let_in, SETTLE_SECONDS)
    eventually(lambda: world.gateway.credential("stays") is None, SETTLE_SECONDS)

    api.pass_on()
    for name in ("stays", "tightened"):
        until(world, name, RESOLVED)
        eventually(lambda name=name: world.gateway.credential(name) == f"Bearer sk-{name}", SETTLE_SECONDS)
    assert world.gateway.endpoint_policy("tightened")["max_data_class"] == "Public"


def test_a_write_that_is_refused_keeps_no_new_leader_from_letting_gateways_in(behind_a_proxy):
    world, api = behind_a_proxy
    world.apply(merged(world.deployment("held"), {"metadata": {"finalizers": [names.FINALIZER]}}))
    eventually(lambda: world.gateway.policy(f"{world.namespace}/held"), SETTLE_SECONDS)
    api.answer("PATCH", "/modeldeployments/held", 403, "admission webhook denied the request")
    api.answer("PATCH", "/modeldeployments/held/status", 403, "admission webhook denied the request")
    world.control_plane.kubectl("delete", "mdep", "held", "-n", world.namespace, "--wait=false")
    eventually(lambda: world.gateway.policy(f"{world.namespace}/held") is None, SETTLE_SECONDS)
    let_in = len(world.gateway.streams)
    world.operator.restart()
    eventually(lambda: len(world.gateway.streams) > let_in, SETTLE_SECONDS)
    assert world.exists("held")
