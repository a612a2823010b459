"""Two operators: one leads, the other takes over; nobody writes who lost the Lease, to the API server or to Ray."""

from contextlib import contextmanager

import pytest
from support.builders import a_model_deployment
from support.fault_proxy import FaultProxy, Fuse
from support.operator_world import (
    FAST,
    SETTLE_SECONDS,
    START_SECONDS,
    STEADY,
    audited,
    condition_of,
    operator_rights,
    ray_entry,
)
from support.recording_gateway import RecordingGateway
from support.wait import eventually
from tandem_contract.xds.types import FRESHNESS
from tandem_lab.operator import NAMESPACE, Operator


@contextmanager
def two_operators(control_plane, folder, first_ray=None, second_ray=None):
    """Each may have a way of its own to one Ray cluster ``lab``."""
    rights = operator_rights(control_plane)
    first, second = (
        Operator(
            folder / name,
            kubeconfig=rights,
            ray_clusters={"lab": ray} if ray else {},
            settings={**FAST, **STEADY, "identity": name},
        )
        for name, ray in (("first", first_ray), ("second", second_ray))
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


@pytest.mark.timeout(600)
def test_a_leader_that_was_frozen_finds_that_it_lost_the_lease_and_writes_nothing_more(
    control_plane, ray_head, tmp_path, namespace
):
    to_ray = [Fuse(counts=lambda *_: True), Fuse(counts=lambda *_: True)]
    with (
        FaultProxy(ray_head.url, to_ray[0]) as a,
        FaultProxy(ray_head.url, to_ray[1]) as b,
        two_operators(control_plane, tmp_path, ray_entry(ray_head, url=a.url), ray_entry(ray_head, url=b.url)) as found,
    ):
        first, second, gateway = found
        apply(control_plane, namespace, names=["hello"])
        eventually(lambda: _is_settled(control_plane, namespace, "hello"), SETTLE_SECONDS)
        assert to_ray[0].seen, "the first deployed it"
        first.pause()
        eventually(lambda: second.leads, START_SECONDS)
        since, wrote_before = len(control_plane.audit_events()), list(to_ray[0].seen)
        apply(control_plane, namespace, names=["hi"])
        eventually(lambda: to_ray[1].seen, SETTLE_SECONDS)
        first.resume()
        eventually(lambda: first.metric("tandem_leader") == 0.0, START_SECONDS)
        eventually(
            lambda: gateway.policy(f"{namespace}/hello")["names"] == ["hi", f"{namespace}/hello"], SETTLE_SECONDS
        )
        apply(control_plane, namespace, names=["hi", "there"])
        eventually(lambda: _is_settled(control_plane, namespace, "hello"), SETTLE_SECONDS)
        wrote = {
            event["userAgent"]
            for event in audited(control_plane, since)
            if event["verb"] not in {"get", "list", "watch"} and event["responseStatus"]["code"] < 300
        }
        assert wrote == {"tandem-operator (second)"}
        assert to_ray[0].seen == wrote_before
        assert holder(control_plane) == "second"
        eventually(lambda: second.leads, START_SECONDS)
        control_plane.kubectl("delete", "mdep", "hello", "-n", namespace, "--timeout=150s")


def test_when_the_api_server_is_gone_the_leader_steps_down_and_lives_on(operators, control_plane):
    first, second, gateway = operators
    eventually(lambda: gateway.streams, START_SECONDS)
    eventually(lambda: gateway.held[FRESHNESS], START_SECONDS)  # comes last: now it has everything
    assert gateway.snapshot()
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


def apply(control_plane, namespace, **model):
    local = {"ray": {"external": "lab"}, "resources": {"cpu": "100m"}}
    model = {"source": "file:///nowhere/switches.json", **model}
    control_plane.apply(a_model_deployment("hello", namespace=namespace, spec={"model": model, "local": local}))


def _is_settled(control_plane, namespace, name):
    found = control_plane.get_json("mdep", name, "-n", namespace)
    assert condition_of(found, "Ready") == ("True", "LocalAnswers")
    assert condition_of(found, "RoutesProgrammed") == ("True", "Programmed")
    assert condition_of(found, "Reconciling") == ("", "")
    return True
