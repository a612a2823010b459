"""The gate before the engine, over in-process ASGI: who is let in, who is held, and how work is given up."""

import asyncio
import json

import pytest
from prometheus_client import CollectorRegistry
from support.asgi import Exchange
from support.wait import eventually_async
from tandem_contract.documents import LiveConfig
from tandem_serving.replica import body, progress
from tandem_serving.replica.door import Door
from tandem_serving.replica.gate import Gate
from tandem_serving.replica.live import Live
from tandem_serving.replica.metrics import ReplicaMetrics
from tandem_serving.replica.prediction import Predictor, Sample
from tandem_serving.replica.queue_board import Board

CHAT = "/app/v1/chat/completions"
FIRST = {"x-envoy-attempt-count": "1"}
SECOND = {"x-envoy-attempt-count": "2"}
BACK = {"x-envoy-attempt-count": "1", "x-tandem-reason": "overflow", "x-tandem-prior-attempts": "2"}

START = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]}


def chunk(content, *, more=True):
    return {"type": "http.response.body", "body": content, "more_body": more}


def live_config(**changes):
    return LiveConfig(
        **{
            "names": ("m",),
            "token": "secret",
            "overflow": True,
            "cloud": True,
            "time_to_first_token_milliseconds": 1,
            **changes,
        }
    )


class Rig:
    """A door and a gate before ``app``, with an engine that is alive."""

    def __init__(self, app, *, seconds=0.0, slots=8, **live):
        self.registry = CollectorRegistry()
        self.live = Live()
        self.live.take(live_config(**live))
        self.dead = False
        self.draining = False
        metrics = ReplicaMetrics(self.registry, "ns/m")
        anchors = (Sample(1, seconds), Sample(1001, seconds))
        self.board = Board(
            Predictor(anchors=anchors),
            slots=slots,
            most_tokens=1000,
            metrics=metrics,
            clock=asyncio.get_event_loop().time,
        )
        gate = Gate(app, board=self.board, live=self.live, metrics=metrics)
        self.door = Door("/app", app=app, gate=gate, live=self.live, check=self.check, drains=self.drains)

    async def check(self):
        if self.dead:
            raise RuntimeError("dead")

    async def drains(self, _scope):
        return self.draining

    def ask(self, headers=FIRST, **request):
        return Exchange(self.door, request.pop("path", CHAT), headers=headers, **request)

    def metric(self, name, **labels):
        return self.registry.get_sample_value(name, {"deployment": "ns/m", **labels})


class Hanging:
    """An app that sends ``messages`` and then waits; it ends the way vLLM's does, when told that its client left."""

    def __init__(self, *messages, stubborn=False):
        self.messages = messages
        self.stubborn = stubborn
        self.running = 0
        self.told = 0

    async def __call__(self, scope, receive, send):
        self.running += 1
        try:
            await receive()
            for message in self.messages:
                await send(message)
            if self.stubborn:
                await asyncio.Event().wait()
            if (await receive())["type"] == "http.disconnect":
                self.told += 1
        finally:
            self.running -= 1


async def answering(scope, receive, send):
    message = await receive()
    watched = progress.current()
    watched.prompt(5)
    watched.output()
    await send({**START, "headers": [(b"x-tandem-destination", b"cloud/evil"), (b"x-own", b"kept")]})
    await send(chunk(b"data: " + message["body"]))
    await send(chunk(b"", more=False))


async def test_an_answer_passes_through_whole():
    rig = Rig(answering, time_to_first_token_milliseconds=1000)
    exchange = await rig.ask(body=(b'{"a":', b" 1}")).done()
    assert (exchange.status, exchange.body) == (200, b'data: {"a": 1}')
    assert sorted(exchange.messages[0]["headers"]) == [
        (b"x-own", b"kept"),
        (b"x-tandem-attempts", b"1"),
        (b"x-tandem-destination", b"local"),
    ]
    assert rig.metric("tandem_replica_requests_total", verdict="admit") == 1
    assert rig.metric("tandem_replica_prompt_tokens_total") == 5
    assert rig.metric("tandem_replica_engine_requests") == 0


async def test_attempts_count_over_both_legs():
    exchange = await Rig(answering).ask(BACK).done()
    assert exchange.headers["x-tandem-attempts"] == "3"


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param((), id="before headers"),
        pytest.param((START,), id="after headers"),
        pytest.param((START, chunk(b"event: response.created\n\n")), id="after a stream's head without a token"),
    ],
)
async def test_a_hanging_engine_is_given_up_and_another_replica_is_asked(messages):
    app = Hanging(*messages)
    rig = Rig(app)
    exchange = await rig.ask().done()
    assert exchange.status == 503
    assert json.loads(exchange.body)["error"]["code"] == "first_token_late"
    assert len(exchange.messages) == 2  # nothing of the app's response is out
    await eventually_async(lambda: app.running == 0, within_seconds=5)
    assert app.told == 1
    assert rig.metric("tandem_replica_late_requests_total", verdict="elsewhere") == 1
    assert rig.metric("tandem_replica_engine_requests") == 0


async def test_a_hanging_engine_on_the_second_attempt_sends_the_request_to_the_cloud():
    rig = Rig(Hanging(START))
    exchange = await rig.ask({**SECOND, "x-forwarded-proto": "https"}, query="a=1&b=%20").done()
    assert exchange.status == 307
    assert {name: value for name, value in exchange.headers.items() if name != "content-type"} == {
        "location": "https://tandem.internal/v1/chat/completions?a=1&b=%20",
        "x-tandem-reason": "overflow",
        "x-tandem-token": "secret",
        "x-tandem-prior-attempts": "2",
        "content-length": "0",
        "x-tandem-destination": "local",
        "x-tandem-attempts": "2",
    }


async def test_an_app_that_does_not_listen_is_cancelled(monkeypatch):
    monkeypatch.setattr("tandem_serving.replica.gate._ABORT_GRACE_SECONDS", 0.01)
    app = Hanging(START, stubborn=True)
    assert (await Rig(app).ask().done()).status == 503
    await eventually_async(lambda: app.running == 0, within_seconds=5)


async def test_after_the_first_token_nothing_is_bound_streamed_or_not():
    first, finish = asyncio.Event(), asyncio.Event()

    async def slow(_scope, receive, send):
        await receive()
        progress.current().output()
        first.set()
        await finish.wait()
        await send(START)
        await send(chunk(b"late but whole", more=False))

    rig = Rig(slow)
    exchange = rig.ask()
    await first.wait()
    await asyncio.wait({exchange.task}, timeout=0.7)  # past the bound of 0.502 s
    assert not exchange.messages
    finish.set()
    assert (await exchange.done()).body == b"late but whole"


async def test_a_stream_is_passed_on_piece_by_piece_once_a_token_is_out():
    go_on = asyncio.Event()

    async def stream(_scope, receive, send):
        await receive()
        await send(START)
        await send(chunk(b"head"))
        progress.current().output()
        await send(chunk(b"token"))
        await go_on.wait()
        await send(chunk(b"end", more=False))

    exchange = Rig(stream).ask()
    await exchange.started()
    await eventually_async(lambda: exchange.body == b"headtoken", within_seconds=5)
    go_on.set()
    assert (await exchange.done()).body == b"headtokenend"


@pytest.mark.parametrize("first_token", [False, True])
async def test_a_client_that_leaves_ends_the_engines_work(first_token):
    app = Hanging(START)
    if first_token:
        inner = app

        async def app(scope, receive, send):
            progress.current().output()
            await inner(scope, receive, send)

    else:
        inner = app
    rig = Rig(app, time_to_first_token_milliseconds=60_000)
    exchange = rig.ask()
    await eventually_async(lambda: inner.running == 1, within_seconds=5)
    exchange.leave()
    await exchange.done()
    assert (inner.running, inner.told) == (0, 1)
    assert rig.metric("tandem_replica_disconnects_total") == 1
    assert rig.metric("tandem_replica_engine_requests") == 0


async def test_what_vllm_answers_to_a_client_that_left_is_no_answer():
    """It ends an aborted request of a whole answer with a body ``null``, complete and for nobody."""
    running = asyncio.Event()

    async def app(scope, receive, send):
        await receive()
        running.set()
        assert (await receive())["type"] == "http.disconnect"
        await send(START)
        await send(chunk(b"null", more=False))

    rig = Rig(app, time_to_first_token_milliseconds=60_000)
    exchange = rig.ask()
    await asyncio.wait_for(running.wait(), 5)
    exchange.leave()
    await exchange.done()
    assert rig.metric("tandem_replica_disconnects_total") == 1


async def test_serve_cancelling_a_request_ends_the_engines_work():
    app = Hanging(START)
    rig = Rig(app, time_to_first_token_milliseconds=60_000)
    exchange = rig.ask()
    await eventually_async(lambda: app.running == 1, within_seconds=5)
    exchange.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await exchange.task
    await eventually_async(lambda: app.running == 0, within_seconds=5)
    assert app.told == 1  # told first: vLLM's handlers of whole answers survive a mere cancel
    assert rig.metric("tandem_replica_disconnects_total") == 1


async def test_a_client_that_leaves_while_it_sends_is_no_request():
    rig = Rig(answering)
    exchange = rig.ask(body=())
    exchange.leave()
    await exchange.done()
    assert exchange.messages == []
    assert rig.metric("tandem_replica_requests_total", verdict="admit") is None


@pytest.mark.parametrize(
    ("headers", "live", "status", "extra"),
    [
        pytest.param(FIRST, {}, 503, {}, id="first attempt: another replica"),
        pytest.param(SECOND, {}, 307, {"x-tandem-reason": "overflow"}, id="second attempt: the cloud"),
        pytest.param({**SECOND, "x-tandem-local-attempts": "3"}, {}, 503, {}, id="second of three: another replica"),
        pytest.param(
            {"x-envoy-attempt-count": "3", "x-tandem-local-attempts": "3"}, {}, 307, {}, id="third of three: the cloud"
        ),
        pytest.param({**SECOND, "x-tandem-local-attempts": "many"}, {}, 307, {}, id="not a number: of two"),
        pytest.param(BACK, {}, 429, {"x-envoy-ratelimited": "true", "retry-after": "30"}, id="came back: final"),
        pytest.param(SECOND, {"cloud": False}, 429, {"x-envoy-ratelimited": "true"}, id="local only: final"),
        pytest.param(
            {**SECOND, "x-tandem-route": "local"}, {}, 429, {"x-envoy-ratelimited": "true"}, id="stays local: final"
        ),
    ],
)
async def test_a_full_replica(headers, live, status, extra):
    exchange = await Rig(answering, seconds=30.0, **live).ask(headers).done()
    assert exchange.status == status
    assert extra.items() <= exchange.headers.items()
    assert "x-envoy-ratelimited" not in exchange.headers or status == 429
    if status != 307:
        error = json.loads(exchange.body)["error"]
        assert error.keys() == {"message", "type", "param", "code"}
        assert error["code"] == {503: "replica_busy", 429: "rate_limit_exceeded"}[status]


async def test_a_request_that_came_back_queues_though_it_is_late():
    rig = Rig(answering, seconds=5.0, time_to_first_token_milliseconds=1000)
    assert (await rig.ask(BACK).done()).status == 200
    assert rig.metric("tandem_replica_requests_total", verdict="queue") == 1


async def test_a_stall_shows_before_anyone_is_answered():
    app = Hanging()
    rig = Rig(app, time_to_first_token_milliseconds=300)
    stuck = rig.ask(BACK)
    await eventually_async(lambda: app.running == 1, within_seconds=5)

    async def refused():
        return (await rig.ask(FIRST).done()).status == 503 and rig.metric(
            "tandem_replica_requests_total", verdict="elsewhere"
        )

    await eventually_async(refused, within_seconds=5)
    stuck.leave()
    await stuck.done()


async def test_a_new_objective_holds_from_the_next_request_on():
    rig = Rig(answering, seconds=5.0, time_to_first_token_milliseconds=1000)
    assert (await rig.ask().done()).status == 503
    rig.live.take(live_config(time_to_first_token_milliseconds=10_000))
    assert (await rig.ask().done()).status == 200


async def test_an_app_that_fails_before_its_first_byte_is_a_proper_500():
    async def failing(_scope, receive, send):
        await receive()
        await send(START)
        raise ValueError("secret detail")

    exchange = await Rig(failing).ask().done()
    assert exchange.status == 500
    assert b"secret" not in exchange.body


async def test_the_bare_failure_of_a_framework_is_told_in_openais_shape():
    """Starlette answers in plain text, whole, and raises then."""

    async def failing(_scope, receive, send):
        await receive()
        await send({**START, "status": 500, "headers": [(b"content-type", b"text/plain; charset=utf-8")]})
        await send(chunk(b"Internal Server Error", more=False))
        raise ValueError("secret detail")

    rig = Rig(failing)
    exchange = await rig.ask().done()
    assert (exchange.status, exchange.headers["retry-after"]) == (500, "1")
    assert json.loads(exchange.body)["error"]["code"] == "replica_failed"
    assert rig.metric("tandem_replica_disconnects_total") == 0


async def test_vllms_own_failure_passes_through():
    async def failing(_scope, receive, send):
        await receive()
        await send({**START, "status": 500, "headers": [(b"content-type", b"application/json")]})
        await send(chunk(b'{"error": {}}', more=False))

    exchange = await Rig(failing).ask().done()
    assert (exchange.status, exchange.body) == (500, b'{"error": {}}')


async def test_an_app_that_fails_in_the_middle_breaks_the_connection():
    async def failing(_scope, receive, send):
        await receive()
        progress.current().output()
        await send(START)
        await send(chunk(b"half"))
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await Rig(failing).ask().done()


async def test_a_body_beyond_the_limit_is_413(monkeypatch):
    monkeypatch.setattr(body, "BODY_BYTES", 10)
    assert (await Rig(answering).ask(body=(b"12345", b"67890")).done()).status == 200
    exchange = await Rig(answering).ask(body=(b"12345", b"678901")).done()
    assert exchange.status == 413


async def test_bodies_that_would_fill_the_memory_are_asked_elsewhere_and_room_comes_back(monkeypatch):
    monkeypatch.setattr("tandem_serving.replica.gate.Room", lambda: body.Room(most_bytes=10))
    app = Hanging()
    rig = Rig(app, time_to_first_token_milliseconds=60_000)
    holding = rig.ask(body=(b"123456",))
    await eventually_async(lambda: app.running == 1, within_seconds=5)
    refused = await rig.ask(body=(b"12345",)).done()
    assert (refused.status, json.loads(refused.body)["error"]["code"]) == (503, "replica_busy")
    fits = rig.ask(body=(b"1234",))
    await eventually_async(lambda: app.running == 2, within_seconds=5)
    for each in (holding, fits):
        each.leave()
        await each.done()
    again = rig.ask(body=(b"1234567890",))
    await eventually_async(lambda: app.running == 1, within_seconds=5)
    again.leave()
    await again.done()


async def test_an_error_of_vllm_passes_through_and_teaches_nothing():
    async def refusing(_scope, receive, send):
        await receive()
        await send({**START, "status": 400})
        await send(chunk(b"bad", more=False))

    rig = Rig(refusing)
    exchange = await rig.ask().done()
    assert (exchange.status, exchange.body) == (400, b"bad")
    assert rig.metric("tandem_replica_time_to_first_token_seconds_count") == 0


async def test_waiting_requests_are_counted_until_their_first_token():
    first, finish = asyncio.Event(), asyncio.Event()

    async def slow(_scope, receive, send):
        await receive()
        progress.current().prompt(700)
        await first.wait()
        progress.current().output()
        await finish.wait()
        await send(START)
        await send(chunk(b"x", more=False))

    rig = Rig(slow, time_to_first_token_milliseconds=60_000)
    exchange = rig.ask()
    await eventually_async(lambda: rig.metric("tandem_replica_waiting_tokens") == 700, within_seconds=5)
    first.set()
    await eventually_async(lambda: rig.metric("tandem_replica_waiting_requests") == 0, within_seconds=5)
    assert rig.metric("tandem_replica_waiting_tokens") == 0
    assert rig.metric("tandem_replica_engine_requests") == 1
    finish.set()
    await exchange.done()
    assert rig.metric("tandem_replica_engine_requests") == 0
