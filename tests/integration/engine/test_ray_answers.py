"""What the engine does with every answer that is not one: it holds, writes nothing, and says why."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry
from support.ray_serve import a_foreign_app
from support.wait import eventually_async
from tandem_lab.process import free_port
from tandem_operator.clients import ray_serve
from tandem_operator.clients.ray_metrics import RayMetrics
from tandem_operator.clients.ray_serve import RayServeClient
from tandem_operator.engines import serve_engine
from tandem_operator.engines.serve_details import ServeDetails
from tandem_operator.engines.serve_document import Action
from tandem_operator.engines.serve_engine import MOST_IN_LINE, PARKED_PER_SECOND, PARKED_SECONDS, ServeEngine
from tandem_operator.errors import Hold, Reject, Retry
from tandem_operator.observed import AppStatus

OURS = "tandem_01234567_default_hello"
APP = {**a_foreign_app(OURS), "runtime_env": {}}
FRESH = {"controller_info": {}, "proxies": {}, "applications": {}, "target_capacity": None}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Dashboard:
    """Answers as a test says, and remembers what it was asked."""

    url: str = ""
    read: Handler | None = None
    write: Handler | None = None
    actors: list[dict[str, str]] = field(default_factory=list)
    asked: list[web.Request] = field(default_factory=list)
    written: list[dict[str, Any]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        if request.path == "/api/v0/actors":
            return web.json_response({"data": {"result": {"result": self.actors}}})
        if request.method == "GET" and self.read:
            return await self.read(request)
        if request.method == "PUT":
            self.written.append(await request.json())
            return await self.write(request) if self.write else web.Response()
        return web.json_response(FRESH)

    def wrote(self) -> bool:
        return any(request.method != "GET" for request in self.asked)


@dataclass
class Asking:
    dashboard: Dashboard
    engine: ServeEngine
    registry: CollectorRegistry
    tokens: list[str]

    def errors(self, call: str, error: str) -> float:
        labels = {"ray_cluster": "lab", "call": call, "error": error}
        return self.registry.get_sample_value("tandem_ray_request_errors_total", labels) or 0


@pytest.fixture
async def asking(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Asking]:
    monkeypatch.setattr(ray_serve, "READ_SECONDS", 1)
    dashboard, tokens, registry = Dashboard(), ["first"], CollectorRegistry()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", dashboard.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    dashboard.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    metrics = RayMetrics(registry)
    async with aiohttp.ClientSession() as session:
        client = RayServeClient(session, cluster="lab", url=dashboard.url, token=lambda: tokens[-1], metrics=metrics)
        engine = ServeEngine(
            client, cluster="lab", cluster_uid="01234567-89", http_host="10.0.0.1", http_port=8000, metrics=metrics
        )
        yield Asking(dashboard, engine, registry, tokens)
    await runner.cleanup()


def _text(text: str, status: int = 200, **headers: str) -> Handler:
    async def handler(_: web.Request) -> web.StreamResponse:
        return web.Response(text=text, status=status, headers=headers)

    return handler


def _json(value: object) -> Handler:
    return _text(json.dumps(value))


async def _hang(_: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


async def _hang_up(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.close()
    return web.Response()


@pytest.mark.parametrize(
    ("read", "error", "told"),
    [
        pytest.param(_hang, "timeout", "did not answer within 1 s", id="hanging"),
        pytest.param(_hang_up, "unreachable", "cannot be reached", id="closing the connection"),
        pytest.param(_text("no", 401), "unauthorized", "refuses the operator's token", id="another token"),
        pytest.param(_text("no", 403), "unauthorized", "refuses the operator's token", id="a token without rights"),
        pytest.param(_text("<html>Sign in</html>"), "garbage", "<html>Sign in</html>", id="a page of a proxy"),
        pytest.param(_text("{"), "garbage", "something else: {", id="half an answer"),
        pytest.param(_text(""), "garbage", "something else: nothing", id="an empty answer"),
        pytest.param(_json([]), "garbage", "something else: []", id="a list"),
        pytest.param(_json({"result": True}), "garbage", "something else", id="an answer without applications"),
        pytest.param(_json({"applications": {"a": {"status": "NEW"}}}), "garbage", "NEW", id="an unknown status"),
        pytest.param(_text("GCS may be down", 503), "status", "503: GCS may be down", id="Ray's own trouble"),
        pytest.param(_text("", 302, Location="http://127.0.0.1:1/"), "status", "answered 302", id="a redirect"),
    ],
)
async def test_an_answer_that_is_none_holds_everything(asking: Asking, read: Handler, error: str, told: str) -> None:
    asking.dashboard.read = read
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: asking.engine.observe(OURS),
        lambda: asking.engine.apply(APP, 1),
        lambda: asking.engine.remove(OURS),
        lambda: asking.engine.sweep(list),
    ]
    for call in calls:
        with pytest.raises(Hold) as held:
            await call()
        assert told in str(held.value)
        assert str(held.value).startswith("Ray cluster lab ")
    assert not asking.dashboard.wrote()
    assert asking.errors("get", error) == 3, "apply is told at once what observe has just found"


async def test_a_dashboard_that_is_down_holds_everything(asking: Asking) -> None:
    asking.engine._client._url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(Hold, match="cannot be reached"):
        await asking.engine.observe(OURS)
    assert asking.errors("get", "unreachable") == 1


async def test_after_a_silence_others_are_told_at_once(asking: Asking) -> None:
    asking.dashboard.read = _hang
    results = await asyncio.gather(*(asking.engine.observe(OURS) for _ in range(20)), return_exceptions=True)
    assert {type(result) for result in results} == {Hold}
    assert len(asking.dashboard.asked) == 1


async def test_one_who_waits_for_a_silent_cluster_is_enough(asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    asking.dashboard.read = _hang
    with pytest.raises(Hold):
        await asking.engine.observe(OURS)
    monkeypatch.setattr(serve_engine, "FAIL_FAST_SECONDS", 0)
    monkeypatch.setattr(ray_serve, "READ_SECONDS", 600)
    waiting = asyncio.create_task(asking.engine.observe(OURS))
    await eventually_async(lambda: len(asking.dashboard.asked) == 2, 60)
    results = await asyncio.gather(*(asking.engine.observe(OURS) for _ in range(20)), return_exceptions=True)
    assert {type(result) for result in results} == {Hold}
    assert not waiting.done()
    waiting.cancel()


async def test_one_answer_serves_all_deployments_of_a_moment(asking: Asking) -> None:
    await asyncio.gather(*(asking.engine.observe(f"{OURS}-{number}") for number in range(20)))
    assert len(asking.dashboard.asked) == 1


def _deployed(document: dict[str, Any], **replica: Any) -> dict[str, Any]:
    """Return what Ray says once it runs the first application of a document."""
    app = document["applications"][0]
    running = {"status": "HEALTHY", "target_num_replicas": 1, "replicas": [{"state": "RUNNING"}], **replica}
    found = {"status": "RUNNING", "source": "declarative", "deployed_app_config": app}
    return {
        "controller_info": {"actor_id": "a"},
        "applications": {app["name"]: {**found, "deployments": {"replica": running}}},
    }


async def test_what_needs_no_write_is_decided_from_one_answer_for_all(asking: Asking) -> None:
    await asking.engine.apply(APP, 1)
    asking.dashboard.read = _json(_deployed(asking.dashboard.written[0]))
    asking.engine._forget_answers()
    asking.dashboard.asked.clear()
    applied = await asyncio.gather(*(asking.engine.apply(APP, 1) for _ in range(20)))
    assert {each.action for each in applied} == {Action.NOTHING}
    assert len(asking.dashboard.asked) == 1


async def test_what_is_written_is_built_from_what_was_read_just_before(asking: Asking) -> None:
    await asking.engine.observe(OURS)
    theirs = {"status": "RUNNING", "source": "declarative", "deployed_app_config": a_foreign_app("theirs")}
    asking.dashboard.read = _json({"controller_info": {"actor_id": "a"}, "applications": {"theirs": theirs}})
    await asking.engine.apply(APP, 1)
    (document,) = asking.dashboard.written
    assert [each["name"] for each in document["applications"]] == ["theirs", OURS]


async def test_an_answer_from_before_a_write_is_served_to_nobody_after_it(asking: Asking) -> None:
    begun, released = asyncio.Event(), asyncio.Event()

    async def late(_: web.Request) -> web.StreamResponse:
        begun.set()
        await released.wait()
        return web.json_response(FRESH)

    async def write(_: web.Request) -> web.StreamResponse:
        asking.dashboard.read = _json(_deployed(asking.dashboard.written[0]))
        return web.Response()

    asking.dashboard.read, asking.dashboard.write = late, write
    slow = asyncio.create_task(asking.engine.observe(OURS))
    await begun.wait()
    await asking.engine._put_app(ServeDetails(applications={}), APP)
    released.set()
    assert (await slow).status is AppStatus.ABSENT
    assert (await asking.engine.observe(OURS)).status is AppStatus.RUNNING


async def test_a_cluster_that_answers_no_write_keeps_few_waiting_and_sends_the_others_away(asking: Asking) -> None:
    released = asyncio.Event()

    async def write(_: web.Request) -> web.StreamResponse:
        await released.wait()
        return web.Response()

    asking.dashboard.write = write
    apps = [{**APP, "name": f"{OURS}{at}", "route_prefix": f"/{OURS}{at}"} for at in range(100)]
    in_line = [asyncio.create_task(asking.engine.apply(app, 1)) for app in apps[:MOST_IN_LINE]]
    await eventually_async(lambda: asking.dashboard.written and asking.engine._in_line == MOST_IN_LINE, 10)
    sent_away = [await asking.engine.apply(app, 1) for app in apps[MOST_IN_LINE:]]
    assert all(applied.waits and applied.action is Action.PUT for applied in sent_away)
    assert sent_away[0].again_seconds == PARKED_SECONDS
    assert sent_away[-1].again_seconds == len(sent_away) / PARKED_PER_SECOND
    released.set()
    assert [applied.waits for applied in await asyncio.gather(*in_line)] == [False] * MOST_IN_LINE
    assert not (await asking.engine.apply(apps[-1], 1)).waits


async def test_every_call_carries_the_token_of_the_moment_and_no_browsers_name(asking: Asking) -> None:
    await asking.engine.observe(OURS)
    asking.tokens.append("second")
    await asking.engine.apply(APP, 1)
    sent = [request.headers for request in asking.dashboard.asked]
    assert [headers["authorization"] for headers in sent] == ["Bearer first", *["Bearer second"] * (len(sent) - 1)]
    assert {headers["user-agent"] for headers in sent} == {"tandem-operator"}
    assert not {"origin", "referer", "sec-fetch-mode"} & {name.lower() for headers in sent for name in headers}


async def test_a_fresh_cluster_is_told_where_to_listen(asking: Asking) -> None:
    await asking.engine.apply(APP, 1)
    (document,) = asking.dashboard.written
    assert document["http_options"] == {"host": "10.0.0.1", "port": 8000}
    assert "proxy_location" not in document, "Disabled would take the replicas' HTTP ports away"


async def test_a_serve_that_ray_lost_sight_of_is_not_taken_for_a_fresh_one(asking: Asking) -> None:
    asking.dashboard.actors = [{"state": "DEAD"}, {"state": "RESTARTING"}]
    for call in (asking.engine.apply(APP, 1), asking.engine.remove(OURS)):
        with pytest.raises(Hold, match="Serve is running, but does not say what"):
            await call
    assert not asking.dashboard.wrote()
    asking.dashboard.actors = [{"state": "DEAD"}]
    await asking.engine.apply(APP, 1)
    assert asking.dashboard.wrote()


@pytest.mark.parametrize(
    ("theirs", "told"),
    [
        pytest.param(
            {"runtime_env": {"env_vars": {"SECRET": "<redacted>"}}}, "would destroy them", id="hidden environment"
        ),
        pytest.param(None, "does not say what application theirs is made of", id="no document"),
    ],
)
async def test_what_would_harm_others_is_not_written(asking: Asking, theirs: dict[str, Any] | None, told: str) -> None:
    config = a_foreign_app("theirs", **theirs) if theirs else None
    app = {"status": "RUNNING", "source": "declarative", "deployed_app_config": config}
    asking.dashboard.read = _json({"controller_info": {"actor_id": "a"}, "applications": {"theirs": app}})
    with pytest.raises(Hold, match=told):
        await asking.engine.apply(APP, 1)
    assert not asking.dashboard.wrote()


async def test_what_code_deployed_is_not_in_the_document_and_stays_out_of_it(asking: Asking) -> None:
    app = {"status": "RUNNING", "source": "imperative", "deployed_app_config": None}
    asking.dashboard.read = _json({"controller_info": {"actor_id": "a"}, "applications": {"theirs": app}})
    await asking.engine.apply(APP, 1)
    (document,) = asking.dashboard.written
    assert [each["name"] for each in document["applications"]] == [OURS]


@pytest.mark.parametrize(
    ("write", "error"),
    [
        pytest.param(_text("boom", 500), "status", id="an error"),
        pytest.param(_hang_up, "unreachable", id="a connection that broke"),
        pytest.param(_text("no", 401), "unauthorized", id="a token that was changed"),
    ],
)
async def test_a_write_whose_fate_is_unknown_is_tried_again(asking: Asking, write: Handler, error: str) -> None:
    asking.dashboard.write = write
    with pytest.raises(Retry, match="Ray cluster lab"):
        await asking.engine.apply(APP, 1)
    assert asking.errors("put", error) == 1


async def test_a_refusal_is_blamed_on_the_application_that_it_names(asking: Asking) -> None:
    theirs = {"status": "RUNNING", "source": "declarative", "deployed_app_config": a_foreign_app("theirs")}
    asking.dashboard.read = _json({"controller_info": {"actor_id": "a"}, "applications": {"theirs": theirs}})
    asking.dashboard.write = _text("1 validation error\napplications.0.deployments.0.x\n  is wrong", 400)
    with pytest.raises(Retry, match="refuses application theirs, which is not ours"):
        await asking.engine.apply(APP, 1)
    asking.dashboard.write = _text("1 validation error\napplications.1.deployments.0.x\n  is wrong", 400)
    with pytest.raises(Reject, match="is wrong"):
        await asking.engine.apply(APP, 1)
    assert asking.errors("put", "refused") == 2


async def test_the_same_answer_again_is_not_read_again(asking: Asking) -> None:
    client = asking.engine._client
    first = await client.details()
    assert await client.details() is first
    asking.dashboard.read = _json({**FRESH, "target_capacity": 50})
    assert (await client.details()).target_capacity == 50
