"""Runs ``reconcile`` for every key that is due, a few at a time, never two for one key. Run by ``leading``.

It decides nothing: ``backlog`` keeps the order. Whatever a reconcile raises, the key comes back.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import structlog

from tandem_operator.backlog import Backlog
from tandem_operator.errors import Hold, Retry
from tandem_operator.metrics import Metrics

K = TypeVar("K")

Reconcile = Callable[[K], Awaitable[float | None]]
"""Bring one key to its spec; returns the seconds after which to look again, None = at the next resync."""

log = structlog.get_logger(__name__)


class WorkQueue(Generic[K]):
    """A queue that belongs to one event loop; ``add`` is safe from any of its tasks."""

    def __init__(self, metrics: Metrics, *, kind: Callable[[K], str], backlog: Backlog[K] | None = None) -> None:
        self._backlog: Backlog[K] = backlog or Backlog()
        self._metrics = metrics
        self._kind = kind
        self._changed = asyncio.Event()

    def add(self, key: K, *, urgent: bool = False) -> None:
        """Work on ``key`` as soon as possible, before those that are not ``urgent``."""
        self._backlog.add(key, self._now(), urgent=urgent)
        self._notice()

    def glance(self, key: K) -> None:
        """Work on ``key`` as soon as possible, unless it waits because it failed."""
        self._backlog.glance(key, self._now())
        self._notice()

    def clear(self) -> None:
        """Forget every key: a new term adds all that exist."""
        self._backlog.clear()
        self._notice()

    def add_after(self, key: K, seconds: float) -> None:
        self._backlog.add_after(key, seconds, self._now())
        self._notice()

    async def work(self, reconcile: Reconcile[K], *, workers: int) -> None:
        """Work until cancelled; what is being worked on then is cancelled too, and its key is kept."""
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(self._worker(reconcile))

    async def _worker(self, reconcile: Reconcile[K]) -> None:
        while True:
            key = await self._next()
            try:
                await self._attempt(key, reconcile)
            except asyncio.CancelledError:
                self._backlog.add(key, self._now())  # half done: the next leader's, or our own next term's, work
                raise
            finally:
                self._backlog.done(key, self._now())
                self._notice()

    async def _next(self) -> K:
        while True:
            self._changed.clear()
            popped = self._backlog.pop(self._now())
            if popped is not None:
                key, waited_seconds = popped
                self._metrics.queue_seconds.observe(waited_seconds)
                self._notice()
                return key
            await self._wait_for_change()

    async def _wait_for_change(self) -> None:
        at = self._backlog.next_at()
        try:
            await asyncio.wait_for(self._changed.wait(), None if at is None else max(0.0, at - self._now()))
        except TimeoutError:
            return

    async def _attempt(self, key: K, reconcile: Reconcile[K]) -> None:
        started = self._now()
        result = await self._run(key, reconcile)
        kind = self._kind(key)
        self._metrics.reconcile_seconds.labels(kind).observe(self._now() - started)
        self._metrics.reconciles.labels(kind, result).inc()

    async def _run(self, key: K, reconcile: Reconcile[K]) -> str:
        """Run once, plan the next time, and return the name of the outcome."""
        try:
            again_seconds = await reconcile(key)
        except Retry as error:
            delay = error.delay_seconds
            if delay is None:
                delay = self._backlog.retry(key, self._now(), jitter=random.random())  # noqa: S311  spreads load
            else:
                self._backlog.add_after(key, delay, self._now())
            log.info("will retry", key=str(key), why=str(error), delay_seconds=round(delay, 2))
            return "retry"
        except Hold as error:
            delay = self._backlog.retry(key, self._now(), jitter=random.random())  # noqa: S311  spreads load
            log.info("on hold", key=str(key), why=str(error), delay_seconds=round(delay, 2))
            return "hold"
        except Exception:
            # A bug in one object's path must not stop the others, nor lose the key.
            delay = self._backlog.retry(key, self._now(), jitter=random.random())  # noqa: S311  spreads load
            log.exception("reconcile failed", key=str(key), delay_seconds=round(delay, 2))
            return "error"
        self._backlog.succeed(key)
        if again_seconds is not None:
            self._backlog.add_after(key, again_seconds, self._now())
        return "ok"

    def _notice(self) -> None:
        self._metrics.queue_depth.set(len(self._backlog))
        self._changed.set()

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
