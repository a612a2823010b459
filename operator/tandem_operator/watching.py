"""Runs kopf in a thread of its own, and again whenever it ends. Started by ``__main__``.

A thread, because kopf cancels every task of its loop when it stops, ours too. It stops for good on errors that a watch
must survive (a 500 inside the stream, a truncated line); started again it lists anew, and our own relist, asked for at
once, finds what was deleted meanwhile.
"""

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from typing import Final

import kopf
import structlog

from tandem_operator.api.v1alpha1 import Raw
from tandem_operator.cache import Kind
from tandem_operator.handlers import make_registry, make_settings
from tandem_operator.metrics import Metrics

_RESTART_SECONDS: Final = 2.0
_STOP_SECONDS: Final = 10.0

log = structlog.get_logger(__name__)


class Watching:
    """Calls ``on_event`` in the loop that it was started from."""

    def __init__(
        self, metrics: Metrics, *, on_event: Callable[[Kind, Raw, bool], None], on_gap: Callable[[], None]
    ) -> None:
        self._metrics = metrics
        self._on_event = on_event
        self._on_gap = on_gap

    async def run(self) -> None:
        """Watch until cancelled."""
        loop = asyncio.get_running_loop()
        registry = make_registry(lambda *event: _soon(loop, self._on_event, *event))
        while True:
            ended = asyncio.Event()
            kopf_thread = _KopfThread(registry, on_end=partial(_soon, loop, ended.set))
            kopf_thread.start()
            try:
                await ended.wait()
            finally:
                kopf_thread.stop()
                await asyncio.shield(asyncio.to_thread(kopf_thread.join, _STOP_SECONDS))
            self._metrics.watch_restarts.inc()
            self._on_gap()
            await asyncio.sleep(_RESTART_SECONDS)


class _KopfThread(threading.Thread):
    """One run of kopf in a loop of its own."""

    def __init__(self, registry: kopf.OperatorRegistry, *, on_end: Callable[[], None]) -> None:
        super().__init__(name="kopf", daemon=True)
        self._registry = registry
        self._on_end = on_end
        self._loop = asyncio.new_event_loop()
        # Of kopf's own loop: for a threading.Event it parks a thread, and cannot end before that is set.
        self._stop_flag = asyncio.Event()

    def run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._watch())
        except Exception:
            log.exception("the watch ended")
        finally:
            self._on_end()

    def stop(self) -> None:
        """Ask kopf to end; safe from any thread, and when it has ended already."""
        _soon(self._loop, self._stop_flag.set)

    async def _watch(self) -> None:
        await kopf.operator(
            registry=self._registry, settings=make_settings(), clusterwide=True, stop_flag=self._stop_flag
        )


def _soon(loop: asyncio.AbstractEventLoop, call: Callable[..., None], *arguments: object) -> None:
    try:
        loop.call_soon_threadsafe(call, *arguments)
    except RuntimeError:
        return  # the loop is closed: the process ends
