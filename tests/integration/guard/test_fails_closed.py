"""Without its guard nothing leaves; with it back, all is as before."""

from collections.abc import Iterator

import pytest
from support.guarded_house import House
from support.wait import eventually


@pytest.fixture
def dead_guard(house: House) -> Iterator[House]:
    house.guard.stop()
    yield house
    house.guard.start()
    eventually(lambda: house.chat().status_code == 200, within_seconds=60)


def test_with_the_guard_dead_nothing_leaves_and_local_answers(dead_guard: House) -> None:
    assert dead_guard.chat().status_code == 503
    dead_guard.replica.behave("/app-hello", "saturated")
    answer = dead_guard.chat("hello")
    assert (answer.status_code, answer.headers["x-tandem-destination"]) == (200, "local")
    assert dead_guard.received == 0


def test_a_guard_that_is_back_serves_again(house: House) -> None:
    house.guard.stop()
    assert house.chat().status_code == 503
    house.guard.start()
    eventually(lambda: house.chat().status_code == 200, within_seconds=60)


def test_a_stream_that_loses_its_guard_ends_and_does_not_go_on_unseen(house: House) -> None:
    body = {"model": "cold", "messages": [], "stream": True, "x_fault": "slow", "max_tokens": 60}
    with house.client.stream("POST", f"{house.gateway.url}/v1/chat/completions", json=body) as answer:
        lines = answer.iter_lines()
        assert next(lines).startswith("data: ")
        house.guard.stop()
        with pytest.raises(Exception, match=r"."):
            list(lines)
    house.guard.start()
    eventually(lambda: house.chat().status_code == 200, within_seconds=60)
