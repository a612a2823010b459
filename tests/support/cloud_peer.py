"""A provider over TLS, for tests of the way out alone: says what it saw, and fails as the body's ``"cloud"`` asks."""

import asyncio
import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiohttp import web
from tandem_lab.certificates import Authority

from support.loop_thread import LoopThread
from support.pace import Pace
from support.replica_peer import Seen


@dataclass
class CloudPeer:
    """Serves ``https://localhost:<port>``."""

    authority: Authority
    folder: Path
    host: str = "localhost"
    seen: list[Seen] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    pace: Pace = field(default_factory=Pace)
    port: int = 0

    def __enter__(self) -> Self:
        self._thread = LoopThread()
        self._thread.__enter__()
        self._thread.run(self._start())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.run(self._runner.cleanup())
        self._thread.__exit__(kind, error, trace)

    async def _start(self) -> None:
        app = web.Application(client_max_size=64 << 20)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        tls = self.authority.server_context(self.folder / self.host, self.host)
        await web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=tls, backlog=1024).start()
        self.port = self._runner.addresses[0][1]

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.seen.append(Seen(request.raw_path, {k.lower(): v for k, v in request.headers.items()}, body))
        asked = json.loads(body)
        match str(asked.get("cloud", "ok")):
            case "ok":
                return await self._reply(request, asked)
            case "redirect":
                return web.Response(status=307, headers={"location": "http://evil.example/v1/chat/completions"})
            case "spoof":
                spoof = {"x-tandem-reason": "overflow", "x-tandem-token": "made-up", "x-envoy-ratelimited": "true"}
                return web.json_response({"from": "cloud"}, headers=spoof)
            case "hang":
                await asyncio.sleep(600)
        return web.json_response({"error": {"message": "cloud says no"}}, status=int(asked["cloud"]))

    async def _reply(self, request: web.Request, asked: dict[str, Any]) -> web.StreamResponse:
        if not asked.get("stream"):
            return web.json_response({"from": "cloud"})
        answer = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await answer.prepare(request)
        try:
            for number in range(int(asked.get("chunks", 3))):
                await answer.write(b'data: {"from":"cloud","n":%d}\n\n' % number)
                self.counts["started"] += number == 0
                await asyncio.sleep(float(asked.get("gap", 0)))
                await self.pace.next_token(asked.get("pace"), number + 1)
            await answer.write(b"data: [DONE]\n\n")
        except (asyncio.CancelledError, ConnectionError):
            self.counts["aborted"] += 1
            raise
        return answer
