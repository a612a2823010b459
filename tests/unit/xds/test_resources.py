import json
import subprocess
import sys

import pytest
from pydantic import ValidationError
from support.xds_client import cluster, endpoints
from tandem_contract.data_class import DataClass
from tandem_contract.documents import (
    CloudChoice,
    Credential,
    DeploymentPolicy,
    Document,
    EndpointPolicy,
    Freshness,
    LiveConfig,
)
from tandem_contract.headers import Reason
from tandem_contract.xds import Key, from_dict, from_document, to_document
from tandem_contract.xds.types import CREDENTIAL, DEPLOYMENT_POLICY, ENDPOINT_POLICY, FRESHNESS

POLICY = DeploymentPolicy(
    deployment="team/support",
    names=("support", "team/support"),
    created_seconds=1_700_000_000,
    prefix="/app",
    token="t",
    data_class=DataClass.INTERNAL,
    when=(Reason.BRIDGE,),
    clouds=(CloudChoice(endpoint="openai", model="big"),),
)
ENDPOINT = EndpointPolicy(
    endpoint="openai",
    destination="0123456789abcdef",
    authority="api.example.com",
    base_path="/v1",
    region="eu-de",
    max_data_class=DataClass.INTERNAL,
    namespaces=("team",),
    models={"big": 8192},
)
CREDENTIAL_DOCUMENT = Credential(endpoint="openai", destination="0123456789abcdef", authorization="Bearer sk-secret")


@pytest.mark.parametrize(
    ("document", "key"),
    [
        pytest.param(POLICY, Key(DEPLOYMENT_POLICY, "team/support"), id="deployment"),
        pytest.param(ENDPOINT, Key(ENDPOINT_POLICY, "openai"), id="endpoint"),
        pytest.param(CREDENTIAL_DOCUMENT, Key(CREDENTIAL, "openai"), id="credential, its value whole"),
        pytest.param(Freshness(observed_seconds=5), Key(FRESHNESS, "operator"), id="freshness"),
    ],
)
def test_a_document_arrives_as_it_was_sent(document: Document, key: Key) -> None:
    resource = from_document(document)
    assert resource.key == key
    assert to_document(resource) == document


def test_a_document_that_is_not_for_gateways_does_not_travel() -> None:
    live = LiveConfig(names=("a",), token="t", overflow=False, cloud=False, time_to_first_token_milliseconds=1)
    with pytest.raises(TypeError, match="LiveConfig"):
        from_document(live)


def test_a_document_of_a_newer_operator_is_not_understood() -> None:
    resource = from_document(POLICY)
    resource.body.value = json.dumps({**json.loads(resource.body.value), "budget": "25"}).encode()
    with pytest.raises(ValidationError, match="budget"):
        to_document(resource)


def test_a_credential_is_not_shown_by_its_resource() -> None:
    assert "sk-secret" not in repr(from_document(CREDENTIAL_DOCUMENT))


def test_equal_content_has_the_same_version_whatever_the_order_of_fields() -> None:
    message = cluster("x")
    assert from_dict(message).version == from_dict(dict(reversed(message.items()))).version
    assert from_dict(message).version != from_dict(cluster("x", seconds=2)).version


def test_another_process_gives_the_same_version() -> None:
    program = "from support.xds_client import cluster\nfrom tandem_contract.xds import from_dict\n"
    program += "print(from_dict(cluster('x')).version)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == from_dict(cluster("x")).version


def test_a_cluster_knows_which_endpoints_follow_it() -> None:
    named = cluster("local|a/b", eds=True)
    named["eds_cluster_config"]["service_name"] = "other"
    assert from_dict(cluster("local|a/b", eds=True)).endpoints == "local|a/b"
    assert from_dict(named).endpoints == "other"
    assert from_dict(cluster("static")).endpoints is None
    assert from_dict(endpoints("local|a/b", 1)).endpoints is None
