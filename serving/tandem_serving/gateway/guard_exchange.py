"""One attempt towards a cloud, message by message, as Envoy's ext_proc tells it. One object per stream.

The servicer feeds it and writes its replies. Headers are judged first, so that a body that must stay is never fetched;
large bodies wait for room before they are fetched, and are rewritten on another thread. All of that takes time, in
which the policy may turn: the verdict that counts is the last one, taken when the provider's request is complete.
"""

import asyncio
from contextlib import AsyncExitStack, ExitStack
from typing import Any, Final

import structlog
from tandem_contract import headers
from tandem_contract.limits import BODY_BYTES

from tandem_serving.gateway import guard_messages
from tandem_serving.gateway.guard_body import BadBodyError, Outbound, TooLongError, rewrite
from tandem_serving.gateway.guard_decide import Deny, RequestFacts, Send, Word
from tandem_serving.gateway.guard_limits import NoPlaceError
from tandem_serving.gateway.guard_passage import Passage
from tandem_serving.gateway.guard_request import AttemptRequest, WayOut
from tandem_serving.gateway.guard_surroundings import Surroundings

LARGE_BYTES: Final = 1 << 20
USER_AGENT: Final = "tandem"

_log = structlog.get_logger("tandem.guard")


class Exchange:
    """The life of one attempt. ``over`` once its stream has nothing more to say."""

    def __init__(self, surroundings: Surroundings, way_out: WayOut) -> None:
        self._all = surroundings
        self._request = AttemptRequest(way_out)
        self._facts: RequestFacts | None = None
        self._passage: Passage | None = None
        self._place = ExitStack()
        self._room = AsyncExitStack()
        self._known = ""  # the deployment in metrics: only one that has a policy, so that labels stay few
        self._denied = False

    @property
    def over(self) -> bool:
        return self._denied or (self._passage is not None and self._passage.over)

    async def reply(self, message: Any) -> Any:
        """Return the reply to the next message of the stream."""
        kind = message.WhichOneof("request")
        if kind == "request_headers":
            return await self._judge(message.request_headers)
        if kind == "request_body" and self._facts is not None:
            return await self._leave(message.request_body.body, self._facts)
        if self._passage is None:
            return self.fail()  # an answer to what never left
        match kind:
            case "response_headers":
                return self._passage.begin(guard_messages.headers_of(message.response_headers.headers))
            case "response_body":
                return self._passage.pass_on(message.response_body.body, last=message.response_body.end_of_stream)
            case "response_trailers":
                return self._passage.end(guard_messages.headers_of(message.response_trailers.trailers))
        raise ValueError(f"Envoy was not configured to send {kind}")

    async def written(self) -> None:
        """Give back the room of a large body: Envoy has it again."""
        if self._passage is not None:
            await self._room.aclose()

    def fail(self) -> Any:
        """Return the reply after an error of the guard's own. Before the answer's end nothing has been promised."""
        return self._deny(Deny(Word.ERROR, "the guard failed"))

    async def close(self) -> None:
        """Give back what it held and count how it ended, whoever ended it."""
        self._place.close()
        if self._passage is not None:
            self._passage.close()
        await self._room.aclose()

    async def _judge(self, message: Any) -> Any:
        way_out = self._request.way_out
        self._request = AttemptRequest(way_out, guard_messages.headers_of(message.headers))
        hop = self._request.hop
        facts = self._request.facts(repeated=hop is not None and self._all.asked.ask(hop, way_out.endpoint))
        verdict = self._all.verdict(facts)
        if self._request.deployment in self._all.board.current().deployments:
            self._known = self._request.deployment
        if isinstance(verdict, Deny):
            return self._deny(verdict)
        if message.end_of_stream:
            return self._deny(Deny(Word.BODY, "the request has no body"))
        try:
            self._place.enter_context(self._all.places.hold(way_out.endpoint))
            await self._make_room()
        except NoPlaceError:
            return self._deny(Deny(Word.BUSY, f"too many requests are on their way to {way_out.endpoint}"))
        except TimeoutError:
            return self._deny(Deny(Word.BUSY, "too many large requests are on their way to clouds"))
        self._facts = facts
        return guard_messages.fetch_body()

    async def _make_room(self) -> None:
        size = headers.count(self._request.headers.get("content-length"), unknown=BODY_BYTES)
        if size > LARGE_BYTES:
            hold = self._all.room.hold(size, wait_seconds=self._all.room_wait_seconds)
            await self._room.enter_async_context(hold)

    async def _leave(self, body: bytes, facts: RequestFacts) -> Any:
        try:
            complete = await self._complete(body, facts)
        except BadBodyError as error:
            return self._deny(Deny(Word.BODY, str(error)))
        except TooLongError as error:
            return self._deny(Deny(Word.CONTEXT, str(error)))
        if isinstance(complete, Deny):
            return self._deny(complete)
        send, outbound = complete
        self._passage = Passage(self._all, self._request, facts, send, outbound)
        # Without the guard's own word for this very place the listener lets nothing by: Envoy takes a stream that ended
        # well before a verdict for consent.
        consent = {headers.DESTINATION_DIGEST: facts.destination}
        ours = {**_headers_towards(send, outbound), **consent}
        kept = {*ours, headers.CLOUD_MILLISECONDS}  # for Envoy, which does not let it out
        theirs = (name for name in self._request.headers if name not in kept and not name.startswith(":"))
        return guard_messages.send(outbound.body, set_headers=ours, remove=sorted(theirs))

    async def _complete(self, body: bytes, facts: RequestFacts) -> tuple[Send, Outbound] | Deny:
        """Return the provider's request, by a verdict that still holds now that it is made."""
        verdict = self._all.verdict(facts)
        while isinstance(verdict, Send):
            outbound = await self._rewrite(body, verdict)
            made_for, verdict = verdict, self._all.verdict(facts)
            if verdict == made_for:
                return verdict, outbound
        return verdict

    async def _rewrite(self, body: bytes, send: Send) -> Outbound:
        model, context_tokens = send.model, send.context_tokens
        if len(body) <= LARGE_BYTES:
            return rewrite(body, model, context_tokens)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._all.large_bodies, rewrite, body, model, context_tokens)

    def _deny(self, deny: Deny) -> Any:
        self._all.meter.denied(deny, deployment=self._known, endpoint=self._request.way_out.endpoint)
        _log.info("denied", word=deny.word.value, **self._request.for_the_log())
        self._denied = True
        return guard_messages.stop(
            503,
            kind="permission_error",
            code=f"denied_{deny.word.value}",
            message=f"The request was not sent to a cloud: {deny.message}.",
            set_headers={headers.DENIED: deny.word.value, headers.ATTEMPTS: str(self._request.attempts())},
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
