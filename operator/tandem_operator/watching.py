"""Runs kopf in a thread of its own, and again whenever it ends. Started by ``__main__``.

A thread, because kopf cancels every task of its loop when it stops, ours too. It stops for good on errors that a watch
must survive (a 500 inside the stream, a truncated line); started again it lists anew, and our own relist, asked for at
once, finds what was deleted meanwhile.
"""

import asyncio
import threading
from collections.abc import Callable
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
            stop = threading.Event()
            thread = threading.Thread(target=_watch, args=(registry, stop, loop, ended), name="kopf", daemon=True)
            thread.start()
            try:
                await ended.wait()
            finally:
                stop.set()
                await asyncio.shield(asyncio.to_thread(thread.join, _STOP_SECONDS))
            self._metrics.watch_restarts.inc()
            self._on_gap()
            await asyncio.sleep(_RESTART_SECONDS)


def _watch(
    registry: kopf.OperatorRegistry, stop: threading.Event, loop: asyncio.AbstractEventLoop, ended: asyncio.Event
) -> None:
    try:
        asyncio.run(kopf.operator(registry=registry, settings=make_settings(), clusterwide=True, stop_flag=stop))
    except Exception:
        log.exception("the watch ended")
    finally:
        _soon(loop, ended.set)


def _soon(loop: asyncio.AbstractEventLoop, call: Callable[..., None], *arguments: object) -> None:
    try:
        loop.call_soon_threadsafe(call, *arguments)
    except RuntimeError:
        return  # the loop is closed: the process ends
