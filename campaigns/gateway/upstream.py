"""The fastest honest upstream at hand: uvloop, one answer for everything. Not Envoy: that refuses the Host of a health
check, a cluster's name. ``python upstream.py PORT``.
"""

import asyncio
import json
import re
import sys
from typing import cast

import uvloop

BODY = json.dumps(
    {"id": "x", "object": "chat.completion", "choices": [{"message": {"content": "word " * 60}}]}
).encode()
HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
    b"x-tandem-destination: local\r\nx-tandem-attempts: 1\r\n\r\n"  # as a replica: the gateway retries a stranger
)
ANSWER = HEAD % len(BODY) + BODY
LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
CHUNKED = re.compile(rb"transfer-encoding: *chunked", re.IGNORECASE)


class Answering(asyncio.Protocol):
    def __init__(self) -> None:
        self.left = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's own, no subclass

    def data_received(self, data: bytes) -> None:
        self.left += data
        while (size := self.whole()) is not None:
            self.left = self.left[size:]
            self.transport.write(ANSWER)

    def whole(self) -> int | None:
        """Return how long the first request is, None while it is not all there."""
        end = self.left.find(b"\r\n\r\n")
        if end < 0:
            return None
        head = self.left[:end]
        if CHUNKED.search(head):
            last = self.left.find(b"\r\n0\r\n\r\n", end)
            return None if last < 0 else last + 7
        length = LENGTH.search(head)
        size = end + 4 + (int(length[1]) if length else 0)
        return size if len(self.left) >= size else None


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
