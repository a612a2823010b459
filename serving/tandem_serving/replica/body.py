"""Request bodies, read whole before admission, and given once more to the app behind it."""

import asyncio
from typing import Final, Self

from starlette.types import Message, Receive
from tandem_contract.limits import BODY_BYTES

MOST_BYTES_HELD: Final = 32 * BODY_BYTES
"""Of all requests together, from their arrival to the end of their answers."""


class TooLargeError(Exception):
    """The body is larger than ``BODY_BYTES``."""


class NoRoomError(Exception):
    """The bodies that this replica holds already fill their room."""


class ClientGoneError(Exception):
    """The client left before its request was complete."""


class Share:
    """What one request takes of a replica's room for bodies, given back at the end of ``with``."""

    def __init__(self, room: "Room") -> None:
        self._room = room
        self._taken = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._room.free_bytes += self._taken

    def take(self, size: int) -> None:
        if size > self._room.free_bytes:
            raise NoRoomError
        self._room.free_bytes -= size
        self._taken += size


class Room:
    """Memory for the bodies of all requests that a replica holds: many of the largest must not end it."""

    def __init__(self, most_bytes: int = MOST_BYTES_HELD) -> None:
        self.free_bytes = most_bytes

    def share(self) -> Share:
        return Share(self)


async def read(receive: Receive, share: Share) -> bytes:
    """Return the whole body; raise ``TooLargeError``, ``NoRoomError`` or ``ClientGoneError``."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > BODY_BYTES:
            raise TooLargeError
        share.take(len(parts[-1]))
        if not message.get("more_body", False):
            return b"".join(parts)


class Inbox:
    """What the app receives: the body, then nothing until the client is gone or the gate has given up."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive
        self._closed = asyncio.Event()
        self.client_left = False

    def close(self) -> None:
        """Let the app believe that its client is gone: that is how it is asked to abort."""
        self._closed.set()

    async def receive(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._gone()
        return {"type": "http.disconnect"}

    async def _gone(self) -> None:
        if self._closed.is_set():
            return
        left = asyncio.ensure_future(self._receive())
        closed = asyncio.ensure_future(self._closed.wait())
        try:
            await asyncio.wait({left, closed}, return_when=asyncio.FIRST_COMPLETED)
            self.client_left = self.client_left or left.done()
        finally:
            left.cancel()
            closed.cancel()
