"""Sizes, streams and disconnects (envoy.md 9, 14 and 17)."""

import asyncio
import json

import httpx
import pytest
from support.asking import CHAT, ask
from support.routing_world import BOUNDS, World
from support.wait import eventually_async

LIMIT = 16 * 1024 * 1024


def body_of(size: int, **fields: object) -> bytes:
    """Return a JSON request of exactly ``size`` bytes."""
    start = json.dumps({**fields, "padding": ""}).encode()[:-2]
    return start + b"x" * (size - len(start) - 2) + b'"}'


@pytest.mark.parametrize(
    ("fields", "destination"),
    [
        pytest.param({"model": "chat"}, "local", id="local"),
        pytest.param({"model": "one-cloud", "local": "500"}, "cloud/east", id="failover"),
        pytest.param({"model": "one-cloud", "local": "saturated"}, "cloud/east", id="overflow"),
        pytest.param({"model": "chat", "local": "saturated", "cloud": "500"}, "local", id="back again"),
    ],
)
async def test_a_body_of_16_mebibytes_goes_everywhere_whole(
    world: World, fields: dict[str, str], destination: str
) -> None:
    answer = await ask(world.url, body=body_of(LIMIT, **fields))
    assert (answer.status, answer.destination) == (200, destination)
    where = world.at_replicas if destination == "local" else world.at_cloud
    assert len(where(answer.request_id)[-1].body) == LIMIT


@pytest.mark.parametrize("more", [1, 1024 * 1024])
async def test_a_larger_body_is_a_413(world: World, more: int) -> None:
    answer = await ask(world.url, body=body_of(LIMIT + more, model="chat"))
    assert (answer.status, answer.error["code"], answer.destination) == (413, "request_too_large", "gateway")
    assert world.at_replicas(answer.request_id) == []


@pytest.mark.parametrize(
    ("model", "local"),
    [
        pytest.param("chat", "ok", id="local"),
        pytest.param("one-cloud", "500", id="through the guard"),
        pytest.param("one-cloud", "saturated", id="redirected through the guard"),
    ],
)
async def test_each_token_is_passed_on_as_it_comes(world: World, model: str, local: str) -> None:
    """The next token is sent when the last one has arrived: had one been held back, this would never end."""
    pace = world.replicas.pace if local == "ok" else world.cloud.pace
    name = f"{model}-{local}"
    body = {"model": model, "local": local, "stream": True, "chunks": 5, "pace": name}
    received = b""
    async with httpx.AsyncClient(timeout=30) as client, client.stream("POST", world.url + CHAT, json=body) as answer:
        async for chunk in answer.aiter_raw():
            received += chunk
            for _ in range(chunk.count(b'"n":')):
                pace.allow(name)
    assert received.count(b'"n":') == 5
    assert received.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize(
    ("model", "limit"),
    [pytest.param("chat", BOUNDS.answer, id="local"), pytest.param("empty", BOUNDS.cloud_answer, id="cloud")],
)
async def test_a_stream_may_last_longer_than_an_answer_that_is_not_streamed(
    world: World, model: str, limit: float
) -> None:
    answer = await ask(world.url, model, stream=True, chunks=8, gap=limit / 6)
    assert (answer.status, answer.cut) == (200, False)
    assert answer.text.endswith("data: [DONE]\n\n")


async def test_nothing_fails_over_after_the_first_token(world: World) -> None:
    answer = await ask(world.url, "chat", local="break after headers", stream=True)
    assert (answer.status, answer.destination, answer.cut) == (200, "local", True)
    assert world.at_guard(answer.request_id) == []


async def test_a_stream_that_went_silent_is_ended(world: World) -> None:
    answer = await ask(world.url, "chat", local="hang after headers", stream=True)
    assert (answer.status, answer.destination, answer.cut) == (200, "local", True)


@pytest.mark.parametrize(
    ("model", "local"),
    [pytest.param("chat", "ok", id="replica"), pytest.param("empty", "ok", id="cloud, through the guard")],
)
async def test_a_client_that_leaves_is_noticed_upstream(world: World, model: str, local: str) -> None:
    counts = world.replicas.counts if model == "chat" else world.cloud.counts
    before = counts["aborted"]
    body = {"model": model, "local": local, "stream": True, "chunks": 1000, "gap": 0.05}
    async with httpx.AsyncClient() as client, client.stream("POST", world.url + CHAT, json=body) as answer:
        await anext(answer.aiter_raw())
    await eventually_async(lambda: counts["aborted"] == before + 1, within_seconds=60)


async def test_large_bodies_at_once_are_all_answered(world: World) -> None:
    body = body_of(4 * 1024 * 1024, model="one-cloud", local="500")
    answers = await asyncio.gather(*(ask(world.url, body=body) for _ in range(4)))
    assert [answer.destination for answer in answers] == ["cloud/east"] * 4
