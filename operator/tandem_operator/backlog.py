"""The order of work: which key is due, which waits, which is being worked on. Pure: ``workqueue`` drives it.

A key is in at most one of four places, and none is ever dropped: *urgent* or *ready* (each in the order of arrival),
*waiting* for a time, or *active*. Urgent keys come first, but not so that the others never come. A key that is added
while it is active becomes ready again when the work on it is done, since that work may have read the world before the
change. An earlier time always wins over a later one.
"""

import heapq
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

K = TypeVar("K")


URGENT_IN_A_ROW: Final = 4
"""After so many urgent keys one of the others is taken, if any waits."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long a key waits after it failed: doubling from the first to the longest, in seconds."""

    first_seconds: float = 0.5
    longest_seconds: float = 120.0

    def delay_seconds(self, failures: int, *, jitter: float) -> float:
        """Return the wait after ``failures`` in a row; ``jitter`` in 0…1 takes off up to a fifth."""
        doubled = self.first_seconds * 2 ** min(failures - 1, 30)
        return float(min(doubled, self.longest_seconds) * (1 - jitter / 5))


@dataclass(slots=True)
class Bucket:
    """Bounds failures over all keys, so that a general outage does not become a storm: a token bucket."""

    per_second: float = 20.0
    burst: float = 100.0
    _tokens: float = field(default=100.0, init=False)
    _at: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self._tokens = self.burst

    def reserve_seconds(self, now: float) -> float:
        """Take a token and return how long to wait until it is there; 0 while there are some."""
        self._tokens = min(self.burst, self._tokens + (now - self._at) * self.per_second)
        self._at = now
        self._tokens -= 1
        return max(0.0, -self._tokens / self.per_second)


class Backlog(Generic[K]):
    """All methods take ``now`` in seconds of one monotonic clock."""

    def __init__(self, backoff: Backoff | None = None, bucket: Bucket | None = None) -> None:
        self._backoff = backoff or Backoff()
        self._bucket = bucket or Bucket()
        self._urgent: dict[K, float] = {}  # key → since when; ordered, and so is the next
        self._ready: dict[K, float] = {}
        self._in_a_row = 0
        self._due: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []  # may hold outdated entries; _due decides
        self._order = 0
        self._active: set[K] = set()
        self._again: dict[K, bool] = {}  # key → urgent
        self._glanced: set[K] = set()  # active keys of which only an echo was heard
        self._failures: dict[K, int] = {}

    def __len__(self) -> int:
        """Keys that could be worked on now."""
        return len(self._urgent) + len(self._ready) + len(self._again)

    def add(self, key: K, now: float, *, urgent: bool = False) -> None:
        """Work on ``key`` as soon as possible; once urgent, it stays so until it is worked on."""
        self._due.pop(key, None)
        if key in self._active:
            self._again[key] = urgent or self._again.get(key, False)
        elif urgent:
            self._urgent.setdefault(key, self._ready.pop(key, now))
        elif key not in self._urgent:
            self._ready.setdefault(key, now)

    def glance(self, key: K, now: float) -> None:
        """Work on ``key`` as soon as possible, unless it failed: an echo of our own write brings no attempt forward."""
        if key in self._active:
            self._glanced.add(key)
        elif key not in self._failures:
            self.add(key, now)

    def clear(self) -> None:
        """Forget every key. Call it while none is active, and when all that exist are about to be added."""
        for place in (self._urgent, self._ready, self._due, self._heap, self._again, self._glanced, self._failures):
            place.clear()

    def add_after(self, key: K, seconds: float, now: float) -> None:
        """Work on ``key`` in ``seconds`` at the latest."""
        if key in self._urgent or key in self._ready or key in self._again:
            return
        at = now + seconds
        if at >= self._due.get(key, float("inf")):
            return
        self._due[key] = at
        self._order += 1
        heapq.heappush(self._heap, (at, self._order, key))

    def retry(self, key: K, now: float, *, jitter: float) -> float:
        """Count a failure, plan the next attempt, and return the seconds until then."""
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        delay = max(self._backoff.delay_seconds(failures, jitter=jitter), self._bucket.reserve_seconds(now))
        self.add_after(key, delay, now)
        return delay

    def succeed(self, key: K) -> None:
        """Forget the failures of ``key``."""
        self._failures.pop(key, None)

    def pop(self, now: float) -> tuple[K, float] | None:
        """Return the next key and how long it waited for a worker, and mark it active; None = nothing is due."""
        self._promote(now)
        lane = self._next_lane()
        for key in lane:
            since = lane.pop(key)
            self._active.add(key)
            return key, now - since
        return None

    def done(self, key: K, now: float) -> None:
        """Say that the work on ``key`` ended, however it ended."""
        self._active.discard(key)
        glanced = key in self._glanced
        self._glanced.discard(key)
        urgent = self._again.pop(key, None)
        if urgent is not None:
            self.add(key, now, urgent=urgent)
        elif glanced:
            self.glance(key, now)

    def next_at(self) -> float | None:
        """Return when the next waiting key is due; None = none waits."""
        while self._heap and self._due.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def _next_lane(self) -> dict[K, float]:
        if self._urgent and (not self._ready or self._in_a_row < URGENT_IN_A_ROW):
            self._in_a_row += 1
            return self._urgent
        self._in_a_row = 0
        return self._ready

    def _promote(self, now: float) -> None:
        while (at := self.next_at()) is not None and at <= now:
            key = heapq.heappop(self._heap)[2]
            self.add(key, at)
