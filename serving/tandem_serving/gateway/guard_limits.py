"""What keeps the guard bounded: room for large bodies, places towards a cloud, a short memory of who was asked."""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

MOST_IN_FLIGHT: Final = 256
"""Requests of one gateway that one endpoint answers at once. A local outage must not become the provider's, nor spend
a day's rate limit in a minute; what finds no place goes to the next destination."""


class NoPlaceError(Exception):
    """As many requests as may be are on their way to this endpoint."""


class Places:
    """At most ``most`` requests at once towards each endpoint. Nobody waits: another destination may be free."""

    def __init__(self, most: int = MOST_IN_FLIGHT) -> None:
        self._most = most
        self._taken: Counter[str] = Counter()

    def taken(self) -> dict[str, int]:
        """Return how many places are taken, of each endpoint that was ever asked."""
        return dict(self._taken)

    @contextmanager
    def hold(self, endpoint: str) -> Iterator[None]:
        """Hold a place; ``NoPlaceError`` when all are taken."""
        if self._taken[endpoint] >= self._most:
            raise NoPlaceError
        self._taken[endpoint] += 1
        try:
            yield
        finally:
            self._taken[endpoint] -= 1


class ByteBudget:
    """At most so many bytes are worked on at once; who waits is served in turn. Belongs to one event loop."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._free = total
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    def in_use(self) -> int:
        return self._total - self._free

    @asynccontextmanager
    async def hold(self, amount: int, *, wait_seconds: float) -> AsyncIterator[None]:
        """Hold ``amount`` bytes, or all if that is fewer. Raises ``TimeoutError`` when they are not free in time."""
        amount = min(amount, self._total)
        async with asyncio.timeout(wait_seconds):
            await self._take(amount)
        try:
            yield
        finally:
            self._give_back(amount)

    async def _take(self, amount: int) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((amount, turn))
        self._serve_next()
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it was our turn in the very moment in which we were called off
                self._free += amount
            self._serve_next()
            raise

    def _give_back(self, amount: int) -> None:
        self._free += amount
        self._serve_next()

    def _serve_next(self) -> None:
        while self._waiting:
            amount, turn = self._waiting[0]
            if not turn.cancelled():
                if amount > self._free:
                    return
                self._free -= amount
                turn.set_result(None)
            self._waiting.popleft()


class RepeatMemory:
    """Which endpoint was asked for which hop: the last ``size`` of them."""

    def __init__(self, size: int = 65_536) -> None:
        self._size = size
        self._asked: OrderedDict[tuple[str, str], None] = OrderedDict()

    def ask(self, hop: str, endpoint: str) -> bool:
        """Remember that ``endpoint`` is asked, and return whether it was before."""
        key = (hop, endpoint)
        before = key in self._asked
        self._asked[key] = None
        if len(self._asked) > self._size:
            self._asked.popitem(last=False)
        return before
