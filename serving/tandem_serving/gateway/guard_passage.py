"""A request that left, and its answer on the way back. Made by the exchange when the cloud's request is complete.

It counts how the passage ends, whoever ends it: the cloud, the client, or the guard.
"""

from collections.abc import Mapping
from typing import Any

import structlog
from tandem_contract import headers

from tandem_serving.gateway import guard_answer, guard_messages
from tandem_serving.gateway.guard_body import Outbound
from tandem_serving.gateway.guard_decide import RequestFacts, Send
from tandem_serving.gateway.guard_request import AttemptRequest
from tandem_serving.gateway.guard_surroundings import Surroundings
from tandem_serving.gateway.sse import Answer, EventStream, WholeAnswer

_log = structlog.get_logger("tandem.guard")


class Passage:
    """``over`` once a reply has ended it."""

    def __init__(
        self, surroundings: Surroundings, request: AttemptRequest, facts: RequestFacts, send: Send, outbound: Outbound
    ) -> None:
        self._all = surroundings
        self._request = request
        self._facts = facts
        self._send = send
        self._hides_usage = outbound.stream and not outbound.wants_usage
        self._sent_at = surroundings.clock()
        self._status: int | None = None
        self._answer: Answer | None = None
        self.over = False

    def begin(self, answer: Mapping[str, str]) -> Any:
        """Return the reply to the answer's headers."""
        self._status = headers.count(answer.get(":status"), unknown=502)
        self._all.meter.sent(self._send, code=str(self._status))
        if not self._may_pass(self._status):
            return self._refuse(self._status)
        if 200 <= self._status < 300:
            self._answer = self._reader(answer)
        return guard_messages.answer_headers(
            set_headers={
                headers.DESTINATION: f"cloud/{self._send.endpoint}",
                headers.REASON: self._send.reason.value,
                headers.ATTEMPTS: str(self._request.attempts()),
            },
            remove=guard_answer.dropped(answer, shortened=self._hides_usage),
        )

    def pass_on(self, chunk: bytes, *, last: bool) -> Any:
        """Return the reply to a piece of the answer's body."""
        passed = self._answer.feed(chunk, last=last) if self._answer else chunk
        return guard_messages.answer_body(chunk, passed)

    def end(self, trailers: Mapping[str, str]) -> Any:
        """Return the reply to trailers, behind which no body can follow: an unfinished event ends here, as in SSE."""
        if self._answer:
            self._answer.feed(b"", last=True)
        return guard_messages.no_trailers(trailers)

    def close(self) -> None:
        """Count how it ended."""
        if self._status is None:
            self._all.meter.sent(self._send, code="aborted")
        elif self._answer is not None:
            self._all.meter.used(self._send, self._answer.tokens)
        self._all.meter.ended(self._send, seconds=self._all.clock() - self._sent_at)

    def _may_pass(self, status: int) -> bool:
        if status in guard_answer.REQUEST_FAULTS:
            return self._all.nobody_is_left(self._facts)
        return guard_answer.passes(status)

    def _reader(self, answer: Mapping[str, str]) -> Answer:
        is_stream = answer.get("content-type", "").startswith("text/event-stream")
        readable = answer.get("content-encoding", "identity") == "identity"
        return EventStream(hide_usage=self._hides_usage) if is_stream and readable else WholeAnswer()

    def _refuse(self, status: int) -> Any:
        tell = _log.info if status in guard_answer.REQUEST_FAULTS else _log.warning
        tell("cloud refused", status=status, **self._request.for_the_log())
        self.over = True
        return guard_messages.stop(
            502,
            kind="server_error",
            code="cloud_refused",
            message=f"No cloud answered: {guard_answer.refusal(status)}.",
            set_headers={headers.ATTEMPTS: str(self._request.attempts())},
        )
