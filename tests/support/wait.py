"""Waiting for a fact instead of for a while."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(condition: Callable[[], T], within_seconds: float, every: float = 0.1) -> T:
    """Return what ``condition`` says once that is true; a failed assertion in it counts as not yet.

    At the deadline the last failure is raised, so that the report says what was still wrong.
    """
    deadline = time.monotonic() + within_seconds
    while True:
        failure: AssertionError | None = None
        try:
            if found := condition():
                return found
        except AssertionError as error:
            failure = error
        if time.monotonic() > deadline:
            raise _late(condition, within_seconds) from failure
        time.sleep(every)


async def eventually_async(condition: Callable[[], Awaitable[T] | T], within_seconds: float, every: float = 0.1) -> T:
    """Do the same on an event loop; ``condition`` may be a coroutine function or a plain one."""
    deadline = time.monotonic() + within_seconds
    while True:
        failure: AssertionError | None = None
        try:
            answer = condition()
            if found := (await answer if inspect.isawaitable(answer) else answer):
                return found
        except AssertionError as error:
            failure = error
        if time.monotonic() > deadline:
            raise _late(condition, within_seconds) from failure
        await asyncio.sleep(every)


def _late(condition: Callable[[], object], within_seconds: float) -> AssertionError:
    return AssertionError(f"{getattr(condition, '__name__', condition)} was not true within {within_seconds} s")
