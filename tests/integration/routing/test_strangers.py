"""A replica's port that another application has taken: nothing is lost while the health check has not noticed."""

import pytest
from support.asking import ask
from support.routing_world import World

STRANGER = "another app"


async def test_a_strangers_404_is_followed_by_whoever_can_answer(world: World) -> None:
    answer = await ask(world.url, "chat", local=STRANGER)
    assert (answer.status, answer.destination, answer.attempts) == (200, "cloud/east", 3)


async def test_our_own_404_is_the_answer(world: World) -> None:
    answer = await ask(world.url, "chat", local="404")
    assert (answer.status, answer.destination, answer.attempts) == (404, "local", 1)


@pytest.mark.parametrize("model", ["alone", "strict", "chat"])
async def test_with_strangers_only_the_client_is_told_to_come_again(world: World, model: str) -> None:
    answer = await ask(world.url, model, local=STRANGER, headers={"x-tandem-data-class": "Restricted"})
    assert (answer.status, answer.destination, answer.error["code"]) == (503, "gateway", "unavailable")
    assert answer.headers["retry-after"] == "1"
