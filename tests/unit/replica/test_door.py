"""The door of a replica: prefix, paths, health, and what every answer carries."""

import json

import pytest
from support.asgi import Exchange
from tandem_contract.documents import LiveConfig
from tandem_serving.replica.door import Door
from tandem_serving.replica.gate import Call
from tandem_serving.replica.live import Live


class App:
    """Says which path it saw, under which root."""

    def __init__(self):
        self.seen = []

    async def __call__(self, scope, receive, send):
        self.seen.append(scope["type"])
        if scope["type"] == "http":
            said = f"{scope['root_path']} {scope['path']}".encode()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": said})


class OpenGate:
    def __init__(self, app):
        self.app = app

    async def handle(self, call: Call, receive, send):
        await self.app(call.scope, receive, send)


class Rig:
    def __init__(self):
        self.app = App()
        self.live = Live()
        self.live.take(
            LiveConfig(names=("m",), token="t", overflow=True, cloud=True, time_to_first_token_milliseconds=1)
        )
        self.dead = self.draining = False
        self.door = Door(
            "/app",
            app=self.app,
            gate=OpenGate(self.app),
            live=self.live,
            check=self.check,
            drains=self.drains,
        )

    async def check(self):
        if self.dead:
            raise RuntimeError("dead")

    async def drains(self, _scope):
        return self.draining

    async def get(self, path, **request):
        return await Exchange(self.door, path, **{"method": "GET", **request}).done()


async def test_the_app_sees_its_prefix_as_root_path():
    exchange = await Rig().get("/app/v1/models")
    assert exchange.body == b"/app /app/v1/models"


@pytest.mark.parametrize("path", ["/app/pause", "/app/", "/app//v1/models"])
async def test_an_unlisted_path_is_404_with_a_destination(path):
    rig = Rig()
    exchange = await rig.get(path)
    assert exchange.status == 404
    assert exchange.headers["x-tandem-destination"] == "local"
    assert json.loads(exchange.body)["error"]["code"] == "not_found"
    assert rig.app.seen == []


@pytest.mark.parametrize("path", ["/v1/models", "/app2/v1/models", "/other/v1/models", "/app", "/"])
async def test_a_stale_address_is_asked_elsewhere(path):
    rig = Rig()
    exchange = await rig.get(path)
    assert (exchange.status, exchange.headers["retry-after"]) == (503, "1")
    assert json.loads(exchange.body)["error"]["code"] == "replica_unavailable"
    assert "x-envoy-ratelimited" not in exchange.headers
    assert rig.app.seen == []


@pytest.mark.parametrize(
    ("status", "said", "retry_after"), [(500, [], "1"), (500, [(b"Retry-After", b"9")], "9"), (400, [], None)]
)
async def test_every_failure_says_when_to_try_again(status, said, retry_after):
    rig = Rig()

    async def app(_scope, _receive, send):
        await send({"type": "http.response.start", "status": status, "headers": said})
        await send({"type": "http.response.body", "body": b"{}"})

    rig.door._app = app
    assert (await rig.get("/app/version")).headers.get("retry-after") == retry_after


async def test_the_wrong_method_names_the_right_one():
    exchange = await Rig().get("/app/v1/chat/completions")
    assert (exchange.status, exchange.headers["allow"]) == (405, "POST")


async def test_health_is_ok_only_while_this_replica_can_answer():
    rig = Rig()
    health = "/app/tandem/healthz"
    assert (await rig.get(health)).status == 200
    assert (await rig.get("/other/tandem/healthz")).status == 503
    rig.draining = True
    assert (await rig.get(health)).status == 503
    rig.draining, rig.dead = False, True
    assert (await rig.get(health)).status == 503
    rig.dead, rig.live._config = False, None
    assert (await rig.get(health)).status == 503


async def test_a_dead_engine_is_a_503_that_can_go_elsewhere():
    rig = Rig()
    rig.dead = True
    exchange = await rig.get("/app/v1/completions", method="POST")
    assert exchange.status == 503
    assert "x-envoy-ratelimited" not in exchange.headers
    assert rig.app.seen == []


@pytest.mark.parametrize(
    ("headers", "attempts"),
    [
        ({}, "1"),
        ({"x-envoy-attempt-count": "2"}, "2"),
        ({"x-envoy-attempt-count": "1", "x-tandem-prior-attempts": "2"}, "3"),
        ({"x-envoy-attempt-count": "-1", "x-tandem-prior-attempts": "many"}, "1"),
        ({"x-envoy-attempt-count": "9" * 5000}, "1"),
    ],
)
async def test_attempts(headers, attempts):
    exchange = await Rig().get("/app/v1/models", headers=headers)
    assert exchange.headers["x-tandem-attempts"] == attempts


async def test_websockets_are_closed_at_the_door():
    rig = Rig()
    sent = []

    async def receive():
        return {"type": "websocket.connect"}

    async def send(message):
        sent.append(message)

    await rig.door({"type": "websocket", "path": "/app/v1/realtime", "headers": []}, receive, send)
    assert sent == [{"type": "websocket.close", "code": 1008}]
    assert rig.app.seen == []


async def test_lifespan_reaches_the_app():
    rig = Rig()
    await rig.door({"type": "lifespan"}, None, None)
    assert rig.app.seen == ["lifespan"]
