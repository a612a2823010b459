"""Tokens that come when a test says so: whether they are passed on one by one shows without a clock."""

import asyncio
from collections import Counter


class Pace:
    """A stream whose body says ``"pace": <name>`` sends its first token, and each further one after ``allow(name)``."""

    def __init__(self) -> None:
        self._allowed: Counter[str] = Counter()

    def allow(self, name: str) -> None:
        self._allowed[name] += 1

    async def next_token(self, name: str | None, sent: int) -> None:
        """Wait until another token may be sent after ``sent`` ones; without a name there is nothing to wait for."""
        while name is not None and self._allowed[name] < sent:  # noqa: ASYNC110  allowed from another thread
            await asyncio.sleep(0.005)
