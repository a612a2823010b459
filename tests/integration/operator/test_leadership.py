"""Two operators: one leads, the other takes over; nobody writes who lost the Lease."""

from contextlib import contextmanager

import pytest
from support.builders import a_model_deployment
from support.operator_world import FAST, SETTLE_SECONDS, START_SECONDS, audited, operator_rights
from support.recording_gateway import RecordingGateway
from support.wait import eventually
from tandem_lab.operator import NAMESPACE, Operator


@contextmanager
def two_operators(control_plane, folder):
    rights = operator_rights(control_plane)
    first, second = (
        Operator(folder / name, kubeconfig=rights, settings={**FAST, "identity": name}) for name in ("first", "second")
    )
    with first:
        eventually(lambda: first.leads, START_SECONDS)
        with second, RecordingGateway(control_plane, [first.xds_port, second.xds_port]) as gateway:
            eventually(lambda: second.ready, START_SECONDS)
            yield first, second, gateway


def holder(control_plane):
    return control_plane.get_json("lease", "tandem-operator", "-n", NAMESPACE)["spec"]["holderIdentity"]


@pytest.fixture
def operators(control_plane, tmp_path):
    with two_operators(control_plane, tmp_path) as found:
        yield found


def test_a_follower_keeps_gateways_out_until_it_leads(operators, control_plane):
    first, second, gateway = operators
    eventually(lambda: gateway.streams, START_SECONDS)
    assert not second.leads
    assert set(gateway.streams) == {first.xds_port}
    first.stop()
    eventually(lambda: second.leads, START_SECONDS)
    eventually(lambda: gateway.streams[-1] == second.xds_port, START_SECONDS)
    assert holder(control_plane) == "second"


def test_a_killed_leader_is_replaced_when_its_lease_ran_out(operators, control_plane):
    first, second, _ = operators
    assert holder(control_plane) == "first"
    first.kill()
    eventually(lambda: second.leads, START_SECONDS)
    assert holder(control_plane) == "second"


def test_a_leader_that_was_frozen_finds_that_it_lost_the_lease_and_writes_nothing_more(
    operators, control_plane, namespace
):
    first, second, gateway = operators
    eventually(lambda: gateway.streams, START_SECONDS)
    first.pause()
    eventually(lambda: second.leads, START_SECONDS)
    since = len(control_plane.audit_events())
    control_plane.apply(a_model_deployment("hello", namespace=namespace))
    eventually(lambda: _is_seen(control_plane, namespace, "hello"), SETTLE_SECONDS)
    first.resume()
    eventually(lambda: first.metric("tandem_leader") == 0.0, START_SECONDS)
    eventually(lambda: gateway.policy(f"{namespace}/hello"), SETTLE_SECONDS)
    control_plane.apply(a_model_deployment("hello", namespace=namespace, spec={"model": {"names": ["hi"]}}))
    eventually(lambda: gateway.policy(f"{namespace}/hello")["names"] == ["hi", f"{namespace}/hello"], SETTLE_SECONDS)
    wrote = {
        event["userAgent"]
        for event in audited(control_plane, since)
        if event["verb"] not in {"get", "list", "watch"} and event["responseStatus"]["code"] < 300
    }
    assert wrote == {"tandem-operator (second)"}
    assert holder(control_plane) == "second"
    assert second.leads


def test_when_the_api_server_is_gone_the_leader_steps_down_and_lives_on(operators, control_plane):
    first, second, gateway = operators
    eventually(lambda: gateway.streams, START_SECONDS)
    eventually(gateway.snapshot, START_SECONDS)
    before = gateway.snapshot()
    control_plane.stop_api_server()
    try:
        eventually(lambda: first.metric("tandem_leader") == 0.0, START_SECONDS)
        assert first.alive
        assert second.alive
        assert gateway.snapshot() == before
    finally:
        control_plane.start_api_server()
    eventually(lambda: first.leads or second.leads, START_SECONDS)


def _is_seen(control_plane, namespace, name):
    found = control_plane.get_json("mdep", name, "-n", namespace)
    return found["status"]["observedGeneration"] == found["metadata"]["generation"]
