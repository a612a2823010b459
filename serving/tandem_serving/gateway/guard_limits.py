"""What keeps the guard's memory bounded: room for large bodies, and a short memory of who was asked."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


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
