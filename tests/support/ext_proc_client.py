"""Speaks to a guard as Envoy would, message by message: for what Envoy itself cannot be brought to send."""

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
from envoy.config.core.v3 import base_pb2
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc
from envoy.service.ext_proc.v3 import external_processor_pb2_grpc
from tandem_contract import headers

MOST_BYTES = 64 << 20


def request_headers(*, end: bool = False, **values: str) -> Any:
    """Return a request's headers; ``_`` in a name stands for ``-``, ``method`` and ``path`` for the pseudo-headers."""
    named = {f":{name}" if name in ("method", "path") else name.replace("_", "-"): v for name, v in values.items()}
    return ext_proc.ProcessingRequest(
        request_headers=ext_proc.HttpHeaders(headers=_header_map(named), end_of_stream=end)
    )


def request_body(body: bytes) -> Any:
    return ext_proc.ProcessingRequest(request_body=ext_proc.HttpBody(body=body, end_of_stream=True))


def response_headers(status: int, **values: str) -> Any:
    named = {":status": str(status), **{name.replace("_", "-"): value for name, value in values.items()}}
    return ext_proc.ProcessingRequest(response_headers=ext_proc.HttpHeaders(headers=_header_map(named)))


def response_body(body: bytes, *, end: bool) -> Any:
    return ext_proc.ProcessingRequest(response_body=ext_proc.HttpBody(body=body, end_of_stream=end))


def response_trailers(**values: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in values.items()}
    return ext_proc.ProcessingRequest(response_trailers=ext_proc.HttpTrailers(trailers=_header_map(named)))


def usual_headers(**changes: str) -> Any:
    """Return the headers of a request that a guard of ``guarded_house`` sends to ``cloud-a``."""
    usual = {
        "method": "POST",
        "path": "/app-cold/v1/chat/completions",
        "content_length": "40",
        headers.DEPLOYMENT: "team/cold",
        headers.HOP: "hop",
    }
    return request_headers(**{name: value for name, value in {**usual, **changes}.items() if value})


def talk(socket: Path, messages: Iterator[Any] | list[Any], metadata: Mapping[str, str]) -> list[Any]:
    """Return the guard's replies; ``metadata`` is what the listener's configuration says of itself."""
    options = [("grpc.max_send_message_length", MOST_BYTES), ("grpc.max_receive_message_length", MOST_BYTES)]
    with grpc.insecure_channel(f"unix:{socket}", options=options) as channel:
        stub = external_processor_pb2_grpc.ExternalProcessorStub(channel)
        return list(stub.Process(iter(messages), metadata=list(metadata.items()), timeout=30))


@asynccontextmanager
async def held_open(
    socket: Path, messages: Iterable[Any], metadata: Mapping[str, str]
) -> AsyncIterator[list[tuple[Any, Any]]]:
    """Begin a stream with each message and keep all of them open; return the calls with their first replies."""
    async with grpc.aio.insecure_channel(f"unix:{socket}") as channel:
        stub, calls = external_processor_pb2_grpc.ExternalProcessorStub(channel), []
        for message in messages:
            call = stub.Process(metadata=list(metadata.items()), timeout=60)
            await call.write(message)
            calls.append((call, await call.read()))
        yield calls


def denial(reply: Any) -> str:
    """Return the word of a denial."""
    assert reply.WhichOneof("response") == "immediate_response", reply
    assert reply.immediate_response.status.code == 503
    return _set_by(reply.immediate_response.headers)[headers.DENIED]


def mutated(response: Any) -> dict[str, str]:
    """Return the headers that a reply sets."""
    return _set_by(response.header_mutation)


def _set_by(mutation: Any) -> dict[str, str]:
    return {option.header.key: option.header.raw_value.decode() for option in mutation.set_headers}


def _header_map(values: Mapping[str, str]) -> Any:
    return base_pb2.HeaderMap(
        headers=[base_pb2.HeaderValue(key=key, raw_value=value.encode()) for key, value in values.items()]
    )
