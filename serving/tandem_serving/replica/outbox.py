"""A response held back until the engine has given something: until its first byte it can still go elsewhere.

A failure that is not JSON (Starlette's own ``Internal Server Error``) never goes out: ours takes its place.
"""

from collections.abc import Callable
from typing import Final

from starlette.types import Message, Send

from tandem_serving.replica import answers

_MOST_HELD_BYTES: Final = 64 * 1024
"""More than the head of any stream. Past it the response goes out, first token or not."""


class Outbox:
    """What the app sends, in order; nothing is out before ``ready`` is true or the response is complete.

    ``gone`` tells whether the client left: vLLM ends an aborted request with a whole response that nobody receives.
    """

    def __init__(self, send: Send, *, ready: Callable[[], bool], gone: Callable[[], bool]) -> None:
        self._send = send
        self._ready = ready
        self._gone = gone
        self._held: list[Message] = []
        self._held_bytes = 0
        self._dropped = False
        self.begun = False
        """Something went out."""
        self.complete = False
        """All went out, to a client that was still there."""

    def drop(self) -> None:
        """Send nothing any more: somebody else answers."""
        self._dropped = True
        self._held.clear()

    async def send(self, message: Message) -> None:
        if self._dropped:
            return
        last = message["type"] == "http.response.body" and not message.get("more_body", False)
        if not self.begun and not last and not self._may_go(message):
            self._held.append(message)
            self._held_bytes += len(message.get("body", b""))
            return
        self.begun = True
        held, self._held = self._held, []
        if held and _is_bare_failure(held[0]):
            self._dropped = self.complete = True
            await answers.failed().send(self._send)
            return
        for earlier in held:
            await self._send(earlier)
        await self._send(message)
        self.complete = self.complete or (last and not self._gone())

    def _may_go(self, message: Message) -> bool:
        is_body = message["type"] == "http.response.body" and bool(message.get("body"))
        return is_body and (self._ready() or self._held_bytes > _MOST_HELD_BYTES)


def _is_bare_failure(start: Message) -> bool:
    named = {name.lower(): value for name, value in start.get("headers", [])}
    return bool(start.get("status", 0) >= 500) and not named.get(b"content-type", b"").startswith(b"application/json")
