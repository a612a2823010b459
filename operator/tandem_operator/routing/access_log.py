"""The gateway's access log: JSON objects on stdout. Never a body, a query or a credential.

One for each leg of a request: a redirected one has two with one ``request_id``, the first ends with status 307 and
``internal_redirect``. And one for each attempt at a cloud: its ``details`` are ``guard_denied_<word>`` when it did not
leave.
"""

from typing import Final

from tandem_contract import headers

from tandem_operator.routing.proto import Message, extension

_FIELDS: Final = {
    "time": "%START_TIME%",
    "request_id": f"%REQ({headers.REQUEST_ID})%",
    "method": "%REQ(:METHOD)%",
    "path": "%PATH(NQ:ORIG_OR_PATH)%",
    "model": f"%REQ({headers.REQUESTED}):128%",
    "deployment": f"%REQ({headers.DEPLOYMENT})%",
    "stream": f"%REQ({headers.STREAM}):8%",
    "status": "%RESPONSE_CODE%",
    "destination": f"%RESP({headers.DESTINATION})%",
    "reason": f"%RESP({headers.REASON})%",
    "redirected": f"%REQ({headers.REASON})%",
    "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "flags": "%RESPONSE_FLAGS%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "replica": "%METADATA(UPSTREAM_HOST:tandem:replica)%",
    "upstream": "%UPSTREAM_HOST%",
    "duration_ms": "%DURATION%",
    "first_byte_ms": "%RESPONSE_DURATION%",
    "bytes_received": "%BYTES_RECEIVED%",
    "bytes_sent": "%BYTES_SENT%",
    "client": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
}

_KEPT_ID: Final = "tandem.request_id"
"""The id's name beside the request, where no client, guard or provider reads or writes."""

_WAY_OUT_FIELDS: Final = {
    "time": "%START_TIME%",
    "request_id": f"%FILTER_STATE({_KEPT_ID}:PLAIN)%",
    "status": "%RESPONSE_CODE%",
    "flags": "%RESPONSE_FLAGS%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "upstream": "%UPSTREAM_HOST%",
    "duration_ms": "%DURATION%",
    "bytes_received": "%BYTES_RECEIVED%",
    "bytes_sent": "%BYTES_SENT%",
}


def make_access_log() -> list[Message]:
    """Return the ``access_log`` of the listener that clients reach."""
    return _to_stdout(_FIELDS)


def keep_request_id() -> Message:
    """Return the filter that keeps the id of a request for the log: what the guard takes off is not logged.

    It stands before the guard, touches no header and decides nothing.
    """
    return extension(
        "envoy.filters.http.set_filter_state",
        "filters.http.set_filter_state.v3.Config",
        on_request_headers=[
            {
                "object_key": _KEPT_ID,
                "factory_key": "envoy.string",
                "format_string": {"text_format_source": {"inline_string": f"%REQ({headers.REQUEST_ID})%"}},
            }
        ],
    )


def make_way_out_log(endpoint: str) -> list[Message]:
    """Return the ``access_log`` of an endpoint's internal listener; it needs `keep_request_id` there."""
    return _to_stdout({**_WAY_OUT_FIELDS, "endpoint": endpoint.replace("%", "%%")})


def _to_stdout(fields: Message) -> list[Message]:
    return [
        extension(
            "envoy.access_loggers.stdout",
            "access_loggers.stream.v3.StdoutAccessLog",
            log_format={"json_format": fields},
        )
    ]
