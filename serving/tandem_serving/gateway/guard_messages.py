"""The guard's words in ext_proc's protobuf, and back. Called by the servicer; decides nothing."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from envoy.config.core.v3 import base_pb2
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc
from envoy.type.v3 import http_status_pb2
from tandem_contract.openai_error import openai_error

Reply = Any  # ext_proc.ProcessingResponse: the generated modules have no types
_OVERWRITE: Final = base_pb2.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD


def headers_of(header_map: Any) -> dict[str, str]:
    """Return a header map as a dict. What came twice is joined, so that no one of the two decides alone."""
    found: dict[str, str] = {}
    for header in header_map.headers:
        value = (header.raw_value or header.value.encode()).decode(errors="surrogateescape")
        found[header.key] = f"{found[header.key]},{value}" if header.key in found else value
    return found


def fetch_body() -> Reply:
    """Return the reply to a request's headers that changes nothing: the body may come."""
    return ext_proc.ProcessingResponse(request_headers=ext_proc.HeadersResponse())


def send(body: bytes, *, set_headers: Mapping[str, str], remove: Iterable[str]) -> Reply:
    """Return the reply to a request's body: another body and other headers."""
    return ext_proc.ProcessingResponse(
        request_body=ext_proc.BodyResponse(
            response=ext_proc.CommonResponse(
                header_mutation=_mutation(set_headers, remove), body_mutation=ext_proc.BodyMutation(body=body)
            )
        )
    )


def answer_headers(*, set_headers: Mapping[str, str], remove: Iterable[str]) -> Reply:
    """Return the reply to an answer's headers."""
    return ext_proc.ProcessingResponse(
        response_headers=ext_proc.HeadersResponse(
            response=ext_proc.CommonResponse(header_mutation=_mutation(set_headers, remove))
        )
    )


def answer_body(chunk: bytes, passed: bytes) -> Reply:
    """Return the reply to a chunk of an answer of which ``passed`` goes on."""
    if passed == chunk:
        return ext_proc.ProcessingResponse(response_body=ext_proc.BodyResponse())
    mutation = ext_proc.BodyMutation(body=passed) if passed else ext_proc.BodyMutation(clear_body=True)
    return ext_proc.ProcessingResponse(
        response_body=ext_proc.BodyResponse(response=ext_proc.CommonResponse(body_mutation=mutation))
    )


def no_trailers(names: Iterable[str]) -> Reply:
    """Return the reply to an answer's trailers: none of them goes on."""
    mutation = _mutation({}, sorted(names))
    return ext_proc.ProcessingResponse(response_trailers=ext_proc.TrailersResponse(header_mutation=mutation))


def stop(status: int, *, kind: str, code: str, message: str, set_headers: Mapping[str, str]) -> Reply:
    """Return the reply that ends the attempt with an error of the shape that OpenAI's clients know."""
    body = openai_error(message, kind=kind, code=code)
    return ext_proc.ProcessingResponse(
        immediate_response=ext_proc.ImmediateResponse(
            status=http_status_pb2.HttpStatus(code=status),
            headers=_mutation({"content-type": "application/json", **set_headers}, ()),
            body=json.dumps(body).encode(),
            details=f"guard_{code}",
        )
    )


def _mutation(set_headers: Mapping[str, str], remove: Iterable[str]) -> Any:
    return ext_proc.HeaderMutation(
        set_headers=[
            base_pb2.HeaderValueOption(
                header=base_pb2.HeaderValue(key=name, raw_value=value.encode()), append_action=_OVERWRITE
            )
            for name, value in set_headers.items()
        ],
        remove_headers=list(remove),
    )
