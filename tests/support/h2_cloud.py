"""A provider that answers every request with the same bytes over HTTP/2, and ends with trailers. Frames by hand.

No library here speaks HTTP/2 with trailers as a server; for one fixed answer a few frames are enough.
"""

import asyncio
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tandem_lab.certificates import Authority

from support.loop_thread import LoopThread

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEAD = struct.Struct(">BHBBI")
_DATA, _HEADERS, _SETTINGS, _PING = 0, 1, 4, 6
_ACK, _END_STREAM, _END_HEADERS = 0x1, 0x1, 0x4


@dataclass
class H2Cloud:
    """What it answers may be changed at any time."""

    port: int
    ca_pem: str
    key: str = "sk-of-an-h2-provider"
    content_type: str = "application/json"
    body: tuple[bytes, ...] = (b"{}",)
    """One DATA frame each."""

    connections: list[asyncio.StreamWriter] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}/v1"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer every stream of a connection once its request is whole."""
        self.connections.append(writer)
        try:
            await reader.readexactly(len(_PREFACE))
            writer.write(_frame(_SETTINGS, 0, 0, b""))
            while True:
                kind, flags, stream, payload = await _read(reader)
                if kind in (_SETTINGS, _PING) and not flags & _ACK:
                    writer.write(_frame(kind, _ACK, 0, payload if kind == _PING else b""))
                if kind in (_DATA, _HEADERS) and flags & _END_STREAM:
                    self._answer(writer, stream)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def _answer(self, writer: asyncio.StreamWriter, stream: int) -> None:
        head = {":status": "200", "content-type": self.content_type}
        writer.write(_frame(_HEADERS, _END_HEADERS, stream, _packed(head)))
        for piece in self.body:
            writer.write(_frame(_DATA, 0, stream, piece))
        trailers = _packed({"x-checksum": "abc", "x-tandem-destination": "made-up"})
        writer.write(_frame(_HEADERS, _END_HEADERS | _END_STREAM, stream, trailers))


@contextmanager
def h2_cloud(folder: Path) -> Iterator[H2Cloud]:
    """Serve ``https://localhost:<port>``, with HTTP/2 alone on offer."""
    authority = Authority()
    tls = authority.server_context(folder, "localhost")
    tls.set_alpn_protocols(["h2"])
    cloud = H2Cloud(0, authority.ca_pem)

    async def start() -> asyncio.Server:
        return await asyncio.start_server(cloud.serve, "127.0.0.1", 0, ssl=tls)

    async def stop(server: asyncio.Server) -> None:
        server.close()
        for connection in cloud.connections:
            connection.transport.abort()

    with LoopThread() as thread:
        server = thread.run(start())
        cloud.port = server.sockets[0].getsockname()[1]
        try:
            yield cloud
        finally:
            thread.run(stop(server))


async def _read(reader: asyncio.StreamReader) -> tuple[int, int, int, bytes]:
    high, low, kind, flags, stream = _HEAD.unpack(await reader.readexactly(_HEAD.size))
    return kind, flags, stream & 0x7FFFFFFF, await reader.readexactly(high << 16 | low)


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    size = len(payload)
    return _HEAD.pack(size >> 16, size & 0xFFFF, kind, flags, stream) + payload


def _packed(headers: Mapping[str, str]) -> bytes:
    """Return headers as HPACK's literals that nobody has to remember; all are shorter than 127 bytes."""
    return b"".join(
        b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
        for name, value in headers.items()
    )
