"""Workers: whatever a reconcile raises, its key comes back; one key is never in two hands."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from support.wait import eventually_async
from tandem_operator.backlog import Backlog, Backoff
from tandem_operator.errors import Hold, Retry
from tandem_operator.metrics import Metrics
from tandem_operator.workqueue import WorkQueue


def a_queue(metrics: Metrics | None = None) -> WorkQueue[str]:
    backlog: Backlog[str] = Backlog(Backoff(first_seconds=0.001, longest_seconds=0.01))
    return WorkQueue(metrics or Metrics(), kind=lambda key: key, backlog=backlog)


def finished(metrics: Metrics, key: str) -> float | None:
    return metrics.registry.get_sample_value("tandem_reconcile_total", {"kind": key, "result": "ok"})


@asynccontextmanager
async def working(queue: WorkQueue[str], reconcile: Callable, workers: int = 3) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(queue.work(reconcile, workers=workers))
    yield task
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(
    "error", [Retry("later"), Retry("soon", delay_seconds=0.001), Hold("unknown"), KeyError("bug")]
)
async def test_a_key_comes_back_until_its_reconcile_succeeds(error):
    attempts = 0

    async def reconcile(_):
        nonlocal attempts
        attempts += 1
        if attempts < 4:
            raise error

    queue = a_queue()
    async with working(queue, reconcile):
        queue.add("a")
        await eventually_async(lambda: attempts == 4, within_seconds=10, every=0.001)


async def test_a_failing_key_does_not_keep_others_waiting():
    done = []

    async def reconcile(key):
        if key == "bad":
            raise RuntimeError("a bug")
        done.append(key)

    queue = a_queue()
    async with working(queue, reconcile, workers=1):
        for key in ("bad", "good", "fine"):
            queue.add(key)
        await eventually_async(lambda: sorted(done) == ["fine", "good"], within_seconds=10, every=0.001)


async def test_a_key_added_during_its_own_reconcile_is_reconciled_again_after_it():
    running, most, runs = 0, 0, 0
    release = asyncio.Event()

    async def reconcile(_):
        nonlocal running, most, runs
        running += 1
        most = max(most, running)
        await release.wait()
        running -= 1
        runs += 1

    metrics = Metrics()
    queue = a_queue(metrics)
    async with working(queue, reconcile):
        queue.add("a")
        await eventually_async(lambda: running == 1, within_seconds=10, every=0.001)
        queue.add("a")
        queue.add("a")
        release.set()
        await eventually_async(lambda: finished(metrics, "a") == 2, within_seconds=10, every=0.001)
    assert (runs, most) == (2, 1)


async def test_what_was_cut_off_in_the_middle_is_done_in_the_next_term():
    started = asyncio.Event()
    done = []

    async def never_ends(_):
        started.set()
        await asyncio.Event().wait()

    async def ends(key):
        done.append(key)

    metrics = Metrics()
    queue = a_queue(metrics)
    async with working(queue, never_ends):
        queue.add("a")
        await started.wait()
    assert metrics.registry.get_sample_value("tandem_workqueue_depth") == 1
    async with working(queue, ends):
        await eventually_async(lambda: done == ["a"], within_seconds=10, every=0.001)


async def test_a_reconcile_that_asks_for_it_is_run_again():
    runs = 0

    async def reconcile(_):
        nonlocal runs
        runs += 1
        return 0.001

    queue = a_queue()
    async with working(queue, reconcile):
        queue.add("a")
        await eventually_async(lambda: runs > 2, within_seconds=10, every=0.001)


async def test_outcomes_are_counted_by_kind():
    outcomes = iter([Retry("later"), Hold("unknown"), KeyError("bug")])

    async def reconcile(_):
        if (error := next(outcomes, None)) is not None:
            raise error

    metrics = Metrics()
    queue = a_queue(metrics)

    def count(result):
        return metrics.registry.get_sample_value("tandem_reconcile_total", {"kind": "a", "result": result})

    async with working(queue, reconcile):
        queue.add("a")
        await eventually_async(lambda: count("ok") == 1, within_seconds=10, every=0.001)
    assert [count(result) for result in ("retry", "hold", "error")] == [1, 1, 1]
    assert metrics.registry.get_sample_value("tandem_workqueue_depth") == 0
