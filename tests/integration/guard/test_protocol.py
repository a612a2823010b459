"""The guard spoken to directly, with what a correct Envoy does not send, or sends rarely."""

import asyncio
import contextlib
import itertools
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from support.ext_proc_client import (
    denial,
    held_open,
    mutated,
    request_body,
    request_headers,
    response_body,
    response_headers,
    response_trailers,
    usual_headers,
)
from support.guarded_house import House, a_way_out
from support.wait import eventually
from tandem_contract import headers
from tandem_serving.gateway import guard_exchange
from tandem_serving.gateway.guard_body import rewrite
from tandem_serving.gateway.guard_limits import MOST_IN_FLIGHT

BODY = json.dumps({"model": "cold", "messages": []}).encode()


HOPS = itertools.count()


def hop() -> str:
    return f"hop-{next(HOPS)}"


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param([request_headers(method="POST", path="/v1/chat/completions")], id="no header of the gateway"),
        pytest.param([usual_headers(**{headers.DEPLOYMENT: ""})], id="no deployment"),
        pytest.param([usual_headers(**{headers.HOP: ""})], id="no hop"),
    ],
)
def test_a_request_that_our_routes_did_not_make_is_malformed(house: House, messages: list[Any]) -> None:
    assert denial(house.talk(messages)[0]) == "malformed"


def test_a_listener_that_does_not_say_its_endpoint_is_malformed(house: House) -> None:
    assert denial(house.talk([usual_headers(**{headers.HOP: hop()})], **{headers.ENDPOINT: ""})[0]) == "malformed"


def test_an_endpoint_named_by_a_header_is_not_believed(house: House) -> None:
    message = usual_headers(**{headers.HOP: hop(), headers.ENDPOINT: "cloud-a"})
    assert denial(house.talk([message], endpoint="cloud-z")[0]) == "unknown_endpoint"


def test_the_same_hop_is_denied_the_second_time(house: House) -> None:
    message = usual_headers(**{headers.HOP: hop()})
    assert house.talk([message])[0].WhichOneof("response") == "request_headers"
    assert denial(house.talk([message])[0]) == "repeated"


@pytest.mark.parametrize("body", [b"", b"[]", b'{"model": 1}', b"\xff\xfe", b"not json", b"[" * 2_000_000])
def test_a_body_that_is_no_json_object_with_a_model_stays(house: House, body: bytes) -> None:
    replies = house.talk([usual_headers(**{headers.HOP: hop()}), request_body(body)])
    assert denial(replies[1]) == "body"


def test_a_request_without_a_body_stays(house: House) -> None:
    message = usual_headers(**{headers.HOP: hop()})
    message.request_headers.end_of_stream = True
    assert denial(house.talk([message])[0]) == "body"


def test_a_body_before_its_headers_is_an_error_of_somebodys_and_stays(house: House) -> None:
    assert denial(house.talk([request_body(BODY)])[0]) == "error"


def test_two_data_classes_are_not_one_of_them(house: House) -> None:
    message = usual_headers(**{headers.HOP: hop(), headers.DATA_CLASS: "Public"})
    message.request_headers.headers.headers.add(key=headers.DATA_CLASS, raw_value=b"Confidential")
    house.change_endpoints(max_data_class="Confidential")
    assert denial(house.talk([message])[0]) == "data_class"


def test_too_many_large_bodies_at_once_are_busy(house: House) -> None:
    small_room = house.guard.body_bytes
    held, asked = threading.Event(), threading.Event()

    def keeps_room() -> Iterator[Any]:
        yield usual_headers(**{headers.HOP: hop(), "content_length": str(small_room)})
        held.set()
        asked.wait(30)

    holder = threading.Thread(target=lambda: house.talk(keeps_room()))
    holder.start()
    held.wait(30)
    message = usual_headers(**{headers.HOP: hop(), "content_length": str(2 << 20)})
    try:
        assert denial(house.talk([message])[0]) == "busy"
        small = usual_headers(**{headers.HOP: hop()})
        assert house.talk([small])[0].WhichOneof("response") == "request_headers"
    finally:
        asked.set()
        holder.join()
    # who held the room left without sending a body
    eventually(lambda: house.guard.metric("tandem_guard_body_bytes_in_flight") == 0, within_seconds=60)


async def test_no_more_requests_are_on_their_way_to_an_endpoint_than_have_a_place(house: House) -> None:
    def in_flight() -> float:
        return house.guard.metric("tandem_cloud_requests_in_flight", endpoint="cloud-a")

    await asyncio.to_thread(eventually, lambda: in_flight() == 0, 60)  # the test before has left
    messages = [usual_headers(**{headers.HOP: hop()}) for _ in range(MOST_IN_FLIGHT + 1)]
    async with held_open(house.guard.socket, messages, house.metadata()) as calls:
        assert {reply.WhichOneof("response") for _, reply in calls[:-1]} == {"request_headers"}
        assert denial(calls[-1][1]) == "busy"
        assert in_flight() == MOST_IN_FLIGHT
        answer = await asyncio.to_thread(house.chat)
        assert answer.headers["x-tandem-destination"] == "cloud/cloud-b"  # whose places are its own
        calls[0][0].cancel()
        await asyncio.to_thread(eventually, lambda: in_flight() < MOST_IN_FLIGHT, 60)
        answer = await asyncio.to_thread(house.chat)
        assert answer.headers["x-tandem-destination"] == "cloud/cloud-a"
    await asyncio.to_thread(eventually, lambda: in_flight() == 0, 60)


@pytest.mark.parametrize("fault", ["500", "400", "401", "drop", "drop_mid_stream", "hang_mid_stream", None])
def test_a_place_is_given_back_however_the_answer_ends(house: House, fault: str | None) -> None:
    with contextlib.suppress(httpx.HTTPError):
        house.client.post(
            f"{house.gateway.url}/v1/chat/completions",
            json={"model": "cold", "messages": [], "x_fault": fault, "stream": True},
            timeout=1,
        )
    for endpoint in house.clouds:
        eventually(
            lambda: house.guard.metric("tandem_cloud_requests_in_flight", endpoint=endpoint) == 0,  # noqa: B023  called at once
            within_seconds=60,
        )


async def reply_after_a_turn(house: House, turn: Callable[[], None]) -> Any:
    """Return the reply to a body that came after the policy had turned."""
    async with held_open(house.guard.socket, [usual_headers(**{headers.HOP: hop()})], house.metadata()) as calls:
        ((call, reply),) = calls
        assert reply.WhichOneof("response") == "request_headers"
        turn()
        await call.write(request_body(BODY))
        return await call.read()


async def test_a_policy_that_turns_while_the_body_comes_counts(house: House) -> None:
    assert denial(await reply_after_a_turn(house, lambda: house.change_endpoints(namespaces=()))) == "namespace"


async def test_a_key_that_turns_while_the_body_comes_is_the_one_that_is_sent(house: House) -> None:
    def turn() -> None:
        view = house.board.current()
        turned = view.credentials["cloud-a"].model_copy(update={"authorization": SecretStr("Bearer sk-turned")})
        house.publish(credentials={**view.credentials, "cloud-a": turned})

    reply = await reply_after_a_turn(house, turn)
    assert mutated(reply.request_body.response)["authorization"] == "Bearer sk-turned"


def test_a_policy_that_turns_while_a_large_body_is_rewritten_counts(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slowly(*asked: Any) -> Any:
        house.change_endpoints(destination="another place")
        return rewrite(*asked)

    monkeypatch.setattr(guard_exchange, "rewrite", slowly)
    large = json.dumps({"model": "cold", "prompt": "x" * (2 << 20)}).encode()
    replies = house.talk([usual_headers(**{headers.HOP: hop()}), request_body(large)])
    assert denial(replies[1]) == "destination"


def test_trailers_of_an_answer_do_not_go_on(house: House) -> None:
    replies = house.talk(
        [
            usual_headers(**{headers.HOP: hop()}),
            request_body(BODY),
            response_headers(200, content_type="application/json"),
            response_body(b"{}", end=False),
            response_trailers(x_tandem_destination="local", grpc_status="0"),
        ],
    )
    assert list(replies[4].response_trailers.header_mutation.remove_headers) == ["grpc-status", "x-tandem-destination"]


def test_what_is_set_for_the_provider_is_complete(house: House) -> None:
    first = usual_headers(**{headers.HOP: hop(), "cookie": "a=b", headers.CLOUD_MILLISECONDS: "9"})
    replies = house.talk([first, request_body(BODY)])
    response = replies[1].request_body.response
    assert mutated(response) == {
        ":authority": f"localhost:{house.clouds['cloud-a'].port}",
        ":path": "/v1/chat/completions",
        ":scheme": "https",
        "accept": "application/json",
        "authorization": f"Bearer {house.clouds['cloud-a'].key}",
        "content-length": str(len(response.body_mutation.body)),
        "content-type": "application/json",
        "user-agent": "tandem",
        headers.DESTINATION_DIGEST: a_way_out("cloud-a", house.clouds["cloud-a"]).destination,
    }
    assert set(response.header_mutation.remove_headers) == {
        "cookie",
        headers.DEPLOYMENT,
        headers.HOP,
    }


def test_an_answer_that_is_encoded_against_our_wish_passes_and_is_counted_as_unreported(house: House) -> None:
    chunks = [b"\x1f\x8b\n\nnot", b" an event\n\n"]
    replies = house.talk(
        [
            usual_headers(**{headers.HOP: hop()}),
            request_body(b'{"model": "cold", "stream": true}'),
            response_headers(200, content_type="text/event-stream", content_encoding="gzip"),
            response_body(chunks[0], end=False),
            response_body(chunks[1], end=True),
        ],
    )
    assert [reply.response_body.response.HasField("body_mutation") for reply in replies[3:]] == [False, False]
