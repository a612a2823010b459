"""From objects to policy documents: what the guard is told is what the objects say."""

from collections.abc import Mapping
from typing import Any

import pytest
from support.builders import a_cloud_endpoint, a_model_deployment, from_server
from tandem_contract.data_class import DataClass
from tandem_contract.documents import CloudChoice
from tandem_operator.api.v1alpha1 import CloudEndpoint, LabelSelector, ModelDeployment
from tandem_operator.egress.policy import authority, credential, deployment_policy, endpoint_policy
from tandem_operator.egress.selector import matches
from tandem_operator.egress.usable import unusable


def deployment(**spec: Any) -> ModelDeployment:
    return ModelDeployment.model_validate(from_server(a_model_deployment("hello", namespace="team", spec=spec)))


def endpoint(name: str = "cloud-eu", **spec: Any) -> CloudEndpoint:
    return CloudEndpoint.model_validate(from_server(a_cloud_endpoint(name, spec=spec)))


CLOUD = {"endpoints": [{"name": "gone", "model": "m"}, {"name": "cloud-eu", "model": "gpt-5-mini"}]}


def test_a_deployments_policy_says_what_its_spec_says() -> None:
    policy = deployment_policy(
        deployment(
            cloud={**CLOUD, "when": ["Overflow", "Bridge"]}, policy={"dataClass": "Confidential", "regions": ["eu-de"]}
        ),
        names=["hello", "team/hello"],
        prefix="/app",
        token="secret-token",
        endpoints={"cloud-eu": endpoint()},
    )
    assert policy.model_dump(mode="json") == {
        "deployment": "team/hello",
        "names": ["hello", "team/hello"],
        "created_seconds": 1767225600,
        "prefix": "/app",
        "token": "secret-token",
        "data_class": "Confidential",
        "regions": ["eu-de"],
        "when": ["overflow", "bridge"],
        "clouds": [{"endpoint": "cloud-eu", "model": "gpt-5-mini"}],
    }


def test_an_endpoint_that_does_not_exist_is_no_choice() -> None:
    policy = deployment_policy(deployment(cloud=CLOUD), names=[], prefix="/app", token="t", endpoints={})
    assert policy.clouds == ()


def test_clouds_keep_the_order_of_the_spec() -> None:
    both = {"endpoints": [{"name": "b", "model": "m1"}, {"name": "a", "model": "m2"}]}
    policy = deployment_policy(
        deployment(cloud=both), names=[], prefix="/app", token="t", endpoints={"a": endpoint("a"), "b": endpoint("b")}
    )
    assert policy.clouds == (CloudChoice(endpoint="b", model="m1"), CloudChoice(endpoint="a", model="m2"))


def test_an_endpoints_policy_names_the_namespaces_that_use_it_and_may() -> None:
    policy = endpoint_policy(
        endpoint(
            url="https://api.example.com:8443/openai/v1",
            maxDataClass="Public",
            allowedNamespaces={"matchLabels": {"cloud": "yes"}},
        ),
        destination="0123456789abcdef",
        namespaces={"team": {"cloud": "yes"}, "idle": {"cloud": "yes"}, "other": {}},
        users=["team/hello", "team/second", "other/hello", "unknown/hello"],
    )
    assert policy.model_dump(mode="json") == {
        "endpoint": "cloud-eu",
        "destination": "0123456789abcdef",
        "authority": "api.example.com:8443",
        "base_path": "/openai/v1",
        "region": "eu-de",
        "max_data_class": "Public",
        "namespaces": ["team"],
        "models": {"gpt-5-mini": 400000},
    }


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://api.example.com/v1", "api.example.com"),
        ("https://api.example.com:443/v1", "api.example.com"),
        ("https://localhost:8443", "localhost:8443"),
    ],
)
def test_the_authority_has_a_port_only_when_it_is_not_https_own(url: str, host: str) -> None:
    assert authority(url) == host


def wants(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"matchExpressions": [{"key": key, "operator": operator, **({"values": values} if values else {})}]}


LABELS = {"env": "prod", "team": "red", "empty": ""}


@pytest.mark.parametrize(
    ("selector", "holds"),
    [
        pytest.param(None, False, id="absent matches nothing"),
        pytest.param({}, True, id="empty matches everything"),
        pytest.param({"matchLabels": {"env": "prod"}}, True, id="one label"),
        pytest.param({"matchLabels": {"env": "prod", "team": "blue"}}, False, id="labels are and-ed"),
        pytest.param({"matchLabels": {"absent": ""}}, False, id="empty value is not absence"),
        pytest.param({"matchLabels": {"empty": ""}}, True, id="empty value"),
        pytest.param(wants("env", "In", "dev", "prod"), True, id="In"),
        pytest.param(wants("env", "In", "dev"), False, id="not In"),
        pytest.param(wants("gone", "In", ""), False, id="In, label absent"),
        pytest.param(wants("gone", "NotIn", "x"), True, id="NotIn, label absent"),
        pytest.param(wants("env", "NotIn", "prod"), False, id="NotIn"),
        pytest.param(wants("empty", "Exists"), True, id="Exists"),
        pytest.param(wants("gone", "Exists"), False, id="not Exists"),
        pytest.param(wants("gone", "DoesNotExist"), True, id="DoesNotExist"),
        pytest.param(wants("env", "DoesNotExist"), False, id="exists after all"),
        pytest.param(
            {"matchLabels": {"env": "prod"}, **wants("team", "NotIn", "red")},
            False,
            id="labels and expressions are and-ed",
        ),
    ],
)
def test_selectors_mean_what_they_mean_to_kubernetes(selector: Mapping[str, Any] | None, holds: bool) -> None:
    parsed = None if selector is None else LabelSelector.model_validate(selector)
    assert matches(parsed, LABELS) is holds


def test_a_key_becomes_a_header_and_is_shown_nowhere() -> None:
    document = credential("eu", b"  sk-secret\n", destination="d")
    assert document.authorization.get_secret_value() == "Bearer sk-secret"
    assert "sk-secret" not in repr(document) + str(document.model_dump())


@pytest.mark.parametrize("key", [b"", b" \n", b"sk-sec\nret", b"sk sec", b"sk-s\xc3\xa9cret", b"sk-\x00secret"])
def test_a_key_that_no_header_can_carry_is_refused_without_quoting_it(key: bytes) -> None:
    with pytest.raises(ValueError, match="CloudEndpoint eu") as refused:
        credential("eu", key, destination="d")
    assert "sk" not in str(refused.value)


@pytest.mark.parametrize(
    ("spec", "cloud", "labels", "reason"),
    [
        pytest.param({}, {}, {}, None, id="nothing is in the way"),
        pytest.param({}, None, {}, "EndpointNotFound", id="no such endpoint"),
        pytest.param({}, {}, None, "NamespaceNotAllowed", id="labels of the namespace unknown"),
        pytest.param(
            {}, {"allowedNamespaces": {"matchLabels": {"a": "b"}}}, {}, "NamespaceNotAllowed", id="labels do not match"
        ),
        pytest.param({}, {"allowedNamespaces": None}, {}, "NamespaceNotAllowed", id="no namespace is allowed"),
        pytest.param({}, {"models": [{"name": "x", "contextTokens": 1}]}, {}, "ModelNotOffered", id="another model"),
        pytest.param({"policy": {"regions": ["us"]}}, {}, {}, "RegionNotAllowed", id="another region"),
        pytest.param({"policy": {"dataClass": "Restricted"}}, {}, {}, "DataClassTooHigh", id="floor too high"),
    ],
)
def test_what_is_in_the_way_of_every_request_is_said(
    spec: dict[str, Any], cloud: dict[str, Any] | None, labels: dict[str, str] | None, reason: str | None
) -> None:
    named = deployment(cloud=CLOUD, **spec)
    found = unusable(named, named.spec.cloud.endpoints[1], None if cloud is None else endpoint(**cloud), labels)
    assert (found.reason if found else None) == reason
    if found:
        assert "cloud-eu" in found.message


def test_the_ladder_of_the_document_is_the_ladder_of_the_api() -> None:
    policy = endpoint_policy(endpoint(maxDataClass="Restricted"), destination="d", namespaces={}, users=[])
    assert policy.max_data_class is DataClass.RESTRICTED
