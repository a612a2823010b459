"""Which paths lead where, and that every error has OpenAI's shape and says who gave it (envoy.md 15)."""

import asyncio
import json

import pytest
from support.asking import CHAT, ask
from support.routing_world import World

SHARED = ["/v1/chat/completions", "/v1/completions", "/v1/embeddings"]
LOCAL = ["/v1/messages", "/v1/messages/count_tokens", "/v1/rerank", "/v1/responses", "/v1/score"]
CLOSED = [
    "/",
    "/health",
    "/metrics",
    "/tokenize",
    "/sleep",
    "/wake_up",
    "/reset_prefix_cache",
    "/collective_rpc",
    "/start_profile",
    "/invocations",
    "/v1/load_lora_adapter",
    "/v1/unload_lora_adapter",
    "/v1/chat/completions/",
    "/v1/chat%2fcompletions",
    "/v1/responses/x/cancel",
    "/app-chat/v1/chat/completions",
    "/tandem/healthz",
]


@pytest.mark.parametrize("path", SHARED + LOCAL)
async def test_inference_paths_reach_the_replica_under_its_prefix(world: World, path: str) -> None:
    answer = await ask(world.url, "chat", path=path)
    (seen,) = world.at_replicas(answer.request_id)
    assert (answer.status, answer.destination, answer.attempts) == (200, "local", 1)
    assert seen.path == f"/app-chat{path}"


@pytest.mark.parametrize("path", SHARED)
async def test_what_openai_has_too_fails_over(world: World, path: str) -> None:
    answer = await ask(world.url, "one-cloud", path=path, local="500")
    assert (answer.status, answer.destination) == (200, "cloud/east")


@pytest.mark.parametrize("path", LOCAL)
@pytest.mark.parametrize("behaviour", ["500", "redirect"])
async def test_what_only_vllm_has_stays_local(world: World, path: str, behaviour: str) -> None:
    answer = await ask(world.url, "one-cloud", path=path, local=behaviour)
    assert answer.status in (500, 503)
    assert world.at_guard(answer.request_id) == []
    assert {seen.headers["x-tandem-route"] for seen in world.at_replicas(answer.request_id)} == {"local"}


@pytest.mark.parametrize("path", CLOSED)
@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_no_other_path_of_vllm_can_be_reached(world: World, path: str, method: str) -> None:
    answer = await ask(world.url, "chat", path=path, method=method)
    assert (answer.status, answer.error["code"]) == (404, "unknown_url")
    assert world.at_replicas(answer.request_id) == []


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "PATCH"])
async def test_inference_takes_post_only(world: World, method: str) -> None:
    answer = await ask(world.url, "chat", method=method)
    assert (answer.status, answer.error["code"]) == (405, "method_not_supported")


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/chat", "/v1/models/ns/chat", "/v1/models/ns%2Fchat"])
async def test_models_are_the_agents_to_tell(world: World, path: str) -> None:
    answer = await ask(world.url, path=path, method="GET", headers={"authorization": "Bearer secret"})
    assert (answer.status, answer.json["from"], answer.json["path"]) == (200, "agent", path)
    assert answer.destination == "gateway"
    assert "authorization" not in [name.lower() for name in answer.json["headers"]]


async def test_models_cannot_be_posted(world: World) -> None:
    answer = await ask(world.url, "chat", path="/v1/models")
    assert (answer.status, answer.error["code"]) == (404, "unknown_url")


async def test_an_unknown_model_is_named_in_a_404(world: World) -> None:
    answer = await ask(world.url, 'no"such')
    assert answer.status == 404
    assert answer.error == {
        "message": 'The model `no"such` does not exist or is not served here.',
        "type": "invalid_request_error",
        "param": None,
        "code": "model_not_found",
    }


@pytest.mark.parametrize(
    "body",
    [b"{", b"[]", b"hello", b"", b'"model"', b"null"],
    ids=["broken", "array", "text", "empty", "string", "null"],
)
async def test_what_is_not_a_json_object_is_a_400(world: World, body: bytes) -> None:
    answer = await ask(world.url, body=body)
    assert (answer.status, answer.error["type"]) == (400, "invalid_request_error")
    assert "JSON object" in answer.error["message"] or "model" in answer.error["message"]


@pytest.mark.parametrize(
    "written", ["Application/JSON", "application/json; charset=utf-8", "APPLICATION/JSON;charset=UTF-8"]
)
async def test_json_is_json_however_its_name_is_written(world: World, written: str) -> None:
    answer = await ask(world.url, "chat", headers={"content-type": written})
    assert (answer.status, answer.destination) == (200, "local")


@pytest.mark.parametrize("written", ["text/plain", "", "text/plain; x=application/json", "multipart/form-data"])
async def test_another_content_type_is_a_400_that_names_the_right_one(world: World, written: str) -> None:
    answer = await ask(world.url, "chat", headers={"content-type": written})
    assert answer.status == 400
    assert "content-type: application/json" in answer.error["message"]
    assert world.at_replicas(answer.request_id) == []


@pytest.mark.parametrize("body", [b"{}", b'{"model":""}', b'{"model":null}', b'{"messages":[]}'])
async def test_a_request_without_a_model_is_a_400(world: World, body: bytes) -> None:
    answer = await ask(world.url, body=body)
    assert (answer.status, answer.error["message"]) == (400, "You must provide a `model`.")


@pytest.mark.parametrize("model", ["nowhere", "ns/nowhere"])
async def test_no_destination_is_a_503_with_retry_after(world: World, model: str) -> None:
    answer = await ask(world.url, model)
    assert (answer.status, answer.error["code"], answer.error["type"]) == (503, "unavailable", "server_error")
    assert int(answer.headers["retry-after"]) > 0


async def test_an_answer_that_takes_too_long_is_a_504(world: World) -> None:
    answer = await ask(world.url, "alone", local="hang for ever")
    assert (answer.status, answer.error["code"]) == (504, "timeout")


async def test_a_silent_stream_is_a_504(world: World) -> None:
    answer = await ask(world.url, "alone", local="hang for ever", stream=True)
    assert (answer.status, answer.error["code"]) == (504, "timeout")


async def test_headers_that_are_too_large_are_refused_in_openais_shape(world: World) -> None:
    answer = await ask(world.url, "chat", headers={"x-large": "x" * 70_000})
    assert (answer.status, answer.error["code"]) == (431, "headers_too_large")
    assert (answer.destination, answer.attempts) == ("gateway", 0)
    assert answer.headers["x-request-id"]


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"hello\r\n\r\n", id="not HTTP"),
        pytest.param(b"POST / HTTP/1.1\r\nbad header\r\n\r\n", id="bad header"),
        pytest.param(b"POST /v1/chat/completions HTTP/1.1\r\n\r\n", id="no host"),
        pytest.param(
            b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n", id="two lengths"
        ),
    ],
)
async def test_what_is_not_http_is_refused_in_openais_shape(world: World, sent: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", world.gateway.port)
    writer.write(sent)
    answer = await asyncio.wait_for(reader.read(), timeout=60)
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert set(json.loads(body)["error"]) == {"message", "type", "param", "code"}
    for header in (b"x-tandem-destination: gateway", b"x-tandem-attempts: 0", b"x-request-id: "):
        assert header in head


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        pytest.param({"model": "chat"}, 200, id="local"),
        pytest.param({"model": "one-cloud", "local": "500"}, 200, id="cloud"),
        pytest.param({"model": "nobody"}, 404, id="unknown model"),
        pytest.param({}, 400, id="no model"),
        pytest.param({"model": "nowhere"}, 503, id="nothing left"),
        pytest.param({"model": "alone", "local": "500"}, 500, id="replica's error"),
        pytest.param({"model": "alone", "local": "full"}, 429, id="full"),
        pytest.param({"model": "chat", "local": "redirect always", "cloud": "500"}, 503, id="redirected twice"),
    ],
)
async def test_every_response_says_who_gave_it_and_after_how_many_attempts(
    world: World, fields: dict[str, str], status: int
) -> None:
    answer = await ask(world.url, path=CHAT, **fields)
    assert answer.status == status
    assert answer.destination in ("local", "cloud/east", "gateway")
    assert answer.headers["x-request-id"] == answer.request_id
    assert answer.attempts >= 0


async def test_no_response_carries_what_is_ours_alone(world: World) -> None:
    for fields in ({"local": "ok"}, {"local": "full"}, {"local": "redirect"}, {"local": "500"}):
        answer = await ask(world.url, "alone" if fields["local"] == "full" else "chat", **fields)
        private = {"x-tandem-token", "x-tandem-prior-attempts", "x-envoy-ratelimited", "x-envoy-upstream-service-time"}
        assert not private & answer.headers.keys()
