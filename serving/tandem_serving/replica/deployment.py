"""The Ray Serve deployment around an engine: built by ``app.build``, and by the lab around a small model.

``EngineConfig`` is its constructor's argument: a change replaces replicas. ``LiveConfig`` is its ``user_config``:
Serve hands it to ``reconfigure`` at the start and at every change, without a restart.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from prometheus_client import REGISTRY
from ray import serve
from ray.serve import Application
from starlette.types import ASGIApp, Scope
from tandem_contract.documents import EngineConfig, LiveConfig

from tandem_serving.replica.door import Door
from tandem_serving.replica.engine import Engine
from tandem_serving.replica.engine_config import read_engine_config
from tandem_serving.replica.gate import Gate
from tandem_serving.replica.live import Live
from tandem_serving.replica.metrics import ReplicaMetrics
from tandem_serving.replica.prediction import Predictor
from tandem_serving.replica.queue_board import Board

Start = Callable[[EngineConfig], Awaitable[Engine]]

_PROBE_SECONDS: Final = 2.0


@serve.deployment(name="replica")  # limits and times are the operator's, in the application's document
@serve.ingress()
class Replica:
    """One engine and its middleware, in one Ray actor."""

    async def __init__(self, config: Mapping[str, Any], start: Start) -> None:  # type: ignore[misc]  # Serve awaits it
        engine_config = read_engine_config(config)
        self._live = Live()
        self._engine = await start(engine_config)
        self._door = _assemble(engine_config, self._engine, self._live)

    def __serve_build_asgi_app__(self) -> ASGIApp:
        return self._door

    def reconfigure(self, user_config: Mapping[str, Any]) -> None:
        """Take over names, policy and objective; called by Serve."""
        config = LiveConfig.model_validate(user_config)
        self._engine.rename(config.names)
        self._live.take(config)

    async def check_health(self) -> None:
        """Raise when the engine is dead: Serve then replaces this replica."""
        await self._engine.check()

    def __del__(self) -> None:
        engine = getattr(self, "_engine", None)
        if engine is not None:
            engine.stop()


def application(args: Mapping[str, Any], start: Start) -> Application:
    """Return the Serve application for the app's ``args``, refused here when they are not an ``EngineConfig``."""
    config = read_engine_config(args)
    bound: Application = Replica.bind(config.model_dump(mode="json"), start)  # type: ignore[attr-defined]  # Serve's decorators hide the class
    return bound


def _assemble(config: EngineConfig, engine: Engine, live: Live) -> Door:
    metrics = ReplicaMetrics(REGISTRY, config.deployment)
    board = Board(
        Predictor(anchors=tuple(engine.calibration)),
        slots=engine.slots,
        most_tokens=engine.most_tokens,
        metrics=metrics,
        clock=time.monotonic,
    )
    gate = Gate(engine.asgi, board=board, live=live, metrics=metrics)
    return Door(config.prefix, app=engine.asgi, gate=gate, live=live, check=engine.check, drains=drains)


async def drains(scope: Scope) -> bool:
    """Ask Serve's own health path, on the port that this request came in on: it fails once the replica is to go."""
    server = scope.get("server")
    if not server or server[1] is None:
        return False
    try:
        async with asyncio.timeout(_PROBE_SECONDS):
            return await _status(server[0], server[1], "/-/healthz") == 503
    except (OSError, TimeoutError, ValueError, IndexError):
        return False


async def _status(host: str, port: int, path: str) -> int:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n".encode())
        return int((await reader.readline()).split()[1])
    finally:
        writer.close()
