"""The waiting that all tests stand on: it must give up, and say on what."""

from collections.abc import Callable

import pytest
from support.wait import eventually, eventually_async


def on_call(number: int) -> Callable[[], str | None]:
    """Return a condition that is true from this call on."""
    calls = 0

    def condition() -> str | None:
        nonlocal calls
        calls += 1
        return "there" if calls >= number else None

    return condition


def still_wrong() -> bool:
    assert "found" == "expected", "one thing was still wrong"  # noqa: PLR0133  a failing assertion is the point
    return True


def test_what_the_condition_said_is_returned() -> None:
    assert eventually(on_call(3), within_seconds=30, every=0.001) == "there"


def test_it_gives_up_at_the_deadline() -> None:
    with pytest.raises(AssertionError, match=r"condition was not true within 0 s"):
        eventually(on_call(1_000_000), within_seconds=0, every=0.001)


def test_the_last_failed_assertion_is_the_cause() -> None:
    with pytest.raises(AssertionError) as caught:
        eventually(still_wrong, within_seconds=0)

    assert "one thing was still wrong" in str(caught.value.__cause__)


def test_other_errors_are_not_waited_out() -> None:
    with pytest.raises(ZeroDivisionError):
        eventually(lambda: 1 / 0, within_seconds=30)


async def test_conditions_may_be_coroutines() -> None:
    plain = on_call(2)

    async def condition() -> str | None:
        return plain()

    assert await eventually_async(condition, within_seconds=30, every=0.001) == "there"
    assert await eventually_async(on_call(2), within_seconds=30, every=0.001) == "there"
    with pytest.raises(AssertionError, match="not true within 0 s"):
        await eventually_async(on_call(1_000_000), within_seconds=0, every=0.001)
