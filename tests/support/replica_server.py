"""Real replicas without Ray: the product's door and gate around the small model, any number on one port.

What Ray Serve does here is left to one router: the first part of a path is an application's prefix, Serve's own health
path says yes, and nobody's prefix is answered as Ray answers it.
"""

import asyncio
import json
import socket
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import uvicorn
from prometheus_client import CollectorRegistry
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from tandem_contract.documents import EngineConfig, LiveConfig
from tandem_lab import small_engine
from tandem_serving.replica.assembly import assemble
from tandem_serving.replica.live import Live

from support.loop_thread import LoopThread


class ReplicaServer:
    """Serves on ``port``. Replicas are put up before it is entered or while it runs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._doors: dict[str, ASGIApp] = {}
        self._thread = LoopThread()
        # By name, or asyncio does not know that it is TCP and leaves Nagle's delay of 40 ms in; Ray's uvloop knows.
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        # uvicorn's own waiting for open connections has no place in a test that leaves some hanging.
        config = uvicorn.Config(
            self._route, log_config=None, lifespan="off", interface="asgi3", timeout_graceful_shutdown=1
        )
        self._server = uvicorn.Server(config)

    def put_up(self, prefix: str, live: LiveConfig, switches: Mapping[str, Any]) -> None:
        """Add the replica of a deployment that misbehaves as ``switches`` say."""
        file = self._folder / f"{prefix.strip('/')}-{self.port}.json"
        file.write_text(json.dumps(switches))
        config = EngineConfig(deployment=live.names[-1], prefix=prefix, source=f"file://{file}")
        registry = CollectorRegistry()
        engine = asyncio.run(small_engine.start(config, registry))
        current = Live()
        current.take(live)
        engine.rename(live.names)
        self._doors[prefix] = assemble(config, engine, current, registry)

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if path == "/-/healthz":
            await PlainTextResponse("success")(scope, receive, send)
            return
        door = self._doors.get("/" + path.split("/")[1], _nobody)
        await door(scope, receive, send)

    def __enter__(self) -> Self:
        self._thread.__enter__()
        self._thread.run(self._start())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.run(self._stop())
        self._thread.__exit__(kind, error, trace)

    async def _start(self) -> None:
        self._serving = asyncio.create_task(self._server.serve(sockets=[self._socket]))

    async def _stop(self) -> None:
        self._server.should_exit = True
        await self._serving


async def _nobody(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer as Ray's direct ingress answers what is not below its application's prefix."""
    await PlainTextResponse(f"Path '{scope['path']}' not found.", 404)(scope, receive, send)
