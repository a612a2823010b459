"""A stand-in for replicas, for tests of the gateway: it keeps the replica's manners and fails on request.

One server plays any number of replicas: the first part of the path (the app's prefix) selects the `Behaviour`, which a
test sets with ``peer.behave("/app", "saturated")``. The body's ``"local"`` overrides it for one request.
"""

import asyncio
import json
from collections import Counter
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from aiohttp import web
from tandem_contract import headers
from tandem_lab.small_openai import Chat
from tandem_serving.replica.answers import REDIRECT_AUTHORITY

from support.loop_thread import LoopThread
from support.pace import Pace

TOKEN = "token-of-the-replica"
WORDS = ("Hello", "from", "local")
BOUND_SECONDS = 0.2
"""After this long without a first token the replica answers 503 itself, as the real middleware does."""


@dataclass
class Seen:
    """One request as it arrived."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class ReplicaPeer:
    """Serves on ``port``; records what it saw."""

    seen: list[Seen] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    """``started`` and ``aborted`` streams, health checks by prefix."""

    default: str = "ok"
    """Behaviour where none was set."""

    pace: Pace = field(default_factory=Pace)
    port: int = 0

    def __post_init__(self) -> None:
        self._behaviours: dict[str, str] = {}
        self._thread = LoopThread()

    def behave(self, prefix: str, behaviour: str) -> None:
        self._behaviours[prefix] = behaviour

    def of(self, prefix: str) -> list[Seen]:
        return [seen for seen in self.seen if seen.path.startswith(prefix + "/")]

    def __enter__(self) -> Self:
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
        app.router.add_get("/{prefix}/tandem/healthz", self._health)
        app.router.add_route("*", "/{prefix}/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        # Hundreds connect at once: one that waits a second for it counts against the replica, and three throw it out.
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, backlog=1024)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def _health(self, request: web.Request) -> web.Response:
        prefix = f"/{request.match_info['prefix']}"
        self.counts[f"health {prefix}"] += 1
        starting = self._behaviours.get(prefix) == "starting"
        return web.Response(status=503 if starting else 200)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.seen.append(Seen(request.raw_path, {k.lower(): v for k, v in request.headers.items()}, body))
        try:
            asked = json.loads(body)
        except ValueError:
            asked = {}
        prefix = f"/{request.match_info['prefix']}"
        behaviour = str(asked.get("local") or self._behaviours.get(prefix, self.default))
        return await self._act(behaviour, request, asked)

    async def _act(  # noqa: PLR0911, PLR0912  a table
        self, behaviour: str, request: web.Request, asked: dict[str, Any]
    ) -> web.StreamResponse:
        redirected = headers.REASON in request.headers
        attempt = int(request.headers.get(headers.ATTEMPT_COUNT, "1"))
        await self.pace.next_token(asked.get("hold"), attempt)  # each attempt waits to be allowed
        match behaviour:
            case "ok":
                return await self._reply(request, asked)
            case "saturated":
                if redirected or headers.ROUTE in request.headers:
                    return await self._reply(request, asked)
                return self._redirect(request) if attempt > 1 else _refusal(503)
            case "redirect":
                return await self._reply(request, asked) if redirected else self._redirect(request)
            case "redirect always":
                return self._redirect(request)
            case "crowded":  # where no cloud is: others may have room, the last one that is asked refuses for good
                last = attempt >= int(request.headers[headers.LOCAL_ATTEMPTS])
                return await self._act("full" if last else "503", request, asked)
            case "full":
                return _refusal(429, {"retry-after": "7", headers.RATE_LIMITED: "true"})
            case "starting":
                return _refusal(503)
            case "hang before headers":
                await asyncio.sleep(BOUND_SECONDS)
                return _refusal(503)
            case "hang for ever":
                await asyncio.sleep(600)
            case "hang after headers":
                return await self._hang(request)
            case "another app":  # as Ray Serve answers what is not below its application's prefix
                return web.Response(text=f"Path '{request.path}' not found.", status=404)
            case "break after headers":
                return await self._break(request)
        return _refusal(int(behaviour), {"retry-after": "7"})

    def _redirect(self, request: web.Request) -> web.Response:
        bare = "/" + request.raw_path.split("/", 2)[2]
        return web.Response(
            status=307,
            headers={
                "location": f"http://{REDIRECT_AUTHORITY}{bare}",
                headers.REASON: "overflow",
                headers.TOKEN: TOKEN,
                headers.PRIOR_ATTEMPTS: request.headers.get(headers.ATTEMPT_COUNT, "1"),
                headers.DESTINATION: headers.LOCAL,
            },
        )

    async def _reply(self, request: web.Request, asked: dict[str, Any]) -> web.StreamResponse:
        said = {headers.DESTINATION: headers.LOCAL}
        shape = Chat(asked, str(asked.get("model")))
        if not asked.get("stream"):
            whole = shape.whole(WORDS, prompt_tokens=3)
            return web.json_response({**whole, "from": "local", "path": request.raw_path}, headers=said)
        answer = await _open_stream(request, said)
        try:
            for number in range(int(asked.get("chunks", 3))):
                piece = {**shape.piece(WORDS[number % 3]), "from": "local", "n": number}
                await answer.write(f"data: {json.dumps(piece, separators=(',', ':'))}\n\n".encode())
                self.counts["started"] += number == 0
                await asyncio.sleep(float(asked.get("gap", 0)))
                await self.pace.next_token(asked.get("pace"), number + 1)
            await answer.write(b"data: [DONE]\n\n")
        except (asyncio.CancelledError, ConnectionError):
            self.counts["aborted"] += 1
            raise
        return answer

    async def _hang(self, request: web.Request) -> web.StreamResponse:
        answer = await _open_stream(request, {headers.DESTINATION: headers.LOCAL})
        await answer.write(b'data: {"from":"local","n":0}\n\n')
        await asyncio.sleep(600)
        return answer

    async def _break(self, request: web.Request) -> web.StreamResponse:
        answer = await _open_stream(request, {headers.DESTINATION: headers.LOCAL})
        await answer.write(b'data: {"from":"local","n":0}\n\n')
        await asyncio.sleep(0.05)
        if request.transport is not None:
            request.transport.abort()
        return answer


async def _open_stream(request: web.Request, said: dict[str, str]) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"content-type": "text/event-stream", **said})
    await answer.prepare(request)
    return answer


def _refusal(status: int, extra: dict[str, str] | None = None) -> web.Response:
    body = {"error": {"message": f"replica says {status}", "type": "server_error", "param": None, "code": "peer"}}
    return web.json_response(body, status=status, headers={headers.DESTINATION: headers.LOCAL, **(extra or {})})
