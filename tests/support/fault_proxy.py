"""Stands between the operator and an API server (or a Ray head) and breaks what it is told to.

It counts the writes that pass, in the order in which they arrive, over all proxies that share one ``Fuse``. At the
chosen one it calls ``blow`` — which kills the operator — before the write is forwarded, or after it was applied and
before the operator hears of it, or after the answer. It can also hold back watch events, as a stuck connection does,
and reads, as an overloaded server does, and answer in the server's place, as one does that cannot decrypt a Secret.
"""

import asyncio
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp import web

from support.loop_thread import LoopThread

_HOP_BY_HOP = {"host", "content-length", "transfer-encoding", "connection", "content-encoding"}


class When(Enum):
    BEFORE = "before it is forwarded"
    APPLIED = "after it was applied, before the answer"
    REPLIED = "after the answer"


@dataclass
class Fuse:
    """Counts writes, and blows at one of them."""

    counts: Callable[[str, str], bool]
    """Which writes count, by method and path."""

    seen: list[str] = field(default_factory=list)
    blown: threading.Event = field(default_factory=threading.Event)
    _at: int = 0
    _when: When = When.BEFORE
    _blow: Callable[[], None] = lambda: None

    def arm(self, at: int, when: When, blow: Callable[[], None]) -> None:
        """Blow at the ``at``-th write from now on, the first being 1."""
        self.seen.clear()
        self.blown.clear()
        self._at, self._when, self._blow = at, when, blow

    def disarm(self) -> None:
        """Only count from now on."""
        self.arm(0, When.BEFORE, lambda: None)

    def number(self, method: str, path: str) -> int:
        """Return the number of a write, 0 for one that does not count."""
        if not self.counts(method, path):
            return 0
        self.seen.append(f"{method} {path}")
        return len(self.seen)

    def due(self, number: int, when: When) -> bool:
        return bool(number) and number == self._at and when is self._when and not self.blown.is_set()

    def blow(self) -> None:
        self._blow()
        self.blown.set()


class FaultProxy:
    """Listens on loopback in plain HTTP; ``url`` is where to send the operator."""

    url: str

    def __init__(self, upstream: str, fuse: Fuse, *, certificate_authority: Path | None = None) -> None:
        self._upstream = upstream
        self._fuse = fuse
        self._authority = certificate_authority
        self._flowing = threading.Event()
        self._flowing.set()
        self._breaks = 0
        self._slow = ""
        self._answers: dict[tuple[str, str], tuple[int, str]] = {}
        self.waiting = 0
        """Reads that are being held back now."""

    def hold_reads(self, part: str) -> None:
        """Answer no GET whose path has ``part`` in it until ``release_reads``."""
        self._slow = part

    def release_reads(self) -> None:
        self._slow = ""

    def answer(self, method: str, end: str, status: int, message: str) -> None:
        """Answer ``method`` of every path that ends so with a failure, as an API server words it, until ``pass_on``."""
        self._answers[method, end] = status, message

    def pass_on(self) -> None:
        """Answer nothing any more in the server's place."""
        self._answers.clear()

    def hold_events(self) -> None:
        """Let nothing more through on watches that are open or come."""
        self._flowing.clear()

    def release_events(self) -> None:
        self._flowing.set()

    def break_watches(self) -> None:
        """End every watch that is open in the middle of a line: an end that kopf does not survive."""
        self._breaks += 1

    def __enter__(self) -> Self:
        self._thread = LoopThread()
        self._thread.__enter__()
        self._thread.run(self._start())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._flowing.set()
        self.release_reads()
        self._thread.run(self._stop())
        self._thread.__exit__(kind, error, trace)

    async def _start(self) -> None:
        context = ssl.create_default_context(cafile=str(self._authority)) if self._authority else None
        connector = aiohttp.TCPConnector(ssl=context or True, limit=0)
        self._session = aiohttp.ClientSession(connector=connector, auto_decompress=False)
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._pass)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def _stop(self) -> None:
        await self._runner.cleanup()
        await self._session.close()

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        number = self._fuse.number(request.method, request.path) if request.method not in {"GET", "HEAD"} else 0
        await self._wait_while_held(request)
        await self._blow_if_due(number, When.BEFORE)
        body = await request.read()
        for (method, end), (status, message) in list(self._answers.items()):
            if request.method == method and request.path.endswith(end):
                failure = {
                    "kind": "Status",
                    "apiVersion": "v1",
                    "status": "Failure",
                    "message": message,
                    "code": status,
                }
                return web.json_response(failure, status=status)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP}
        url = f"{self._upstream}{request.raw_path}"
        timeout = aiohttp.ClientTimeout(total=None)
        try:
            async with self._session.request(
                request.method, url, data=body or None, headers=headers, timeout=timeout, allow_redirects=False
            ) as upstream:
                if "watch=true" in request.query_string:
                    return await self._stream(request, upstream)
                content = await upstream.read()
        except aiohttp.ClientError as error:
            return web.Response(status=502, text=str(error))
        await self._blow_if_due(number, When.APPLIED)
        kept = {name: value for name, value in upstream.headers.items() if name.lower() not in _HOP_BY_HOP}
        response = web.Response(status=upstream.status, body=content, headers=kept)
        if "Content-Encoding" in upstream.headers:
            response.headers["Content-Encoding"] = upstream.headers["Content-Encoding"]
        if self._fuse.due(number, When.REPLIED):
            await response.prepare(request)
            await response.write_eof()
            await self._blow_if_due(number, When.REPLIED)
        return response

    async def _wait_while_held(self, request: web.Request) -> None:
        self.waiting += 1
        try:
            while self._slow and request.method == "GET" and self._slow in request.path:  # noqa: ASYNC110  set from a test
                await asyncio.sleep(0.05)
        finally:
            self.waiting -= 1

    async def _blow_if_due(self, number: int, when: When) -> None:
        if self._fuse.due(number, when):
            await asyncio.to_thread(self._fuse.blow)

    async def _stream(self, request: web.Request, upstream: aiohttp.ClientResponse) -> web.StreamResponse:
        breaks = self._breaks
        response = web.StreamResponse(status=upstream.status)
        await response.prepare(request)
        line = asyncio.ensure_future(upstream.content.readline())
        try:
            while True:
                done, _ = await asyncio.wait({line}, timeout=0.05)
                if self._breaks != breaks:
                    await response.write(b'{"type": "MODIFIED", "object": {"kin')
                    return response
                if not done or not self._flowing.is_set():
                    continue
                if not line.result():
                    return response
                await response.write(line.result())
                line = asyncio.ensure_future(upstream.content.readline())
        finally:
            line.cancel()
            await asyncio.gather(line, return_exceptions=True)
