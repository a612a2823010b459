"""From one attempt to the next inside one request (envoy.md 4 to 8 and 10)."""

import asyncio
from collections import Counter

import pytest
from support.asking import ask
from support.routing_world import World

MANY = 200


async def test_a_healthy_replica_answers_alone(world: World) -> None:
    answer = await ask(world.url, "chat")
    assert (answer.status, answer.destination, answer.attempts, answer.reason) == (200, "local", 1, None)
    assert world.at_guard(answer.request_id) == []


async def test_one_bad_replica_of_two_sends_nothing_to_the_cloud(world: World) -> None:
    answers = await asyncio.gather(*(ask(world.url, "two") for _ in range(40)))
    assert Counter((answer.status, answer.destination) for answer in answers) == {(200, "local"): 40}
    assert {answer.attempts for answer in answers} == {1, 2}


@pytest.mark.parametrize("failure", ["500", "503", "429"])
async def test_a_failing_replica_is_asked_twice_and_then_a_cloud(world: World, failure: str) -> None:
    answer = await ask(world.url, "chat", local=failure)
    assert (answer.status, answer.destination, answer.attempts) == (200, "cloud/east", 3)
    assert len(world.at_replicas(answer.request_id)) == 2


async def test_a_failing_cloud_is_followed_by_the_next_one(world: World) -> None:
    answer = await ask(world.url, "down-then-up")
    assert (answer.status, answer.destination) == (200, "cloud/east")


@pytest.mark.parametrize("failure", ["500", "429", "503", "hang"])
async def test_every_cloud_fails_and_the_replicas_last_answer_is_the_clients(world: World, failure: str) -> None:
    answer = await ask(world.url, "chat", local="500", cloud=failure)
    assert (answer.status, answer.destination, answer.attempts) == (500, "local", 5)
    assert answer.json["error"]["message"] == "replica says 500"
    assert len(world.at_cloud(answer.request_id)) == 2


async def test_the_replica_answers_when_the_guard_denies(world: World) -> None:
    answer = await ask(world.url, "one-cloud", local="500", headers={"x-tandem-data-class": "Restricted"})
    assert (answer.status, answer.destination, answer.attempts) == (500, "local", 4)
    assert world.at_cloud(answer.request_id) == []


@pytest.mark.parametrize("model", ["empty", "dead"])
async def test_a_replica_that_is_not_there_is_passed_over(world: World, model: str) -> None:
    answer = await ask(world.url, model)
    assert (answer.status, answer.destination, answer.attempts) == (200, "cloud/east", 1)


async def test_a_cloud_that_is_not_there_is_passed_over(world: World) -> None:
    answer = await ask(world.url, "no-such-cloud")
    assert (answer.status, answer.destination) == (200, "cloud/east")


@pytest.mark.parametrize("model", ["empty", "dead"])
async def test_nobody_answers_an_honest_503(world: World, model: str) -> None:
    answer = await ask(world.url, model, headers={"x-tandem-data-class": "Restricted"})
    assert (answer.status, answer.destination, answer.error["code"]) == (503, "gateway", "unavailable")
    assert world.at_cloud(answer.request_id) == []
    for told in ("data class", "namespace", "regions", f"x-request-id {answer.request_id}"):
        assert told in answer.error["message"]
    assert "x-tandem-denied" not in answer.headers


@pytest.mark.parametrize("model", ["alone", "strict", "overflowing"])
@pytest.mark.parametrize("failure", ["500", "503", "429"])
async def test_a_short_chain_ends_with_the_real_answer(world: World, model: str, failure: str) -> None:
    answer = await ask(world.url, model, local=failure)
    assert (answer.status, answer.destination, answer.attempts) == (int(failure), "local", 2)
    assert answer.json["error"]["message"] == f"replica says {failure}"
    assert answer.headers["retry-after"] == "7"
    assert world.at_guard(answer.request_id) == []


@pytest.mark.parametrize("model", ["alone", "chat"])
async def test_a_final_429_reaches_the_client_at_once(world: World, model: str) -> None:
    answer = await ask(world.url, model, local="full")
    assert (answer.status, answer.headers["retry-after"], answer.attempts) == (429, "7", 1)
    assert len(world.at_replicas(answer.request_id)) == 1


@pytest.mark.parametrize("status", [400, 401, 404, 422])
async def test_an_error_of_the_request_is_not_retried(world: World, status: int) -> None:
    answer = await ask(world.url, "chat", local=str(status))
    assert (answer.status, answer.attempts) == (status, 1)


async def test_an_endpoint_that_is_asked_again_sees_the_same_hop(world: World) -> None:
    answer = await ask(world.url, "empty", cloud="500")
    judged = world.at_guard(answer.request_id)
    assert answer.status == 503
    assert len(judged) > 1
    assert len({each.headers["x-tandem-hop"] for each in judged}) == 1


@pytest.mark.parametrize("behaviour", ["500", "saturated", "redirect", "hang before headers"])
@pytest.mark.parametrize("wish", ["local", "LOCAL", "lokal", ""])
async def test_a_request_that_wants_to_stay_local_stays(world: World, behaviour: str, wish: str) -> None:
    answer = await ask(world.url, "chat", local=behaviour, headers={"x-tandem-route": wish})
    assert answer.destination in ("local", "gateway")
    assert world.at_guard(answer.request_id) == []
    assert {seen.headers["x-tandem-route"] for seen in world.at_replicas(answer.request_id)} == {"local"}


async def test_200_at_once_with_no_replica_are_all_answered_by_the_cloud(world: World) -> None:
    answers = await asyncio.gather(*(ask(world.url, "dead") for _ in range(MANY)))
    assert Counter((answer.status, answer.destination) for answer in answers) == {(200, "cloud/east"): MANY}


async def test_200_at_once_with_failing_replicas_are_all_answered_by_the_cloud(world: World) -> None:
    answers = await asyncio.gather(*(ask(world.url, "one-cloud", local="500") for _ in range(MANY)))
    assert Counter((answer.status, answer.destination) for answer in answers) == {(200, "cloud/east"): MANY}
