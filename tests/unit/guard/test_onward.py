"""Who is left when a cloud finds fault with a request."""

import dataclasses
from typing import Any

import pytest
from pydantic import SecretStr
from tandem_contract.data_class import DataClass
from tandem_contract.documents import CloudChoice, Credential, DeploymentPolicy, EndpointPolicy
from tandem_contract.headers import Reason
from tandem_serving.gateway.guard_decide import RequestFacts
from tandem_serving.gateway.guard_onward import nobody_is_left
from tandem_serving.gateway.policy_board import PolicyView

NOW = 1000.0
ORDER = ("one", "two", "three")
REQUEST = RequestFacts(
    endpoint="two",
    destination="place-of-two",
    deployment="team/hello",
    method="POST",
    path="/app/v1/chat/completions",
    hop="hop",
    repeated=True,
)


def an_endpoint(name: str) -> EndpointPolicy:
    return EndpointPolicy(
        endpoint=name,
        destination=f"place-of-{name}",
        authority="api.example.com",
        base_path="/v1",
        region="eu-de",
        max_data_class=DataClass.INTERNAL,
        namespaces=("team",),
        models={"m": 8192},
    )


def a_view(**changes: Any) -> PolicyView:
    deployment = DeploymentPolicy(
        deployment="team/hello",
        names=("hello",),
        created_seconds=0,
        prefix="/app",
        token="t",
        data_class=DataClass.PUBLIC,
        when=(Reason.BRIDGE, Reason.FAILOVER),
        clouds=tuple(CloudChoice(endpoint=name, model="m") for name in ORDER),
    )
    usual: dict[str, Any] = {
        "deployments": {"team/hello": deployment},
        "endpoints": {name: an_endpoint(name) for name in ORDER},
        "credentials": {
            name: Credential(endpoint=name, destination=f"place-of-{name}", authorization=SecretStr("Bearer sk"))
            for name in ORDER
        },
        "fresh_at": NOW,
    }
    return PolicyView(**usual | changes)


def left(view: PolicyView, **request: Any) -> bool:
    return not nobody_is_left(dataclasses.replace(REQUEST, **request), view, now=NOW, limit_seconds=60)


@pytest.mark.parametrize(
    ("view", "request_", "somebody"),
    [
        pytest.param(a_view(), {}, True, id="a later cloud"),
        pytest.param(a_view(), {"endpoint": "three"}, False, id="the last cloud"),
        pytest.param(a_view(ready_replicas={"team/hello": 1}), {"endpoint": "three"}, True, id="a replica"),
        pytest.param(a_view(ready_replicas={"team/hello": 0}), {"endpoint": "three"}, False, id="no replica is ready"),
        pytest.param(a_view(ready_replicas={"team/else": 1}), {"endpoint": "three"}, False, id="another's replica"),
        pytest.param(a_view(credentials={}), {}, False, id="a later cloud without key"),
        pytest.param(a_view(endpoints={}), {}, False, id="a later cloud without policy"),
        pytest.param(a_view(), {"data_class": "Restricted"}, False, id="a later cloud that may not see it"),
        pytest.param(a_view(), {"endpoint": "gone"}, False, id="this cloud is no longer chosen"),
        pytest.param(a_view(deployments={}), {}, False, id="no policy any more"),
        pytest.param(a_view(), {"deployment": None}, False, id="no deployment"),
    ],
)
def test_somebody_is_left_who_could_answer(view: PolicyView, request_: dict[str, Any], somebody: bool) -> None:
    assert left(view, **request_) is somebody
