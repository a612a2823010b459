"""The gate before the engine: admission, the bound on time to first token, and giving up cleanly.

Wraps an ASGI app that tells its ``progress``. It sees inference requests only; the door has sent everything else by.
It never answers twice: once a byte of the app's response is out, that response is the answer.
"""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, Final

from starlette.types import ASGIApp, Receive, Scope, Send
from tandem_contract import headers
from tandem_contract.documents import LiveConfig
from tandem_contract.limits import BODY_BYTES

from tandem_serving.replica import admission, answers, body, progress, prompt_size
from tandem_serving.replica.admission import Attempt, Verdict
from tandem_serving.replica.answers import Answer
from tandem_serving.replica.body import Inbox, Room
from tandem_serving.replica.live import Live, terms
from tandem_serving.replica.metrics import ReplicaMetrics
from tandem_serving.replica.outbox import Outbox
from tandem_serving.replica.progress import Progress
from tandem_serving.replica.queue_board import Board, Ticket

_ABORT_GRACE_SECONDS: Final = 1.0
"""An app that was told that its client left ends within milliseconds; past this it is cancelled."""


@dataclass(frozen=True)
class Call:
    """One request at the gate."""

    scope: Scope
    path: str
    """Without the app's prefix."""

    attempt: Attempt
    attempts: int
    """Upstreams tried so far, this one among them, over both legs."""

    @property
    def location(self) -> str:
        return answers.absolute_url(self.scope, self.path)


def read_call(scope: Scope, path: str) -> Call:
    """Return the request as the gateway marked it."""
    named = {name: value.decode("latin-1") for name, value in scope["headers"]}
    number = headers.count(named.get(headers.ATTEMPT_COUNT.encode()), unknown=0)
    attempt = Attempt(
        number=number,
        local_attempts=headers.count(named.get(headers.LOCAL_ATTEMPTS.encode()), unknown=0) or admission.LOCAL_ATTEMPTS,
        reason=named.get(headers.REASON.encode()),
        stays_local=named.get(headers.ROUTE.encode(), "").strip().lower() == "local",
    )
    prior = headers.count(named.get(headers.PRIOR_ATTEMPTS.encode()), unknown=0)
    return Call(scope, path, attempt, max(1, number) + prior)


class Gate:
    """See the module. One per replica, on the event loop that serves it."""

    def __init__(self, app: ASGIApp, *, board: Board, live: Live, metrics: ReplicaMetrics) -> None:
        self._app = app
        self._board = board
        self._live = live
        self._metrics = metrics
        self._ending: set[asyncio.Task[Any]] = set()
        self._room = Room()

    async def handle(self, call: Call, receive: Receive, send: Send) -> None:
        config = self._live.config
        if config is None:
            await answers.unavailable("This replica is starting.").send(send)
            return
        with self._room.share() as share:
            try:
                content = await body.read(receive, share)
            except body.TooLargeError:
                await answers.too_large(BODY_BYTES).send(send)
            except body.NoRoomError:
                verdict = admission.without_room(call.attempt, terms(config))
                self._metrics.judged(verdict)
                await _answer(verdict, call, config, None).send(send)
            except body.ClientGoneError:
                self._metrics.disconnects.inc()
            else:
                await self._judge(call, config, content, receive, send)

    async def _judge(self, call: Call, config: LiveConfig, content: bytes, receive: Receive, send: Send) -> None:
        size = prompt_size.measure(content)
        guess = self._board.guess(size)
        predicted = self._board.predict(guess)
        decision = admission.decide(
            call.attempt, terms(config), predicted_seconds=predicted, waiting=self._board.waiting
        )
        self._metrics.judged(decision.verdict)
        if decision.verdict not in {Verdict.ADMIT, Verdict.QUEUE}:
            await _answer(decision.verdict, call, config, predicted).send(send)
            return
        ticket = self._board.enter(size, guess, predicted)
        inbox = Inbox(content, receive)
        if not await self._serve(call.scope, ticket, decision.bound_seconds, inbox, send):
            await self._give_up(call, config).send(send)

    async def _serve(self, scope: Scope, ticket: Ticket, bound_seconds: float, inbox: Inbox, send: Send) -> bool:
        """Return False when the first token did not come within the bound; nothing was sent then."""
        watched = Progress(
            on_prompt=lambda tokens: self._board.counted(ticket, tokens),
            on_first_output=lambda: self._board.first_output(ticket),
        )
        outbox = Outbox(send, ready=watched.first_output.is_set, gone=lambda: inbox.client_left)
        app = asyncio.create_task(self._run(scope, watched, inbox, outbox))
        left = False
        try:
            if not (await _begins(app, watched, bound_seconds) or outbox.begun):
                outbox.drop()
                return False
            await _finish(app, outbox, send)
        except asyncio.CancelledError:  # Ray Serve cancels a request whose client left
            left = True
            raise
        finally:
            if not outbox.complete:
                self._abort(app, inbox)
                self._metrics.disconnects.inc(left or inbox.client_left)
            self._board.leave(ticket, answered=outbox.complete)
        return True

    async def _run(self, scope: Scope, watched: Progress, inbox: Inbox, outbox: Outbox) -> None:
        progress.begin(watched)
        await self._app(scope, inbox.receive, outbox.send)

    def _give_up(self, call: Call, config: LiveConfig) -> Answer:
        verdict = admission.missed(call.attempt, terms(config))
        self._metrics.late(verdict)
        return answers.late() if verdict is Verdict.ELSEWHERE else _answer(verdict, call, config, None)

    def _abort(self, app: asyncio.Task[None], inbox: Inbox) -> None:
        """End the engine's work behind the scenes: the answer does not wait for it."""
        inbox.close()
        ending = asyncio.create_task(_end(app))
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)


def _answer(verdict: Verdict, call: Call, config: LiveConfig, predicted: float | None) -> Answer:
    if verdict is Verdict.REDIRECT:
        return answers.redirect(call.location, token=config.token, attempts=call.attempts)
    return answers.full(predicted) if verdict is Verdict.FULL else answers.elsewhere(predicted)


async def _begins(app: asyncio.Task[None], watched: Progress, bound_seconds: float) -> bool:
    """Wait for the first output or the end; False when neither came within the bound."""
    first = asyncio.create_task(watched.first_output.wait())
    try:
        done, _ = await asyncio.wait({app, first}, timeout=bound_seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        first.cancel()
    return bool(done)


async def _finish(app: Awaitable[None], outbox: Outbox, send: Send) -> None:
    """Wait for the end. An app that fails before its first byte still gets a proper answer."""
    try:
        await asyncio.shield(app)
    except Exception:
        if outbox.complete:  # Starlette answers first and raises then
            return
        if outbox.begun:
            raise
        await answers.failed().send(send)


async def _end(app: asyncio.Task[None]) -> None:
    """Wait for an app that was told that its client left, then cancel it."""
    await asyncio.wait({app}, timeout=_ABORT_GRACE_SECONDS)
    app.cancel()
    await asyncio.wait({app})
    if not app.cancelled():
        app.exception()
