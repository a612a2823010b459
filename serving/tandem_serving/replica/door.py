"""The door of a replica: its prefix, its paths, its health, and the headers that every answer carries.

The outermost ASGI app, called by Ray Serve for each request on the replica's own port. A stale address that meets
another deployment's replica ends here with a 503, because the prefix is wrong: the gateway then asks elsewhere. (Ray
itself answers 404 to most wrong prefixes; it says no destination, by which the gateway tells it from ours.)
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from tandem_contract import headers

from tandem_serving.replica import answers, paths
from tandem_serving.replica.answers import Answer
from tandem_serving.replica.gate import Call, Gate, read_call
from tandem_serving.replica.live import Live
from tandem_serving.replica.paths import Kind

_LOCAL: Final = (headers.DESTINATION.encode(), headers.LOCAL.encode())
_RETRY_AFTER: Final = (b"retry-after", b"1")

Check = Callable[[], Awaitable[None]]
Drains = Callable[[Scope], Awaitable[bool]]


class Door:
    """``check`` raises when the engine is dead; ``drains`` tells whether the replica is on its way out."""

    def __init__(self, prefix: str, *, app: ASGIApp, gate: Gate, live: Live, check: Check, drains: Drains) -> None:
        self._prefix = prefix
        self._app = app
        self._gate = gate
        self._live = live
        self._check = check
        self._drains = drains

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        else:
            await self._http(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = paths.within(scope["path"], self._prefix)
        inner = {**scope, "root_path": self._prefix}
        call = read_call(inner, path or scope["path"])
        stamped = _stamped(send, call.attempts)
        if path is None:
            await answers.unavailable("Another model answers at this address now.").send(stamped)
            return
        kind = paths.kind(scope["method"], path)
        if kind is None:
            await answers.not_found(scope["path"]).send(stamped)
        elif kind is Kind.HEALTH:
            await (await self._health(scope)).send(stamped)
        elif kind is Kind.INFERENCE:
            await self._infer(call, receive, stamped)
        elif kind is Kind.OTHER:
            await self._app(inner, receive, stamped)
        else:
            await answers.method_not_allowed(kind).send(stamped)

    async def _infer(self, call: Call, receive: Receive, send: Send) -> None:
        if why := await self._dead():
            await answers.unavailable(why).send(send)
            return
        await self._gate.handle(call, receive, send)

    async def _health(self, scope: Scope) -> Answer:
        if self._live.config is None:
            return answers.unavailable("This replica is starting.")
        if why := await self._dead():
            return answers.unavailable(why)
        if await self._drains(scope):
            return answers.unavailable("This replica is draining.")
        return Answer(200, b'{"status": "ok"}')

    async def _dead(self) -> str | None:
        try:
            await self._check()
        except Exception:  # noqa: BLE001  whatever it is, this engine cannot answer
            return "The model's engine is dead."
        return None


def _stamped(send: Send, attempts: int) -> Send:
    """Return a ``send`` that says where the answer came from; only our own word for it is believed.

    A failure of whatever kind says when to try again: no other server is left when a client sees it.
    """
    own = [_LOCAL, (headers.ATTEMPTS.encode(), str(attempts).encode())]
    names = {name for name, _ in own}

    async def stamped(message: Message) -> None:
        if message["type"] == "http.response.start":
            theirs = [(name, value) for name, value in message.get("headers", []) if name.lower() not in names]
            hints = [] if message["status"] < 500 or _says_when(theirs) else [_RETRY_AFTER]
            message = {**message, "headers": [*theirs, *own, *hints]}
        await send(message)

    return stamped


def _says_when(raw: Iterable[tuple[bytes, bytes]]) -> bool:
    return any(name.lower() == b"retry-after" for name, _ in raw)
