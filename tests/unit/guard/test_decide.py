"""The decision as a table: one thing wrong at a time, and the word that it gets."""

import dataclasses
import itertools
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr
from tandem_contract.data_class import DataClass
from tandem_contract.documents import CloudChoice, Credential, DeploymentPolicy, EndpointPolicy
from tandem_contract.headers import Reason
from tandem_serving.gateway.guard_decide import Deny, RequestFacts, Send, Word, decide
from tandem_serving.gateway.policy_board import PolicyView

NOW = 10_000.0
LIMIT = 3600.0
KEY = "Bearer sk-very-secret"
TOKEN = "token-of-hello"

DEPLOYMENT = DeploymentPolicy(
    deployment="team/hello",
    names=("hello", "team/hello"),
    created_seconds=0,
    prefix="/app",
    token=TOKEN,
    data_class=DataClass.INTERNAL,
    when=(Reason.OVERFLOW, Reason.FAILOVER, Reason.BRIDGE, Reason.ESCALATION),
    clouds=(CloudChoice(endpoint="other", model="m0"), CloudChoice(endpoint="eu", model="gpt-5-mini")),
)
ENDPOINT = EndpointPolicy(
    endpoint="eu",
    destination="0123456789abcdef",
    authority="api.example.com",
    base_path="/openai/v1",
    region="eu-de",
    max_data_class=DataClass.CONFIDENTIAL,
    namespaces=("team",),
    models={"gpt-5-mini": 400_000},
)
CREDENTIAL = Credential(endpoint="eu", destination=ENDPOINT.destination, authorization=SecretStr(KEY))
REQUEST = RequestFacts(
    endpoint="eu",
    destination=ENDPOINT.destination,
    deployment="team/hello",
    method="POST",
    path="/app/v1/chat/completions",
    hop="hop-1",
)


def a_view(
    deployment: Mapping[str, Any] | None = None, endpoint: Mapping[str, Any] | None = None, **view: Any
) -> PolicyView:
    usual: dict[str, Any] = {
        "deployments": {"team/hello": DEPLOYMENT.model_copy(update=dict(deployment or {}))},
        "endpoints": {"eu": ENDPOINT.model_copy(update=dict(endpoint or {}))},
        "credentials": {"eu": CREDENTIAL},
        "ready_replicas": {"team/hello": 2},
        "fresh_at": NOW - 60,
    }
    return PolicyView(**usual | view)


def verdict(view: PolicyView, now: float = NOW, **request: Any) -> Send | Deny:
    return decide(dataclasses.replace(REQUEST, **request), view, now=now, limit_seconds=LIMIT)


def test_a_request_that_meets_every_rule_is_sent_as_the_provider_wants_it() -> None:
    assert verdict(a_view()) == Send(
        deployment="team/hello",
        endpoint="eu",
        reason=Reason.FAILOVER,
        model="gpt-5-mini",
        context_tokens=400_000,
        authority="api.example.com",
        path="/openai/v1/chat/completions",
        authorization=SecretStr(KEY),
    )


@pytest.mark.parametrize(
    ("view", "request_", "word"),
    [
        pytest.param(a_view(), {"deployment": None}, "malformed", id="no deployment named by the route"),
        pytest.param(a_view(), {"hop": None}, "malformed", id="no hop named by the route"),
        pytest.param(a_view(), {"endpoint": ""}, "malformed", id="no endpoint named by the listener"),
        pytest.param(PolicyView(), {}, "unknown_deployment", id="no policy at all"),
        pytest.param(a_view(deployments={}), {}, "unknown_deployment", id="deployment without policy"),
        pytest.param(a_view(fresh_at=None), {}, "policy_stale", id="operator never heard of"),
        pytest.param(a_view(fresh_at=NOW - LIMIT - 1), {}, "policy_stale", id="one second too old"),
        pytest.param(a_view(endpoints={}), {}, "unknown_endpoint", id="endpoint without policy"),
        pytest.param(a_view({"clouds": DEPLOYMENT.clouds[:1]}), {}, "not_chosen", id="endpoint not listed"),
        pytest.param(a_view({"clouds": ()}), {}, "not_chosen", id="no endpoint listed"),
        pytest.param(a_view(credentials={}), {}, "credential_missing", id="no key"),
        pytest.param(
            a_view(credentials={"eu": CREDENTIAL.model_copy(update={"authorization": SecretStr("")})}),
            {},
            "credential_missing",
            id="empty key",
        ),
        pytest.param(a_view(), {"destination": ""}, "destination", id="no destination named by the listener"),
        pytest.param(a_view(), {"destination": "another"}, "destination", id="a way to another place"),
        pytest.param(a_view(endpoint={"destination": "another"}), {}, "destination", id="policy for another place"),
        pytest.param(
            a_view(credentials={"eu": CREDENTIAL.model_copy(update={"destination": "another"})}),
            {},
            "destination",
            id="key for another place",
        ),
        pytest.param(
            a_view(endpoint={"destination": ""}, credentials={"eu": CREDENTIAL.model_copy(update={"destination": ""})}),
            {"destination": ""},
            "destination",
            id="no place at all is no agreement",
        ),
        pytest.param(a_view(endpoint={"namespaces": ()}), {}, "namespace", id="no namespace allowed"),
        pytest.param(a_view(endpoint={"namespaces": ("tea", "team2")}), {}, "namespace", id="other namespaces allowed"),
        pytest.param(a_view(), {"route": "local"}, "kept_local", id="client keeps it local"),
        pytest.param(a_view(), {"route": "anywhere"}, "kept_local", id="a wish that is not understood"),
        pytest.param(a_view(), {"data_class": "Restricted"}, "data_class", id="client raises above the endpoint"),
        pytest.param(a_view(), {"data_class": "public"}, "data_class", id="unknown class is Restricted"),
        pytest.param(a_view(), {"data_class": "Public,Restricted"}, "data_class", id="two headers are no class"),
        pytest.param(
            a_view({"data_class": DataClass.RESTRICTED}), {"data_class": "Public"}, "data_class", id="floor holds"
        ),
        pytest.param(a_view({"regions": ("eu-fr", "us")}), {}, "region", id="region not listed"),
        pytest.param(a_view(), {"token": "made-up", "reason": "overflow"}, "token", id="made-up token"),
        pytest.param(a_view(), {"token": "", "reason": "overflow"}, "token", id="empty token"),
        pytest.param(a_view(), {"token": "tökén\udcff", "reason": "overflow"}, "token", id="token of odd characters"),
        pytest.param(a_view(), {"reason": "overflow"}, "token", id="reason without token"),
        pytest.param(a_view({"token": ""}), {"token": "", "reason": "overflow"}, "token", id="no token exists"),
        pytest.param(a_view(), {"token": TOKEN}, "reason", id="token without reason"),
        pytest.param(a_view(), {"token": TOKEN, "reason": "failover"}, "reason", id="not a replica's reason"),
        pytest.param(a_view(), {"token": TOKEN, "reason": "because"}, "reason", id="unknown reason"),
        pytest.param(
            a_view({"when": (Reason.FAILOVER,)}), {"token": TOKEN, "reason": "overflow"}, "reason", id="no overflow"
        ),
        pytest.param(a_view({"when": (Reason.BRIDGE,)}), {}, "reason", id="no failover"),
        pytest.param(a_view({"when": (Reason.FAILOVER,)}, ready_replicas={}), {}, "reason", id="no bridge"),
        pytest.param(a_view({"when": ()}), {}, "reason", id="never"),
        pytest.param(a_view(endpoint={"models": {"gpt-5": 1}}), {}, "model", id="model not offered"),
        pytest.param(a_view(), {"path": "/app/v1/responses"}, "path", id="path not listed"),
        pytest.param(a_view(), {"path": "/v1/chat/completions"}, "path", id="path without the app's prefix"),
        pytest.param(a_view(), {"path": "/other/v1/chat/completions"}, "path", id="another app's path"),
        pytest.param(a_view(), {"path": "/app/app/v1/chat/completions"}, "path", id="prefix twice"),
        pytest.param(a_view(), {"path": "/app/v1/chat/completions/../files"}, "path", id="dots"),
        pytest.param(a_view(), {"path": "/app/v1/chat/completions/"}, "path", id="slash at the end"),
        pytest.param(a_view(), {"method": "GET"}, "path", id="not a POST"),
        pytest.param(a_view(), {"repeated": True}, "repeated", id="asked already"),
    ],
)
def test_one_thing_that_is_wrong_denies_with_its_word(view: PolicyView, request_: dict[str, Any], word: str) -> None:
    got = verdict(view, **request_)
    assert isinstance(got, Deny)
    assert got.word == word
    assert KEY not in got.message
    assert TOKEN not in got.message


@pytest.mark.parametrize(
    ("view", "request_", "reason"),
    [
        pytest.param(a_view(), {}, "failover", id="a replica is known: it must be broken"),
        pytest.param(a_view(ready_replicas={}), {}, "bridge", id="no replica was ever known"),
        pytest.param(a_view(ready_replicas={"team/hello": 0}), {}, "bridge", id="no replica is ready"),
        pytest.param(a_view(), {"token": TOKEN, "reason": "overflow"}, "overflow", id="a replica is full"),
        pytest.param(a_view(), {"token": TOKEN, "reason": "escalation"}, "escalation", id="a replica gave up"),
    ],
)
def test_the_reason_is_the_replicas_when_it_proves_itself(
    view: PolicyView, request_: dict[str, Any], reason: str
) -> None:
    got = verdict(view, **request_)
    assert isinstance(got, Send)
    assert got.reason == reason


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("/app/v1/chat/completions", "/openai/v1/chat/completions"),
        ("/app/v1/completions", "/openai/v1/completions"),
        ("/app/v1/embeddings", "/openai/v1/embeddings"),
        pytest.param("/app/v1/embeddings?beta=true&x=%2F..", "/openai/v1/embeddings", id="the query stays here"),
    ],
)
def test_the_path_is_the_providers(path: str, sent: str) -> None:
    got = verdict(a_view(), path=path)
    assert isinstance(got, Send)
    assert got.path == sent


def test_a_policy_is_good_up_to_its_limit_and_region_and_class_up_to_theirs() -> None:
    view = a_view({"regions": ("us", "eu-de"), "data_class": DataClass.CONFIDENTIAL}, fresh_at=NOW - LIMIT)
    assert isinstance(verdict(view, data_class="Confidential"), Send)


def test_the_first_check_that_fails_gives_the_word() -> None:
    everything_wrong = a_view({"when": (), "regions": ("us",)}, {"namespaces": (), "models": {}}, credentials={})
    assert verdict(everything_wrong, route="local", repeated=True, path="/") == Deny(
        Word.CREDENTIAL_MISSING, "cloud endpoint eu has no key"
    )


def test_neither_view_nor_verdict_shows_a_key_or_a_token() -> None:
    view = a_view()
    shown = repr(view) + repr(verdict(view)) + repr(dataclasses.replace(REQUEST, token=TOKEN))
    assert "sk-very-secret" not in shown
    assert f"token='{TOKEN}'" not in repr(dataclasses.replace(REQUEST, token=TOKEN))


@given(
    header=st.none() | st.text(max_size=12) | st.sampled_from([c.value for c in DataClass]),
    floor=st.sampled_from(DataClass),
    ceiling=st.sampled_from(DataClass),
)
@settings(deadline=None)
def test_nothing_above_the_endpoints_class_ever_leaves(
    header: str | None, floor: DataClass, ceiling: DataClass
) -> None:
    got = verdict(a_view({"data_class": floor}, {"max_data_class": ceiling}), data_class=header)
    if isinstance(got, Send):
        by_name = {known.value: known for known in DataClass}
        named = floor if header is None else by_name.get(header.strip(), DataClass.RESTRICTED)
        assert max(named.rank, floor.rank) <= ceiling.rank


@pytest.mark.parametrize("missing", list(itertools.product([True, False], repeat=4)))
def test_a_part_of_the_policy_that_is_missing_always_denies(missing: tuple[bool, ...]) -> None:
    absent = {"deployments": {}, "endpoints": {}, "credentials": {}, "fresh_at": None}
    changes = {name: empty for (name, empty), gone in zip(absent.items(), missing, strict=True) if gone}
    assert isinstance(verdict(a_view(**changes)), Deny if any(missing) else Send)
