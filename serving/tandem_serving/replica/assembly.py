"""Door, gate and board around an engine, put together. Called by the Serve deployment; knows nothing of Ray itself."""

import asyncio
import time
from typing import Final

from prometheus_client import REGISTRY, CollectorRegistry
from starlette.types import Scope
from tandem_contract.documents import EngineConfig

from tandem_serving.replica.door import Door
from tandem_serving.replica.engine import Engine
from tandem_serving.replica.gate import Gate
from tandem_serving.replica.live import Live
from tandem_serving.replica.metrics import ReplicaMetrics
from tandem_serving.replica.prediction import Predictor
from tandem_serving.replica.queue_board import Board

_PROBE_SECONDS: Final = 2.0


def assemble(config: EngineConfig, engine: Engine, live: Live, registry: CollectorRegistry = REGISTRY) -> Door:
    """Return the whole middleware around an engine. Several in one process need a registry each."""
    metrics = ReplicaMetrics(registry, config.deployment)
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
