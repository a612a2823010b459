"""A client of the gateway, for tests: asks, and keeps what came back."""

import json
import secrets
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

CHAT = "/v1/chat/completions"
_PATIENCE_SECONDS = 60
_NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""The gateway speaks plain HTTP here; loading the system's roots for every client would take longer than the test."""


@dataclass(frozen=True)
class Answer:
    """One answer, whole. ``cut`` = it began and did not end."""

    status: int
    headers: Mapping[str, str]
    text: str
    request_id: str
    cut: bool = False

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def destination(self) -> str | None:
        return self.headers.get("x-tandem-destination")

    @property
    def reason(self) -> str | None:
        return self.headers.get("x-tandem-reason")

    @property
    def attempts(self) -> int:
        return int(self.headers["x-tandem-attempts"])

    @property
    def error(self) -> dict[str, Any]:
        """Return the OpenAI error; fails unless it has exactly that shape."""
        body = self.json
        assert set(body) == {"error"}, body
        error: dict[str, Any] = body["error"]
        assert set(error) == {"message", "type", "param", "code"}, error
        assert self.headers["content-type"].startswith("application/json")
        return error


async def ask(
    url: str,
    model: Any = None,
    *,
    path: str = CHAT,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    method: str = "POST",
    **fields: Any,
) -> Answer:
    """Ask for a chat completion; ``body`` replaces the JSON made of ``model`` and ``fields``."""
    content = body if body is not None else json.dumps({"model": model, **fields}).encode()
    request_id = f"test-{secrets.token_hex(8)}"
    said = {"content-type": "application/json", "x-request-id": request_id, **(headers or {})}
    async with httpx.AsyncClient(timeout=_PATIENCE_SECONDS, verify=_NO_AUTHORITIES) as client:
        return await send(client, client.build_request(method, url + path, content=content, headers=said))


async def send(client: httpx.AsyncClient, request: httpx.Request) -> Answer:
    """Return the answer, as far as it came."""
    answer = await client.send(request, stream=True)
    received = bytearray()
    try:
        async for chunk in answer.aiter_raw():
            received += chunk
        cut = False
    except (httpx.RemoteProtocolError, httpx.ReadError):
        cut = True
    finally:
        await answer.aclose()
    return Answer(answer.status_code, answer.headers, received.decode(), request.headers["x-request-id"], cut)
