"""The gateway's access log: one JSON object per leg of a request on stdout. Never a body, a query or a credential.

A redirected request has two legs with one ``request_id``; the first ends with status 307 and ``internal_redirect``.
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


def make_access_log() -> list[Message]:
    """Return the HCM's ``access_log``."""
    return [
        extension(
            "envoy.access_loggers.stdout",
            "access_loggers.stream.v3.StdoutAccessLog",
            log_format={"json_format": _FIELDS},
        )
    ]
