"""What the operator publishes reaches Envoy while it serves, and what Envoy made of it comes back."""

import re
import secrets
from collections.abc import Iterator

import pytest
from support.gateway_house import CHANGE_SECONDS, GatewayHouse, files_below
from support.wait import eventually
from support.xds_client import cluster
from support.xds_operator import compile_model
from tandem_contract.documents import Credential, Freshness
from tandem_contract.xds import State
from tandem_lab import envoy
from tandem_serving.gateway.bootstrap import make_bootstrap


def updates(house: GatewayHouse, what: str) -> int:
    """Return one of Envoy's own counters."""
    (value,) = re.findall(rf"^{re.escape(what)}: (\d+)$", house.gateway.envoy.admin("/stats"), re.MULTILINE)
    return int(value)


def clusters(house: GatewayHouse) -> set[str]:
    return {line.partition("::")[0] for line in house.gateway.envoy.admin("/clusters").splitlines()}


@pytest.fixture
def model(house: GatewayHouse) -> Iterator[str]:
    """A model of the test's own, live."""
    name = f"m{secrets.token_hex(4)}"
    owner = house.operator.put_model(name, house.replicas.port)
    house.until_answered(name)
    yield name
    house.operator.drop(owner)


def test_everything_is_programmed_when_the_gateway_is_ready(house: GatewayHouse) -> None:
    eventually(lambda: house.operator.accepted("gateway", "deployment/team/mini"), CHANGE_SECONDS)
    assert house.operator.gateways == ("lab-gateway",)
    assert house.gateway.metric("tandem_gateway_operator_connected") == 1
    assert house.gateway.metric("tandem_gateway_envoys_connected") == 1


def test_a_new_model_answers_by_both_its_names(house: GatewayHouse, model: str) -> None:
    assert house.ask(f"team/{model}").destination == "local"
    eventually(lambda: house.operator.accepted(f"deployment/team/{model}"), CHANGE_SECONDS)


def test_envoy_counts_what_is_listed_and_nothing_else(house: GatewayHouse, model: str) -> None:
    counted = house.gateway.envoy.admin("/stats")
    assert f"cluster.local|team/{model}.membership_healthy: 1" in counted
    assert f"cluster.local|team/{model}.upstream_cx_length_ms" not in counted
    assert f"cluster.local|team/{model}.circuit_breakers" not in counted


def test_a_deleted_model_is_unknown_and_its_removal_is_acknowledged(house: GatewayHouse, model: str) -> None:
    house.operator.drop(f"deployment/team/{model}")
    house.until_gone(model)
    eventually(lambda: house.operator.accepted(f"deployment/team/{model}"), CHANGE_SECONDS)
    assert not [name for name in clusters(house) if model in name]


def test_replicas_that_moved_are_asked_at_their_new_address(house: GatewayHouse, model: str) -> None:
    house.operator.put_model(model, 9, house.replicas.port)
    house.operator.put_model(model, 9)
    eventually(lambda: house.status(model) == 503, CHANGE_SECONDS)
    house.operator.put_model(model, house.replicas.port)
    house.until_answered(model)


def test_a_changed_prefix_reaches_the_route_without_a_gap(house: GatewayHouse, model: str) -> None:
    house.operator.put_model(model, house.replicas.port, prefix="/renamed")

    def renamed() -> bool:
        answer = house.ask(model)
        assert answer.status == 200  # never anything else on the way
        return bool(answer.json["path"].startswith("/renamed/"))

    eventually(renamed, CHANGE_SECONDS)


def test_models_are_listed_through_envoy(house: GatewayHouse, model: str) -> None:
    listed = house.ask(model, path="/v1/models", method="GET", body=b"")
    assert {f"team/{model}", model} <= {entry["id"] for entry in listed.json["data"]}
    assert (listed.headers["x-tandem-destination"], listed.headers["x-tandem-attempts"]) == ("gateway", "0")
    one = house.ask(model, path=f"/v1/models/team/{model}", method="GET", body=b"")
    assert one.json["id"] == f"team/{model}"


def test_what_envoy_refuses_is_reported_with_its_words_and_hurts_nobody_else(house: GatewayHouse, model: str) -> None:
    impossible = {**cluster("model|impossible"), "lb_policy": "CLUSTER_PROVIDED"}
    house.operator.put("deployment/team/bad", [impossible])
    eventually(lambda: house.operator.programmed("deployment/team/bad").state is State.REJECTED, CHANGE_SECONDS)
    verdict = house.operator.programmed("deployment/team/bad")
    assert "model|impossible" in verdict.message
    assert verdict.client == "lab-gateway"
    assert house.answers(model)
    assert house.operator.accepted(f"deployment/team/{model}")
    assert (house.gateway.metric("tandem_gateway_resources_total") or 0) > 0
    assert "resource_refused" in house.gateway.agent_log
    house.operator.drop("deployment/team/bad")
    eventually(lambda: house.operator.accepted("deployment/team/bad"), CHANGE_SECONDS)


def test_an_edit_that_envoy_refuses_leaves_the_last_good_version_in_force(house: GatewayHouse, model: str) -> None:
    owner = f"deployment/team/{model}"
    compiled = compile_model(model, house.replicas.port)
    broken = [message | ({"connect_timeout": "0s"} if "connect_timeout" in message else {}) for message in compiled]
    house.operator.put(owner, broken)
    eventually(lambda: house.operator.programmed(owner).state is State.REJECTED, CHANGE_SECONDS)
    assert house.answers(model)
    house.gateway.restart_envoy()
    house.until_ready()
    house.until_answered(model)


def test_new_endpoints_touch_no_cluster(house: GatewayHouse, model: str) -> None:
    before = updates(house, "cluster_manager.cluster_modified"), updates(house, "cluster_manager.cluster_added")
    house.operator.put_model(model, house.replicas.port, 9)
    eventually(lambda: house.operator.accepted(f"deployment/team/{model}"), CHANGE_SECONDS)
    assert (
        updates(house, "cluster_manager.cluster_modified"),
        updates(house, "cluster_manager.cluster_added"),
    ) == before


def test_a_credential_never_reaches_envoy_nor_the_disk(house: GatewayHouse) -> None:
    house.operator.put(
        "endpoint/openai",
        documents=[Credential(endpoint="openai", destination="d", authorization="Bearer sk-secret-77")],
    )
    eventually(lambda: house.gateway.metric("tandem_gateway_credentials") == 1, CHANGE_SECONDS)
    house.operator.put_model("after-the-key", house.replicas.port)
    house.until_saved("after-the-key")
    assert "sk-secret-77" not in house.gateway.envoy.admin("/config_dump?include_eds")
    for path, content in files_below(house.gateway.folder).items():
        assert b"sk-secret-77" not in content, path
    house.operator.drop("endpoint/openai")
    eventually(lambda: house.gateway.metric("tandem_gateway_credentials") == 0, CHANGE_SECONDS)


def test_the_age_of_the_policy_is_a_metric(house: GatewayHouse) -> None:
    house.operator.put("freshness", documents=[Freshness(observed_seconds=1)])
    eventually(lambda: (house.gateway.metric("tandem_gateway_policy_age_seconds") or 0) > 1_000_000, CHANGE_SECONDS)


def test_envoy_takes_the_bootstrap(house: GatewayHouse) -> None:
    envoy.validate(make_bootstrap(house.gateway.config), house.gateway.folder)
