"""The middleware's own answers, shaped as OpenAI's. The door and the gate send them; vLLM's own are passed through."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from starlette.types import Scope, Send
from tandem_contract import headers
from tandem_contract.headers import Reason
from tandem_contract.openai_error import openai_error

_MOST_RETRY_AFTER_SECONDS: Final = 60

REDIRECT_AUTHORITY: Final = "tandem.internal"
"""Any host does: the gateway takes all of them. A client's own may be none at all, which Envoy would not follow."""


@dataclass(frozen=True)
class Answer:
    """A whole response."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    async def send(self, send: Send) -> None:
        named = {"content-type": "application/json", "content-length": str(len(self.body)), **self.headers}
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in named.items()]
        await send({"type": "http.response.start", "status": self.status, "headers": raw})
        await send({"type": "http.response.body", "body": self.body, "more_body": False})


def error(status: int, code: str, message: str, extra: Mapping[str, str] | None = None) -> Answer:
    """Return an error as OpenAI's clients expect it."""
    kind = "invalid_request_error" if status < 429 else "rate_limit_error" if status == 429 else "server_error"
    body = openai_error(message, kind=kind, code=code)
    return Answer(status, json.dumps(body).encode(), extra or {})


def not_found(path: str) -> Answer:
    return error(404, "not_found", f"Nothing answers at {path[:200]}.")


def method_not_allowed(allowed: str) -> Answer:
    return error(405, "method_not_allowed", f"Use {allowed} here.", {"allow": allowed})


def too_large(most_bytes: int) -> Answer:
    return error(413, "request_too_large", f"The request is larger than {most_bytes} bytes.")


def elsewhere(predicted_seconds: float | None) -> Answer:
    """Return a 503 that the gateway follows up: the client sees it only when nothing else is left."""
    return error(
        503,
        "replica_busy",
        "This replica cannot answer in time.",
        {"retry-after": str(retry_after_seconds(predicted_seconds))},
    )


def late() -> Answer:
    """Return a 503 for a first token that did not come within its bound."""
    return error(503, "first_token_late", "The model gave no first token in time.", {"retry-after": "1"})


def unavailable(message: str) -> Answer:
    return error(503, "replica_unavailable", message, {"retry-after": "1"})


def failed() -> Answer:
    return error(500, "replica_failed", "The model's server failed on this request.")


def full(predicted_seconds: float | None) -> Answer:
    """Return a 429 that the gateway must not retry, so that Retry-After reaches the client."""
    return error(
        429,
        "rate_limit_exceeded",
        "The model is busy, and no more requests can wait.",
        {"retry-after": str(retry_after_seconds(predicted_seconds)), headers.RATE_LIMITED: "true"},
    )


def redirect(location: str, *, token: str, attempts: int) -> Answer:
    """Return the 307 that the gateway itself follows to a cloud; no client ever sees it."""
    extra = {
        "location": location,
        headers.REASON: Reason.OVERFLOW.value,
        headers.TOKEN: token,
        headers.PRIOR_ATTEMPTS: str(attempts),
    }
    return Answer(307, b"", extra)


def retry_after_seconds(predicted_seconds: float | None) -> int:
    return min(max(1, math.ceil(predicted_seconds or 1)), _MOST_RETRY_AFTER_SECONDS)


def absolute_url(scope: Scope, path: str) -> str:
    """Return where the gateway should look again: ``path`` is without the app's prefix."""
    named = {name: value.decode("latin-1") for name, value in scope["headers"]}
    scheme = named.get(b"x-forwarded-proto", scope.get("scheme", "http"))
    query = scope.get("query_string", b"").decode("latin-1")
    return f"{scheme}://{REDIRECT_AUTHORITY}{path}" + (f"?{query}" if query else "")
