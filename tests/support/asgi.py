"""One HTTP exchange with an ASGI app, in process: what came back, and a client that can leave."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from starlette.types import ASGIApp, Message


class Exchange:
    """Sends one request; ``messages`` holds what the app has sent so far."""

    def __init__(
        self,
        app: ASGIApp,
        path: str,
        *,
        method: str = "POST",
        body: Iterable[bytes] = (b"{}",),
        headers: Mapping[str, str] | None = None,
        query: str = "",
    ) -> None:
        self.messages: list[Message] = []
        self._arrived = asyncio.Event()
        self._left = asyncio.Event()
        self._parts = list(body)
        named = {"host": "gateway.test", **(headers or {})}
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.lower().encode(), value.encode()) for name, value in named.items()],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 2),
        }
        self.task = asyncio.ensure_future(app(scope, self._receive, self._send))

    async def done(self) -> "Exchange":
        await self.task
        return self

    async def started(self) -> "Exchange":
        """Wait for the first message of the response."""
        await self._arrived.wait()
        return self

    def leave(self) -> None:
        """Close the connection, as a client does."""
        self._left.set()

    @property
    def status(self) -> int:
        return int(self.messages[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode().lower(): value.decode() for name, value in self.messages[0]["headers"]}

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages[1:])

    async def _receive(self) -> Message:
        if self._parts:
            part = self._parts.pop(0)
            return {"type": "http.request", "body": part, "more_body": bool(self._parts)}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        self.messages.append(message)
        self._arrived.set()
