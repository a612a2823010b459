"""Errors of the gateway itself, in OpenAI's shape. Used by the gateway's listener.

Only filtered mappers: a global format would rewrap everything. A direct response of `routes` is plain text and becomes
the message of the mapper that its status selects; the first mapper that matches wins.
"""

from collections.abc import Sequence
from typing import Final

from tandem_contract import headers
from tandem_contract.openai_error import openai_error

from tandem_operator.routing.proto import Message, header

_BODY: Final = "%LOCAL_REPLY_BODY%"

_PRIOR: Final = f"request.headers['{headers.PRIOR_ATTEMPTS}']"
ATTEMPTS: Final = (
    f"%CEL(int(upstream.request_attempt_count) + ('{headers.PRIOR_ATTEMPTS}' in request.headers ? int({_PRIOR}) : 0))%"
)
"""Envoy's own count begins again at a redirect; the request carries what was before."""


_NOBODY: Final = (
    "No destination could answer this request now, or was allowed to: a cloud may be closed to it by its data class, "
    "its namespace or the regions of its policy. Try again shortly; the gateway's log says for "
    f"{headers.REQUEST_ID} %REQ({headers.REQUEST_ID}):64% who was asked and what was denied."
)
"""A client is not told which: the word is for whoever reads the log."""


def make_local_replies() -> Message:
    """Return the HCM's ``local_reply_config``."""
    return {
        "mappers": [
            _mapper(
                {"response_flag_filter": {"flags": ["NC"]}},
                message=f"The model `%REQ({headers.REQUESTED}):100%` does not exist or is not served here.",
                code="model_not_found",
            ),
            _mapper(_status("EQ", 404), message=_BODY, code="unknown_url"),
            _mapper(_status("EQ", 405), message=_BODY, code="method_not_supported"),
            _mapper(_status("EQ", 408), message="The request was not received in time.", code="request_timeout"),
            _mapper(_status("EQ", 413), message="The request body is larger than 16 MiB.", code="request_too_large"),
            _mapper(_status("EQ", 400), message=_BODY, code="invalid_request"),
            _mapper(_status("EQ", 431), message="The request's headers are too large.", code="headers_too_large"),
            _mapper(
                _status("EQ", 503),
                message=_NOBODY,
                code="unavailable",
                kind="server_error",
                extra=[header("retry-after", "1")],
            ),
            _mapper(
                _status("EQ", 504),
                message="The answer took longer than this gateway waits.",
                code="timeout",
                kind="server_error",
                extra=[header("retry-after", "1")],
            ),
            _mapper(_status("GE", 500), message=_BODY, code="internal_error", kind="server_error"),
            _mapper(_status("GE", 400), message=_BODY, code="invalid_request"),
        ]
    }


def _status(operator: str, value: int) -> Message:
    comparison = {"op": operator, "value": {"default_value": value, "runtime_key": "tandem.unused"}}
    return {"status_code_filter": {"comparison": comparison}}


def _mapper(
    accepts: Message, *, message: str, code: str, kind: str = "invalid_request_error", extra: Sequence[Message] = ()
) -> Message:
    return {
        "filter": accepts,
        "body_format_override": {
            "content_type": "application/json",
            "json_format": openai_error(message, kind=kind, code=code),
        },
        "headers_to_add": [
            header(headers.DESTINATION, headers.GATEWAY),
            header(headers.ATTEMPTS, ATTEMPTS),
            # For what was no request at all; else Envoy puts the request's own id here.
            header(headers.REQUEST_ID, "%UNIQUE_ID%", "ADD_IF_ABSENT"),
            *extra,
        ],
    }
