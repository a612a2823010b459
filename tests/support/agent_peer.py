"""The agent's HTTP side, for tests of the routes: says what it was asked."""

from types import TracebackType
from typing import Self

from aiohttp import web

from support.loop_thread import LoopThread


class AgentPeer:
    """Serves on a loopback port."""

    port: int

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
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]

    async def _answer(self, request: web.Request) -> web.Response:
        return web.json_response({"from": "agent", "path": request.raw_path, "headers": list(request.headers)})
