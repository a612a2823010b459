"""What the gateway lives through: its operator gone or replaced, its own parts killed, its disk broken."""

import json
import signal
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.gateway_house import CHANGE_SECONDS, START_SECONDS, GatewayHouse, gateway_house
from support.wait import eventually
from support.xds_operator import XdsOperator, a_pki, mount
from support.xds_operator_process import start_operator
from tandem_contract.xds import State
from tandem_lab.gateway import Gateway
from tandem_lab.process import free_port
from tandem_operator.pki import plan_pki


def successor(house: GatewayHouse, *models: str, put_gateway: bool = True) -> XdsOperator:
    """Return a fresh operator at the same address, with these models and no others."""
    operator = XdsOperator(house.pki.server, house.operator.port).start()
    if put_gateway:
        operator.put_gateway(house.port)
    for model in models:
        operator.put_model(model, house.replicas.port)
    house.operator = operator
    return operator


def models(port: int) -> set[str]:
    """Return the models that a gateway lists."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/models", timeout=5) as answer:
        return {model["id"] for model in json.load(answer)["data"]}


def test_with_the_operator_dead_it_serves_restarts_from_disk_and_learns_later(tmp_path: Path) -> None:
    with gateway_house(tmp_path, models=("kept", "doomed")) as house:
        house.until_saved("kept", "doomed")
        house.operator.stop()
        eventually(lambda: house.gateway.metric("tandem_gateway_operator_connected") == 0, CHANGE_SECONDS)
        assert house.answers("kept", "doomed")

        house.gateway.restart_envoy()
        house.until_ready()
        house.until_answered("kept", "doomed")

        house.gateway.restart_agent()
        assert house.answers("kept")  # Envoy needs no agent for what is local
        house.until_ready()
        assert house.answers("kept", "doomed")

        house.gateway.kill_envoy()
        house.gateway.restart_agent()
        house.gateway.start_envoy()
        house.until_ready()
        house.until_answered("kept", "doomed")
        assert "snapshot_restored" in house.gateway.agent_log

        with_gap = successor(house, "kept", "new")
        with_gap.open()
        house.until_answered("new")
        house.until_gone("doomed")
        assert house.answers("kept")
        eventually(lambda: with_gap.accepted("gateway", "deployment/team/kept", "deployment/team/new"), CHANGE_SECONDS)


def test_an_agent_that_wakes_with_an_older_snapshot_takes_nothing_from_envoy(tmp_path: Path) -> None:
    with gateway_house(tmp_path, models=("old", "doomed")) as house:
        house.until_saved("old", "doomed")
        older = house.gateway.snapshot.read_bytes()
        house.operator.put_model("new", house.replicas.port)
        house.until_answered("new")
        house.operator.stop()
        house.gateway.kill_agent()
        house.gateway.snapshot.write_bytes(older)
        house.gateway.start_agent()
        house.until_ready()
        assert house.answers("old", "new", "doomed")
        successor(house, "old", "new").open()
        house.until_gone("doomed")
        assert house.answers("old", "new")


def test_a_fresh_operator_that_does_not_know_everything_yet_removes_nothing(tmp_path: Path) -> None:
    with gateway_house(tmp_path) as house:
        house.operator.stop()
        fresh = successor(house, put_gateway=False)
        eventually(lambda: "not ready yet" in house.gateway.agent_log, CHANGE_SECONDS)
        assert house.answers("mini")
        fresh.put_gateway(house.port)
        fresh.put_model("mini", house.replicas.port)
        fresh.open()
        eventually(lambda: fresh.accepted("gateway", "deployment/team/mini"), CHANGE_SECONDS)
        assert house.answers("mini")


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda content: content[: len(content) // 2], id="cut in half"),
        pytest.param(lambda content: content[:-1] + bytes([content[-1] ^ 1]), id="one bit flipped"),
        pytest.param(lambda _: b"", id="emptied"),
    ],
)
def test_a_damaged_snapshot_is_named_ignored_and_replaced(tmp_path: Path, damage: object) -> None:
    assert callable(damage)
    with gateway_house(tmp_path) as house:
        house.until_saved("mini")
        house.operator.refuse("nobody leads")
        house.gateway.kill_agent()
        house.gateway.snapshot.write_bytes(damage(house.gateway.snapshot.read_bytes()))
        house.gateway.start_agent()
        eventually(lambda: "snapshot_ignored" in house.gateway.agent_log, START_SECONDS)
        assert house.answers("mini")  # an agent that knows nothing does not empty Envoy
        house.operator.open()
        house.until_saved("mini")
        house.until_ready()
        assert house.answers("mini")


def test_without_anything_on_disk_it_is_not_ready_and_says_why(tmp_path: Path) -> None:
    pki = a_pki()
    with Gateway(tmp_path, operators=[f"127.0.0.1:{free_port()}"], tls_dir=mount(pki, tmp_path / "tls")) as gateway:
        eventually(lambda: gateway.get("/healthz")[0] == 200, START_SECONDS)
        assert gateway.get("/readyz") == (503, "Envoy is not connected\n")
        assert not gateway.envoy.live


def test_followers_refuse_and_the_leader_is_found_at_another_address(tmp_path: Path) -> None:
    with gateway_house(tmp_path / "one") as house, XdsOperator(house.pki.server) as other:
        operators = [house.operator.address, other.address]
        other.put_gateway(second_port := free_port())
        other.put_model("mini", house.replicas.port)
        house.operator.refuse("another operator leads")
        other.open()
        with Gateway(
            tmp_path / "two", operators=operators, tls_dir=house.gateway.config.tls_dir, node_id="two"
        ) as second:
            eventually(lambda: second.ready, START_SECONDS)
            eventually(lambda: other.gateways == ("two",), CHANGE_SECONDS)
            house.operator.put_gateway(second_port)
            house.operator.open()
            other.refuse("another operator leads")
            eventually(lambda: "two" in house.operator.gateways, CHANGE_SECONDS)
            assert second.ready


def test_a_frozen_operator_is_noticed_and_left(tmp_path: Path) -> None:
    pki, gateway_port, ports = a_pki(), free_port(), (free_port(), free_port())
    with gateway_house(tmp_path / "peers") as house:
        frozen, healthy = (
            start_operator(
                tmp_path, pki, port=port, gateway_port=gateway_port, replica_port=house.replicas.port, models=[model]
            )
            for port, model in zip(ports, ("first", "second"), strict=True)
        )
        healthy.kill()
        operators = [f"127.0.0.1:{port}" for port in ports]
        try:
            with Gateway(tmp_path / "two", operators=operators, tls_dir=mount(pki, tmp_path / "tls")) as gateway:
                eventually(lambda: gateway.ready, START_SECONDS)
                frozen.signal(signal.SIGSTOP)
                healthy = start_operator(
                    tmp_path,
                    pki,
                    port=ports[1],
                    gateway_port=gateway_port,
                    replica_port=house.replicas.port,
                    models=["first", "second"],
                )
                eventually(lambda: "team/second" in models(gateway_port), START_SECONDS)
        finally:
            frozen.kill()
            healthy.kill()


def test_certificates_are_renewed_under_a_running_stream_and_used_at_the_next(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    old = plan_pki(None, None, server=None, names=(), now=now - timedelta(days=21))
    new = plan_pki(old.internal, old.gateway, server=old.server, names=(), now=now)
    port = free_port()
    with XdsOperator(old.server) as operator:
        operator.put_gateway(port)
        operator.open()
        tls = mount(old, tmp_path / "tls")
        with Gateway(tmp_path, operators=[operator.address], tls_dir=tls) as gateway:
            eventually(lambda: gateway.ready, START_SECONDS)
            operator.use(new.server)
            mount(new, tls)
            operator.put_model("during", port)
            eventually(lambda: operator.accepted("deployment/team/during"), CHANGE_SECONDS)
            assert gateway.metric("tandem_gateway_operator_connects_total") == 1
            operator.refuse()
            operator.open()
            eventually(lambda: gateway.metric("tandem_gateway_operator_connects_total") == 2, CHANGE_SECONDS)
            eventually(lambda: operator.accepted("gateway"), CHANGE_SECONDS)


def test_a_gateway_of_another_authority_is_refused_until_it_gets_its_new_certificate(tmp_path: Path) -> None:
    ours, theirs = a_pki(), a_pki()
    with XdsOperator(ours.server) as operator:
        operator.put_gateway(free_port())
        operator.open()
        tls = mount(theirs, tmp_path / "tls")
        with Gateway(tmp_path, operators=[operator.address], tls_dir=tls) as gateway:
            eventually(lambda: "CERTIFICATE_VERIFY_FAILED" in gateway.agent_log, START_SECONDS)
            assert operator.gateways == ()
            assert operator.programmed("gateway").state is State.NO_GATEWAY
            mount(ours, tls)
            eventually(lambda: operator.accepted("gateway"), START_SECONDS)


def test_when_envoy_is_gone_nothing_is_called_programmed(tmp_path: Path) -> None:
    with gateway_house(tmp_path) as house:
        house.gateway.kill_envoy()
        eventually(lambda: house.gateway.metric("tandem_gateway_envoys_connected") == 0, CHANGE_SECONDS)
        owner = house.operator.put_model("later", house.replicas.port)
        assert house.operator.programmed(owner).state is State.PENDING
        assert house.gateway.get("/readyz")[0] == 503
        house.gateway.start_envoy()
        eventually(lambda: house.operator.accepted(owner), START_SECONDS)
        house.until_answered("later")
