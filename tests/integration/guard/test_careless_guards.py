"""Guards that are there and do not decide: hung, or ending their stream well before a verdict. Nothing leaves.

Envoy takes a stream that ends well for "nothing to say", whatever ``failure_mode_allow`` says: the way out must ask for
the guard's own word.
"""

import dataclasses
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from envoy.service.ext_proc.v3 import external_processor_pb2 as ext_proc
from support.guard_peer import GuardPeer
from support.guarded_house import House, a_gateway
from tandem_operator.routing import Bounds

NOTHING_TO_CHANGE = {
    "request_headers": ext_proc.ProcessingResponse(request_headers=ext_proc.HeadersResponse()),
    "request_body": ext_proc.ProcessingResponse(request_body=ext_proc.BodyResponse()),
    "response_headers": ext_proc.ProcessingResponse(response_headers=ext_proc.HeadersResponse()),
    "response_body": ext_proc.ProcessingResponse(response_body=ext_proc.BodyResponse()),
}


@dataclasses.dataclass
class CarelessGuard(GuardPeer):
    """Says "nothing to change" to the first ``answers`` messages, then ends its stream, or hangs until released."""

    answers: int = 0
    hangs: bool = False
    released: threading.Event = dataclasses.field(default_factory=threading.Event)

    def Process(self, requests: Iterator[Any], _: grpc.ServicerContext) -> Iterator[Any]:  # noqa: N802  gRPC's name
        for number, request in enumerate(requests):
            if number >= self.answers:
                break
            yield NOTHING_TO_CHANGE[request.WhichOneof("request")]
        if self.hangs:
            self.released.wait(60)


@pytest.fixture(scope="module")
def careless(running_house: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[House, Path]]:
    """The usual clouds and replica behind an Envoy that waits no more than a moment for its guard."""
    sockets = Path(tempfile.mkdtemp(prefix="tandem-"))
    socket, folder = sockets / "guard.sock", tmp_path_factory.mktemp("careless")
    house = running_house
    with a_gateway(folder, socket, house.clouds, house.replica, Bounds(guard=0.3)) as gateway:
        yield dataclasses.replace(house, gateway=gateway), socket
    shutil.rmtree(sockets)


@pytest.mark.parametrize("hangs", [False, True], ids=["ends well", "hangs"])
@pytest.mark.parametrize("answers", [0, 1, 2], ids=["at once", "after the headers", "after the body"])
def test_without_a_guards_own_word_nothing_leaves_and_local_answers(
    careless: tuple[House, Path], answers: int, hangs: bool
) -> None:
    house, socket = careless
    house.reset()
    house.replica.behave("/app-hello", "saturated")
    guard = CarelessGuard(socket, answers=answers, hangs=hangs)
    with guard:
        answer = house.chat("hello")
        guard.released.set()
    assert (answer.status_code, answer.headers["x-tandem-destination"]) == (200, "local")
    assert house.received == 0
