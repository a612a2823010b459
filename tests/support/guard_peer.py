"""A small ext_proc service for tests of the routes alone. The real guard has its own tests and the matrix.

It lets through what is not marked ``x-tandem-data-class: Restricted``, points the request at a provider's path and
says in the answer where it came from. What it was sent is recorded: that is what tests of the way out look at. Like the
real one it takes the request's id off; ``TRACE`` tells tests which request it was that arrived at a cloud. Everything
else it leaves, so that tests see what Envoy's own filters do without it.
"""

from collections.abc import Iterator, Sequence
from concurrent import futures
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
from envoy.config.core.v3 import base_pb2
from envoy.service.ext_proc.v3 import external_processor_pb2, external_processor_pb2_grpc
from envoy.type.v3 import http_status_pb2
from tandem_contract import headers

MAX_MESSAGE_BYTES = 20 << 20
TRACE = "x-peer-trace"


@dataclass
class Judged:
    """One request as the guard saw it."""

    endpoint: str
    headers: dict[str, str]
    body: bytes = b""


@dataclass
class GuardPeer(external_processor_pb2_grpc.ExternalProcessorServicer):  # type: ignore[misc]  # no types published
    """Serves on a Unix socket."""

    socket: Path
    judged: list[Judged] = field(default_factory=list)

    def __enter__(self) -> Self:
        self.start()
        return self

    def start(self) -> None:
        options = [
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ]
        self._server = grpc.server(futures.ThreadPoolExecutor(max_workers=256), options=options)
        external_processor_pb2_grpc.add_ExternalProcessorServicer_to_server(self, self._server)
        self._server.add_insecure_port(f"unix:{self.socket}")
        self._server.start()

    def stop(self) -> None:
        self._server.stop(0).wait()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def Process(self, requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:  # noqa: N802  gRPC's name
        metadata = {item.key: item.value for item in context.invocation_metadata()}
        judged = Judged(metadata.get(headers.ENDPOINT, ""), {})
        digest = metadata.get(headers.DESTINATION_DIGEST, "")
        for request in requests:
            kind = request.WhichOneof("request")
            if kind == "request_headers":
                judged.headers = _read(request.request_headers.headers)
                self.judged.append(judged)
                if judged.headers.get(headers.DATA_CLASS) == "Restricted":
                    yield _deny()
                    return
                yield external_processor_pb2.ProcessingResponse(
                    request_headers=_mutate(
                        "HeadersResponse",
                        {":path": "/v1/seen", ":authority": "cloud.example", "authorization": "Bearer cloud"},
                    )
                )
            elif kind == "request_body":
                judged.body = request.request_body.body
                said = {headers.DESTINATION_DIGEST: digest, TRACE: judged.headers.get(headers.REQUEST_ID, "")}
                yield external_processor_pb2.ProcessingResponse(
                    request_body=_mutate("BodyResponse", said, remove=[headers.REQUEST_ID])
                )
            elif kind == "response_headers":
                said = {
                    headers.DESTINATION: f"cloud/{judged.endpoint}",
                    headers.REASON: judged.headers.get(headers.REASON, "failover"),
                }
                yield external_processor_pb2.ProcessingResponse(response_headers=_mutate("HeadersResponse", said))
            elif kind == "response_trailers":
                yield external_processor_pb2.ProcessingResponse(
                    response_trailers=external_processor_pb2.TrailersResponse()
                )
            else:
                yield external_processor_pb2.ProcessingResponse(response_body=_mutate("BodyResponse", {}))


def _read(header_map: Any) -> dict[str, str]:
    return {header.key: (header.raw_value or header.value.encode()).decode() for header in header_map.headers}


def _mutate(message: str, set_headers: dict[str, str], *, remove: Sequence[str] = ()) -> Any:
    common = external_processor_pb2.CommonResponse(header_mutation=_header_mutation(set_headers, remove))
    return getattr(external_processor_pb2, message)(response=common)


def _header_mutation(set_headers: dict[str, str], remove: Sequence[str] = ()) -> Any:
    return external_processor_pb2.HeaderMutation(
        remove_headers=remove,
        set_headers=[
            base_pb2.HeaderValueOption(
                header=base_pb2.HeaderValue(key=key, raw_value=value.encode()),
                append_action=base_pb2.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD,
            )
            for key, value in set_headers.items()
        ],
    )


def _deny() -> Any:
    return external_processor_pb2.ProcessingResponse(
        immediate_response=external_processor_pb2.ImmediateResponse(
            status=http_status_pb2.HttpStatus(code=503),
            headers=_header_mutation({headers.DENIED: "data_class"}),
            body=b'{"error":{"message":"denied"}}',
            details="guard_denied_data_class",
        )
    )
