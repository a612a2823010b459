"""envoy.md 1 and 17: what a client claims has no effect, except for what design §8 lists."""

import json

import pytest
from support.asking import CHAT, ask
from support.routing_world import World

CLUSTERS = ["upstream|east", "cloud|east", "guard", "agent", "local|ns/chat", "model|chat", "escalated|chat", "xds"]


@pytest.mark.parametrize("cluster", CLUSTERS)
async def test_the_body_cannot_name_a_cluster(world: World, cluster: str) -> None:
    answer = await ask(world.url, cluster)
    assert (answer.status, answer.error["code"]) == (404, "model_not_found")
    assert world.at_guard(answer.request_id) == []


@pytest.mark.parametrize("cluster", CLUSTERS)
@pytest.mark.parametrize("header", ["x-tandem-model", "x-tandem-escalated", "x-tandem-home"])
@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        pytest.param("text/plain", b"hello", id="not JSON"),
        pytest.param("application/json", b"{", id="broken JSON"),
        pytest.param("application/json", b"", id="no body"),
        pytest.param("application/json", b"{}", id="no model"),
    ],
)
async def test_a_header_cannot_name_a_cluster(
    world: World, cluster: str, header: str, content_type: str, body: bytes
) -> None:
    claims = {header: cluster, "content-type": content_type, "x-tandem-token": "t", "x-tandem-reason": "overflow"}
    answer = await ask(world.url, headers=claims, body=body)
    assert (answer.status, answer.error["code"]) == (400, "invalid_request")
    assert world.at_guard(answer.request_id) == []
    assert world.at_replicas(answer.request_id) == []


async def test_a_client_cannot_redirect_itself(world: World) -> None:
    claims = {"x-tandem-token": "guessed", "x-tandem-reason": "overflow"}
    answer = await ask(world.url, "chat", headers=claims)
    assert (answer.status, answer.destination) == (200, "local")
    (seen,) = world.at_replicas(answer.request_id)
    assert not {"x-tandem-token", "x-tandem-reason"} & seen.headers.keys()


async def test_a_client_cannot_speak_for_the_gateway(world: World) -> None:
    claims = ["deployment", "hop", "prior-attempts", "attempts", "destination", "requested", "anything", "stream"]
    answer = await ask(world.url, "chat", headers={f"x-tandem-{claim}": "made-up" for claim in claims})
    (seen,) = world.at_replicas(answer.request_id)
    assert answer.status == 200
    assert "made-up" not in seen.headers.values()
    assert seen.headers["x-tandem-deployment"] == "ns/chat"


async def test_a_client_can_raise_the_data_class_and_ask_to_stay_local(world: World) -> None:
    said = {"x-tandem-data-class": "Confidential", "x-tandem-route": "local"}
    answer = await ask(world.url, "chat", headers=said)
    (seen,) = world.at_replicas(answer.request_id)
    assert {name: seen.headers[name] for name in said} == said


async def test_envoys_own_headers_have_no_effect(world: World) -> None:
    claims = {
        "x-envoy-max-retries": "0",
        "x-envoy-retry-on": "5xx",
        "x-envoy-upstream-rq-timeout-ms": "1",
        "x-envoy-upstream-alt-stat-name": "spoofed",
        "x-envoy-attempt-count": "7",
        "x-envoy-original-path": "/spoofed",
        "x-envoy-internal": "true",
    }
    answer = await ask(world.url, "one-cloud", local="500", headers=claims)
    assert (answer.status, answer.destination, answer.attempts) == (200, "cloud/east", 3)
    first = world.at_replicas(answer.request_id)[0]
    assert first.headers["x-envoy-attempt-count"] == "1"
    assert not {"spoofed", "/spoofed"} & set(first.headers.values())


async def test_a_replica_gets_no_credentials_of_a_client(world: World) -> None:
    secrets = ["authorization", "proxy-authorization", "x-api-key", "api-key", "cookie"]
    answer = await ask(world.url, "chat", headers=dict.fromkeys(secrets, "secret"))
    (seen,) = world.at_replicas(answer.request_id)
    assert not set(secrets) & seen.headers.keys()


async def test_the_clients_request_id_is_kept_and_the_gateways_own_is_another(world: World) -> None:
    answer = await ask(world.url, "chat")
    (seen,) = world.at_replicas(answer.request_id)
    assert answer.headers["x-request-id"] == answer.request_id
    assert len(seen.headers["x-tandem-hop"]) == 36
    assert seen.headers["x-tandem-hop"] != answer.request_id


async def test_the_gateways_id_differs_from_request_to_request_with_one_request_id(world: World) -> None:
    said = {"x-request-id": "chosen-by-the-client"}
    for _ in range(2):
        await ask(world.url, "chat", headers=said)
    hops = {seen.headers["x-tandem-hop"] for seen in world.at_replicas("chosen-by-the-client")}
    assert len(hops) == 2


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(["chat"], id="array"),
        pytest.param({"a": "chat"}, id="object"),
        pytest.param("chat\nx-tandem-token: t", id="newline"),
        pytest.param("chat\u0000", id="NUL"),
        pytest.param("chat\r\n\r\n", id="CRLF"),
        pytest.param("x" * 200_000, id="200 kB"),
        pytest.param("Ünbekannt", id="not ASCII"),
        pytest.param(True, id="boolean"),
        pytest.param("%REQ(authorization)%", id="command operator"),
        pytest.param("../chat", id="path"),
    ],
)
async def test_odd_models_are_unknown(world: World, model: object) -> None:
    answer = await ask(world.url, model)
    assert (answer.status, answer.error["code"]) == (404, "model_not_found")
    assert world.at_replicas(answer.request_id) == []


async def test_a_model_that_is_named_twice_is_refused(world: World) -> None:
    answer = await ask(world.url, body=b'{"model":"chat","model":"two"}')
    assert (answer.status, answer.error["code"]) == (400, "invalid_request")


@pytest.mark.parametrize("path", ["//v1//chat/completions", "/v1/./chat/completions", "/v1/x/../chat/completions"])
async def test_a_path_is_normal_before_it_is_matched(world: World, path: str) -> None:
    answer = await ask(world.url, "chat", path=path)
    (seen,) = world.at_replicas(answer.request_id)
    assert seen.path == f"/app-chat{CHAT}"


async def test_a_query_is_passed_once(world: World) -> None:
    answer = await ask(world.url, "chat", path=f"{CHAT}?a=b")
    (seen,) = world.at_replicas(answer.request_id)
    assert seen.path == f"/app-chat{CHAT}?a=b"


async def test_the_body_reaches_the_replica_as_it_was(world: World) -> None:
    body = b'{ "model" : "chat", "x": "\xc3\xa9\\u00e9", "n": 1.0 }'
    answer = await ask(world.url, body=body)
    (seen,) = world.at_replicas(answer.request_id)
    assert seen.body == body
    assert json.loads(body) == seen.json
