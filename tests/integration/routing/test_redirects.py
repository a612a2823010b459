"""Overflow: the replica decides, Envoy follows inside the same request (envoy.md 1, 2, 10 and 17)."""

import asyncio
import json
import subprocess

import httpx
import pytest
from support.asking import CHAT, ask
from support.replica_peer import TOKEN
from support.routing_world import World


async def test_a_redirect_is_followed_to_the_cloud_inside_the_request(world: World) -> None:
    answer = await ask(world.url, "chat", local="redirect")
    (judged,) = world.at_guard(answer.request_id)
    assert (answer.status, answer.destination, answer.reason) == (200, "cloud/east", "overflow")
    assert judged.headers["x-tandem-token"] == TOKEN
    assert judged.headers["x-tandem-deployment"] == "ns/chat"
    assert judged.headers["x-tandem-prior-attempts"] == "1"


async def test_a_full_replica_redirects_on_the_second_attempt(world: World) -> None:
    answer = await ask(world.url, "chat", local="saturated")
    (judged,) = world.at_guard(answer.request_id)
    assert (answer.destination, answer.reason) == ("cloud/east", "overflow")
    assert judged.headers["x-tandem-prior-attempts"] == "2"
    assert [seen.headers["x-envoy-attempt-count"] for seen in world.at_replicas(answer.request_id)] == ["1", "2"]


async def test_attempts_count_from_one_again_and_the_hop_is_new_after_a_redirect(world: World) -> None:
    answer = await ask(world.url, "chat", local="saturated", cloud="500")
    before = world.at_replicas(answer.request_id)[:2]
    behind = world.at_guard(answer.request_id)
    assert [judged.headers["x-envoy-attempt-count"] for judged in behind] == ["1", "2"]
    assert len({each.headers["x-tandem-hop"] for each in behind}) == 1
    assert {each.headers["x-tandem-hop"] for each in behind}.isdisjoint(each.headers["x-tandem-hop"] for each in before)


@pytest.mark.parametrize("failure", ["500", "429", "hang"])
async def test_what_no_cloud_took_comes_back_to_the_replica_with_its_reason(world: World, failure: str) -> None:
    answer = await ask(world.url, "chat", local="saturated", cloud=failure)
    last = world.at_replicas(answer.request_id)[-1]
    assert (answer.status, answer.destination) == (200, "local")
    assert last.headers["x-tandem-reason"] == "overflow"
    assert last.path == f"/app-chat{CHAT}"


async def test_what_the_guard_denied_comes_back_to_the_replica(world: World) -> None:
    answer = await ask(world.url, "chat", local="saturated", headers={"x-tandem-data-class": "Restricted"})
    assert (answer.status, answer.destination) == (200, "local")
    assert world.at_cloud(answer.request_id) == []


async def test_overflow_alone_does_not_need_failover(world: World) -> None:
    answer = await ask(world.url, "overflowing", local="saturated")
    assert (answer.destination, answer.reason) == ("cloud/east", "overflow")


@pytest.mark.parametrize("model", ["alone", "strict", "failing-over"])
async def test_a_redirect_of_a_deployment_that_may_not_overflow_comes_back_to_its_replica(
    world: World, model: str
) -> None:
    answer = await ask(world.url, model, local="redirect")
    assert (answer.status, answer.destination) == (200, "local")
    assert world.at_replicas(answer.request_id)[-1].headers["x-tandem-reason"] == "overflow"
    assert world.at_guard(answer.request_id) == []


@pytest.mark.parametrize("host", ["", "a,b", "[::1", "user@gateway:99999"])
async def test_a_redirect_does_not_go_by_the_clients_idea_of_our_name(world: World, host: str) -> None:
    answer = await ask(world.url, "chat", local="saturated", headers={"host": host})
    assert (answer.status, answer.destination) == (200, "cloud/east")


async def test_attempts_of_both_legs_are_counted_when_nobody_answers(world: World) -> None:
    answer = await ask(world.url, "chat", local="redirect always", cloud="500")
    assert (answer.status, answer.attempts) == (503, 1 + 3)


async def test_one_hop_at_most(world: World) -> None:
    answer = await ask(world.url, "chat", local="redirect always", cloud="500")
    assert (answer.status, answer.error["code"], answer.destination) == (503, "unavailable", "gateway")
    assert "location" not in answer.headers
    assert len(world.at_replicas(answer.request_id)) == 2


async def test_a_client_is_never_sent_elsewhere(world: World) -> None:
    for model, headers in (("alone", {"x-tandem-route": "local"}), ("chat", {"x-tandem-route": "local"})):
        answer = await ask(world.url, model, local="redirect always", headers=headers)
        assert (answer.status, answer.error["code"]) == (503, "unavailable")


@pytest.mark.parametrize("model", ["empty", "one-cloud"])
async def test_a_providers_redirect_leads_nowhere_even_past_a_guard_that_let_it_through(
    world: World, model: str
) -> None:
    """The real guard makes a 502 of it; this folder's peer does not."""
    answer = await ask(world.url, model, local="500", cloud="redirect")
    assert answer.status in (500, 503)
    assert "location" not in answer.headers


@pytest.mark.parametrize("stream", [False, True])
async def test_the_body_is_kept_through_a_redirect(world: World, stream: bool) -> None:
    answer = await ask(world.url, "chat", local="saturated", stream=stream, padding="x" * 300_000)
    (seen,) = world.at_cloud(answer.request_id)
    assert answer.destination == "cloud/east"
    assert len(seen.json["padding"]) == 300_000


async def test_a_chunked_body_is_kept_through_a_redirect(world: World) -> None:
    async def chunks() -> object:
        yield b'{"model":"chat","local":"saturated","padding":"'
        for _ in range(20):
            yield b"x" * 10_000
        yield b'"}'

    async with httpx.AsyncClient() as client:
        answer = await client.post(
            world.url + CHAT, content=chunks(), headers={"content-type": "application/json", "x-request-id": "chunked"}
        )
    (seen,) = world.at_cloud("chunked")
    assert (answer.status_code, answer.headers["x-tandem-destination"]) == (200, "cloud/east")
    assert len(seen.json["padding"]) == 200_000


@pytest.mark.parametrize("options", [["--http2-prior-knowledge"], ["--http1.1", "-H", "Expect: 100-continue"]])
async def test_redirects_work_with_http2_and_expect(world: World, options: list[str]) -> None:
    body = json.dumps({"model": "chat", "local": "saturated", "padding": "x" * 100_000})
    command = ["curl", "-sS", "-i", *options, "-H", "content-type: application/json", "--data-binary", "@-"]
    done = await asyncio.to_thread(
        subprocess.run, [*command, world.url + CHAT], input=body.encode(), capture_output=True, check=True
    )
    assert b"x-tandem-destination: cloud/east" in done.stdout
