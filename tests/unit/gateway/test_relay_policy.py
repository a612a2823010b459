import json

import pytest
from support.xds_client import endpoints
from tandem_contract.data_class import DataClass
from tandem_contract.documents import Credential, DeploymentPolicy, EndpointPolicy, Freshness
from tandem_contract.xds import Resource, from_dict, from_document
from tandem_contract.xds.types import ENDPOINTS
from tandem_serving.gateway.relay_policy import PolicyReader

POLICY = DeploymentPolicy(
    deployment="a/b", names=("a/b",), created_seconds=1, prefix="/x", token="t", data_class=DataClass.PUBLIC
)
ENDPOINT = EndpointPolicy(
    endpoint="openai",
    destination="0123456789abcdef",
    authority="api.example.com",
    base_path="/v1",
    region="eu-de",
    max_data_class=DataClass.PUBLIC,
    namespaces=("a",),
    models={"big": 8192},
)
KEY = Credential(endpoint="openai", destination="0123456789abcdef", authorization="Bearer sk-secret")


def take(reader: PolicyReader, resource: Resource, *, wall: float = 1000, monotonic: float = 50) -> None:
    reader.take(resource, now_seconds=wall, monotonic_seconds=monotonic)


def broken(resource: Resource) -> Resource:
    resource.body.value = json.dumps({**json.loads(resource.body.value), "from_the_future": "sk-secret"}).encode()
    return resource


def test_the_view_holds_what_arrived() -> None:
    reader = PolicyReader()
    for document in (POLICY, ENDPOINT, KEY):
        take(reader, from_document(document))
    view = reader.view()
    assert (view.deployments, view.endpoints, view.credentials) == (
        {"a/b": POLICY},
        {"openai": ENDPOINT},
        {"openai": KEY},
    )


def test_a_view_does_not_change_after_it_was_given_out() -> None:
    reader = PolicyReader()
    take(reader, from_document(POLICY))
    view = reader.view()
    reader.forget(from_document(POLICY).key)
    assert view.deployments == {"a/b": POLICY}
    assert reader.view().deployments == {}
    with pytest.raises(TypeError):
        view.deployments["a/b"] = POLICY  # type: ignore[index]  # that is what is tried


@pytest.mark.parametrize("document", [POLICY, ENDPOINT, KEY])
def test_a_document_that_cannot_be_read_takes_the_old_one_away(
    document: DeploymentPolicy | EndpointPolicy | Credential,
) -> None:
    reader = PolicyReader()
    take(reader, from_document(document))
    with pytest.raises(ValueError, match="from_the_future") as refusal:
        take(reader, broken(from_document(document)))
    assert "sk-secret" not in str(refusal.value)
    view = reader.view()
    assert not view.deployments
    assert not view.endpoints
    assert not view.credentials


def test_ready_replicas_are_counted_from_what_envoy_was_told() -> None:
    reader = PolicyReader()
    message = endpoints("local|a/b", 1, 2, 3)
    message["endpoints"][0]["lb_endpoints"][0]["health_status"] = "DRAINING"
    take(reader, from_dict(message))
    take(reader, from_dict(endpoints("upstream|openai", 443)))
    assert reader.view().ready_replicas == {"a/b": 2}
    take(reader, from_dict(endpoints("local|a/b")))
    assert reader.view().ready_replicas == {"a/b": 0}
    reader.forget(from_dict(endpoints("local|a/b")).key)
    assert reader.view().ready_replicas == {}
    assert from_dict(endpoints("local|a/b")).key.type_url == ENDPOINTS


def test_a_heartbeat_counts_from_when_it_was_observed() -> None:
    reader = PolicyReader()
    assert reader.view().fresh_at is None
    take(reader, from_document(Freshness(observed_seconds=990)), wall=1000, monotonic=50)
    assert reader.view().fresh_at == 40


def test_a_heartbeat_that_is_sent_again_is_as_old_as_it_was() -> None:
    reader = PolicyReader()
    take(reader, from_document(Freshness(observed_seconds=1000)), wall=1000, monotonic=50)
    take(reader, from_document(Freshness(observed_seconds=1000)), wall=500, monotonic=90)
    assert reader.view().fresh_at == 50


def test_a_withdrawn_heartbeat_goes_on_ageing() -> None:
    reader = PolicyReader()
    heartbeat = from_document(Freshness(observed_seconds=1000))
    take(reader, heartbeat, wall=1000, monotonic=50)
    reader.forget(heartbeat.key)
    assert reader.view().fresh_at == 50
