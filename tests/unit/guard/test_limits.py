"""Room for large bodies, and the memory of who was asked."""

import asyncio

import pytest
from tandem_serving.gateway.guard_limits import ByteBudget, NoPlaceError, Places, RepeatMemory
from tandem_serving.gateway.policy_board import fresh_at


async def hold(budget: ByteBudget, amount: int, until: asyncio.Event, log: list[int]) -> None:
    async with budget.hold(amount, wait_seconds=30):
        log.append(amount)
        await until.wait()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_no_more_than_the_budget_is_held_and_who_waits_is_served_in_turn() -> None:
    budget, log = ByteBudget(10), list[int]()
    first, others = asyncio.Event(), asyncio.Event()
    tasks = [asyncio.create_task(hold(budget, 6, first, log))]
    await settle()
    tasks += [asyncio.create_task(hold(budget, amount, others, log)) for amount in (7, 1)]
    await settle()
    assert (log, budget.in_use()) == ([6], 6)  # 1 would fit, but a large body is not passed by small ones for ever
    first.set()
    await settle()
    assert (log, budget.in_use()) == ([6, 7, 1], 8)
    others.set()
    await asyncio.gather(*tasks)
    assert budget.in_use() == 0


async def test_more_than_there_is_holds_all_there_is() -> None:
    budget = ByteBudget(10)
    async with budget.hold(99, wait_seconds=1):
        assert budget.in_use() == 10
    assert budget.in_use() == 0


async def test_who_waits_too_long_gives_up_its_turn() -> None:
    budget, log, until = ByteBudget(10), list[int](), asyncio.Event()
    holding = asyncio.create_task(hold(budget, 10, until, log))
    await settle()
    with pytest.raises(TimeoutError):
        async with budget.hold(5, wait_seconds=0):
            raise AssertionError("nothing was free")
    behind = asyncio.create_task(hold(budget, 3, until, log))
    until.set()
    await asyncio.gather(holding, behind)
    assert (log, budget.in_use()) == ([10, 3], 0)


async def test_a_client_that_leaves_in_the_moment_of_its_turn_gives_it_back() -> None:
    budget, log, until = ByteBudget(10), list[int](), asyncio.Event()
    async with budget.hold(10, wait_seconds=30):
        leaving = asyncio.create_task(hold(budget, 9, until, log))
        staying = asyncio.create_task(hold(budget, 10, until, log))
        await settle()
    leaving.cancel()  # its turn has come, and it does not know yet
    until.set()
    await asyncio.gather(leaving, return_exceptions=True)
    await staying
    assert (log, budget.in_use()) == ([10], 0)


def test_the_same_endpoint_is_asked_once_for_each_hop() -> None:
    memory = RepeatMemory()
    assert [memory.ask("a", "eu"), memory.ask("a", "us"), memory.ask("b", "eu")] == [False, False, False]
    assert [memory.ask("a", "eu"), memory.ask("b", "us")] == [True, False]


def test_the_memory_is_bounded_and_forgets_the_oldest() -> None:
    memory = RepeatMemory(size=2)
    for hop in "abc":
        memory.ask(hop, "eu")
    assert memory.ask("c", "eu")
    assert not memory.ask("a", "eu")


@pytest.mark.parametrize(
    ("observed", "expected"),
    [
        pytest.param(1000.0, 50.0, id="just now"),
        pytest.param(970.0, 20.0, id="half a minute ago"),
        pytest.param(1500.0, 50.0, id="the operator's clock runs ahead: as of now"),
    ],
)
def test_a_heartbeat_is_as_old_as_it_says(observed: float, expected: float) -> None:
    assert fresh_at(observed, now_seconds=1000.0, monotonic_seconds=50.0) == expected


def test_a_place_is_held_until_it_is_left_and_each_endpoint_has_its_own() -> None:
    places = Places(2)
    with places.hold("a"), places.hold("a"), places.hold("b"):
        assert places.taken() == {"a": 2, "b": 1}
        with pytest.raises(NoPlaceError), places.hold("a"):
            raise AssertionError("there was a place")
    assert places.taken() == {"a": 0, "b": 0}


def test_a_place_is_given_back_after_an_error() -> None:
    places = Places(1)
    with pytest.raises(RuntimeError, match="broken"), places.hold("a"):
        raise RuntimeError("broken")
    with places.hold("a"):
        assert places.taken() == {"a": 1}
