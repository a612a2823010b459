"""One attempt towards a cloud, message by message, as Envoy's ext_proc tells it. One object per stream.

The servicer feeds it and writes its replies. Headers are judged first, so that a body that must stay is never fetched;
large bodies wait for room before they are fetched, and are rewritten on another thread.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final

import structlog
from tandem_contract import headers

from tandem_serving.gateway import guard_answer, guard_messages
from tandem_serving.gateway.guard_body import BadBodyError, Outbound, TooLongError, rewrite
from tandem_serving.gateway.guard_decide import Deny, RequestFacts, Send, Word, decide
from tandem_serving.gateway.guard_limits import ByteBudget, RepeatMemory
from tandem_serving.gateway.policy_board import PolicyBoard
from tandem_serving.gateway.sse import Answer, EventStream, WholeAnswer
from tandem_serving.gateway.usage import UsageMeter

LARGE_BYTES: Final = 1 << 20
MOST_BODY_BYTES: Final = 16 << 20
USER_AGENT: Final = "tandem"

_log = structlog.get_logger("tandem.guard")


@dataclass(frozen=True)
class Surroundings:
    """What all exchanges of one guard share."""

    board: PolicyBoard
    meter: UsageMeter
    asked: RepeatMemory
    room: ByteBudget
    large_bodies: Executor
    clock: Callable[[], float]
    policy_limit_seconds: float
    room_wait_seconds: float


class Exchange:
    """The life of one attempt. ``over`` once its stream has nothing more to say."""

    def __init__(self, surroundings: Surroundings, endpoint: str) -> None:
        self._all = surroundings
        self._endpoint = endpoint
        self._request: dict[str, str] = {}
        self._deployment = ""  # for metrics: only one that has a policy, so that labels stay few
        self._send: Send | None = None
        self._sent_at: float | None = None
        self._hides_usage = False
        self._status: int | None = None
        self._answer: Answer | None = None
        self._room = AsyncExitStack()
        self.over = False

    async def reply(self, message: Any) -> Any:
        """Return the reply to the next message of the stream."""
        kind = message.WhichOneof("request")
        match kind:
            case "request_headers":
                return await self._judge(message.request_headers)
            case "request_body":
                return await self._leave(message.request_body.body)
            case "response_headers":
                return self._begin_answer(guard_messages.headers_of(message.response_headers))
            case "response_body":
                return self._pass_on(message.response_body.body, last=message.response_body.end_of_stream)
        raise ValueError(f"Envoy was not configured to send {kind}")

    async def written(self) -> None:
        """Give back the room of a large body: Envoy has it again."""
        if self._sent_at is not None:
            await self._room.aclose()

    def fail(self) -> Any:
        """Return the reply after an error of the guard's own. Before the answer's end nothing has been promised."""
        return self._deny(Deny(Word.ERROR, "the guard failed"))

    async def close(self) -> None:
        """Count how it ended, whoever ended it."""
        await self._room.aclose()
        if self._send is None or self._sent_at is None:
            return
        if self._status is None:
            self._all.meter.sent(self._send, code="aborted")
        elif self._answer is not None:
            self._all.meter.used(self._send, self._answer.tokens)
        self._all.meter.ended(self._send, seconds=self._all.clock() - self._sent_at)

    async def _judge(self, message: Any) -> Any:
        self._request = guard_messages.headers_of(message)
        view, now, limit = self._all.board.current(), self._all.clock(), self._all.policy_limit_seconds
        verdict = decide(self._facts(), view, now=now, limit_seconds=limit)
        if self._request.get(headers.DEPLOYMENT) in view.deployments:
            self._deployment = self._request[headers.DEPLOYMENT]
        if isinstance(verdict, Deny):
            return self._deny(verdict)
        if message.end_of_stream:
            return self._deny(Deny(Word.BODY, "the request has no body"))
        self._send = verdict
        size = _count(self._request.get("content-length"), unknown=MOST_BODY_BYTES)
        if size > LARGE_BYTES:
            try:
                await self._room.enter_async_context(
                    self._all.room.hold(size, wait_seconds=self._all.room_wait_seconds)
                )
            except TimeoutError:
                return self._deny(Deny(Word.BUSY, "too many large requests are on their way to clouds"))
        return guard_messages.fetch_body()

    def _facts(self) -> RequestFacts:
        request = self._request
        hop = request.get(headers.HOP)
        return RequestFacts(
            endpoint=self._endpoint,
            deployment=request.get(headers.DEPLOYMENT),
            method=request.get(":method", ""),
            path=request.get(":path", ""),
            hop=hop,
            repeated=hop is not None and self._all.asked.ask(hop, self._endpoint),
            token=request.get(headers.TOKEN),
            reason=request.get(headers.REASON),
            data_class=request.get(headers.DATA_CLASS),
            route=request.get(headers.ROUTE),
        )

    async def _leave(self, body: bytes) -> Any:
        if self._send is None:
            return self.fail()
        try:
            outbound = await self._rewrite(body, self._send)
        except BadBodyError as error:
            return self._deny(Deny(Word.BODY, str(error)))
        except TooLongError as error:
            return self._deny(Deny(Word.CONTEXT, str(error)))
        self._sent_at = self._all.clock()
        self._hides_usage = outbound.stream and not outbound.wants_usage
        ours = _headers_towards(self._send, outbound)
        return guard_messages.send(
            outbound.body,
            set_headers=ours,
            remove=sorted(name for name in self._request if name not in ours and not name.startswith(":")),
        )

    async def _rewrite(self, body: bytes, send: Send) -> Outbound:
        model, context_tokens = send.model, send.context_tokens
        if len(body) <= LARGE_BYTES:
            return rewrite(body, model, context_tokens)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._all.large_bodies, rewrite, body, model, context_tokens)

    def _begin_answer(self, answer: dict[str, str]) -> Any:
        if self._send is None or self._sent_at is None:
            return self.fail()
        self._status = _count(answer.get(":status"), unknown=502)
        self._all.meter.sent(self._send, code=str(self._status))
        if not guard_answer.passes(self._status):
            return self._refuse(self._status)
        if 200 <= self._status < 300:
            is_stream = answer.get("content-type", "").startswith("text/event-stream")
            readable = answer.get("content-encoding", "identity") == "identity"
            self._answer = EventStream(hide_usage=self._hides_usage) if is_stream and readable else WholeAnswer()
        return guard_messages.answer_headers(
            set_headers={
                headers.DESTINATION: f"cloud/{self._endpoint}",
                headers.REASON: self._send.reason.value,
                headers.ATTEMPTS: str(self._attempts()),
            },
            remove=guard_answer.dropped(answer, shortened=self._hides_usage),
        )

    def _pass_on(self, chunk: bytes, *, last: bool) -> Any:
        passed = self._answer.feed(chunk, last=last) if self._answer else chunk
        return guard_messages.answer_body(chunk, passed)

    def _attempts(self) -> int:
        """How many upstreams were tried: Envoy counts from 1 again after a redirect."""
        return _count(self._request.get(headers.ATTEMPT_COUNT), unknown=1) + _count(
            self._request.get(headers.PRIOR_ATTEMPTS), unknown=0
        )

    def _deny(self, deny: Deny) -> Any:
        self._all.meter.denied(deny, deployment=self._deployment, endpoint=self._endpoint)
        _log.info(
            "denied",
            word=deny.word.value,
            deployment=self._request.get(headers.DEPLOYMENT, ""),
            endpoint=self._endpoint,
            request_id=self._request.get(headers.REQUEST_ID, ""),
        )
        self.over = True
        return guard_messages.stop(
            503,
            kind="permission_error",
            code=f"denied_{deny.word.value}",
            message=f"The request was not sent to a cloud: {deny.message}.",
            set_headers={headers.DENIED: deny.word.value, headers.ATTEMPTS: str(self._attempts())},
        )

    def _refuse(self, status: int) -> Any:
        _log.warning(
            "cloud refused",
            status=status,
            endpoint=self._endpoint,
            deployment=self._request.get(headers.DEPLOYMENT, ""),
            request_id=self._request.get(headers.REQUEST_ID, ""),
        )
        self.over = True
        return guard_messages.stop(
            502,
            kind="server_error",
            code="cloud_refused",
            message=f"No cloud answered: {guard_answer.refusal(status)}.",
            set_headers={headers.ATTEMPTS: str(self._attempts())},
        )


def _headers_towards(send: Send, outbound: Outbound) -> dict[str, str]:
    """Return every header that the provider gets: ours, and nothing that the client or the gateway wrote."""
    return {
        ":authority": send.authority,
        ":path": send.path,
        ":scheme": "https",
        "authorization": send.authorization.get_secret_value(),
        "content-type": "application/json",
        "content-length": str(len(outbound.body)),
        "accept": "text/event-stream" if outbound.stream else "application/json",
        "user-agent": USER_AGENT,
    }


def _count(value: str | None, *, unknown: int) -> int:
    return int(value) if value is not None and value.isascii() and value.isdigit() else unknown
