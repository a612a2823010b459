"""What can be wrong with a cloud. Chosen by an admin call (all requests) or by a request's own ``x_fault``."""

import asyncio
from enum import StrEnum
from typing import Any, Final

from aiohttp import web

ERRORS: Final = {
    400: ("invalid_request_error", "Unsupported value: 'temperature' does not support 7 with this model."),
    401: ("invalid_request_error", "Incorrect API key provided: {hint}. You can find your key on your account page."),
    403: ("permission_error", "Key {hint} of organization org-stand-in may not use this model."),
    404: ("invalid_request_error", "The model does not exist or organization org-stand-in has no access to it."),
    429: ("rate_limit_error", "Rate limit reached for organization org-stand-in. Try again in 7s."),
    500: ("server_error", "The server had an error while processing your request."),
    503: ("server_error", "The engine is currently overloaded, please try again later."),
}


class Fault(StrEnum):
    """Every way in which the stand-in can fail; a three-digit status is one too."""

    HANG = "hang"
    """No answer until the client goes away."""

    HANG_MID_STREAM = "hang_mid_stream"
    """Headers and one event, then nothing more."""

    SLOW = "slow"
    """A fifth of a second before each word."""

    DROP = "drop"
    """The connection is closed instead of an answer."""

    DROP_MID_STREAM = "drop_mid_stream"
    NO_USAGE = "no_usage"
    """Usage is not reported, whatever was asked."""

    COALESCED = "coalesced"
    """All events of a stream in one write."""

    CRUMBS = "crumbs"
    """A stream in writes of seven bytes."""

    NOISY = "noisy"
    """Answers carry headers that would steer the gateway or tell of the account."""


NOISE: Final = {
    "x-tandem-destination": "local",
    "x-tandem-reason": "made-up",
    "x-tandem-token": "made-up",
    "x-envoy-ratelimited": "true",
    "x-envoy-attempt-count": "99",
    "set-cookie": "session=stand-in",
    "openai-organization": "org-stand-in",
    "x-ratelimit-remaining-requests": "1",
    "x-request-id": "req_of_the_cloud",
    "strict-transport-security": "max-age=1",
}


def error(status: int, hint: str = "", **headers: str) -> web.Response:
    """Return an error as a provider words it: with a hint of the key in it, where real ones have one."""
    kind, message = ERRORS.get(status, ("server_error", f"status {status}"))
    body: dict[str, Any] = {
        "error": {"message": message.format(hint=hint), "type": kind, "param": None, "code": str(status)}
    }
    if status == 429:
        headers["retry-after"] = "7"
    return web.json_response(body, status=status, headers=headers)


async def before_the_answer(fault: str, request: web.Request, hint: str) -> web.Response | None:
    """Return the failure that takes the place of an answer, None when an answer is to come."""
    if fault.isdigit():
        status = int(fault)
        if 300 <= status < 400:
            return web.Response(status=status, headers={"location": "https://elsewhere.example/v1/", **NOISE})
        return error(status, hint)
    if fault == Fault.HANG:
        await asyncio.Event().wait()
    if fault == Fault.DROP:
        drop(request)
    return None


def drop(request: web.Request) -> None:
    """Close the connection under the answer."""
    if request.transport is not None:
        request.transport.abort()
