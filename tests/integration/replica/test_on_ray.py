"""The replica's middleware under a real Ray Serve with direct ingress, around the small model."""

import asyncio
import json

import aiohttp
import pytest
from support.wait import eventually_async

pytestmark = pytest.mark.asyncio(loop_scope="session")

SECOND = {"x-envoy-attempt-count": "2", "x-forwarded-proto": "https"}
FIRST = {"x-envoy-attempt-count": "1"}


async def test_it_answers_on_its_own_port_under_its_own_prefix_only(steady_model):
    async with steady_model.chat("good day", headers=FIRST) as response:
        assert response.status == 200
        assert response.headers["x-tandem-destination"] == "local"
        answer = await response.json()
    assert answer["choices"][0]["message"]["content"] == "You said: good day"
    async with steady_model.get("/v1/models") as response:
        assert [card["id"] for card in (await response.json())["data"]] == ["hello", "default/hello"]
    async with steady_model.get("/tandem/healthz") as response:
        assert response.status == 200
    good = await steady_model.url("/v1/models")
    async with steady_model.get("", good.replace(steady_model.prefix, steady_model.prefix + "2")) as response:
        assert (response.status, response.headers["x-tandem-destination"]) == (503, "local")
    for wrong in (steady_model.prefix[:-1], ""):
        async with steady_model.get("", good.replace(steady_model.prefix, wrong)) as response:
            assert response.status == 404  # Ray's own answer: without our header the gateway asks elsewhere
            assert "x-tandem-destination" not in response.headers


async def test_a_stream_arrives_piece_by_piece(steady_model):
    async with steady_model.chat(stream=True, switches={"hang": "after_first_token"}) as response:
        piece = await response.content.readuntil(b"\n\n")
        assert json.loads(piece.removeprefix(b"data: "))["choices"][0]["delta"]["content"] == "You "


async def test_embeddings_and_completions_pass(steady_model):
    body = {"model": "hello", "input": ["a", "b c"]}
    async with steady_model.bench.session.post(await steady_model.url("/v1/embeddings"), json=body) as response:
        assert len((await response.json())["data"]) == 2
    body = {"model": "hello", "prompt": "one two", "max_tokens": 2}
    async with steady_model.bench.session.post(await steady_model.url("/v1/completions"), json=body) as response:
        assert (await response.json())["choices"][0]["text"] == "You said:"


async def test_names_and_objective_change_without_a_restart(small_models):
    model = await small_models.deploy()
    async with model.chat() as response:
        pid = response.headers["x-small-replica"]
    url = await model.url("/v1/chat/completions")  # the replica stays; Ray does not tell of it for some seconds
    await small_models.again(model, names=["renamed", "default/hello"], time_to_first_token_milliseconds=100)

    async def renamed():
        async with model.chat(url=url, model="hello") as response:  # a name that the gateway still sends here
            assert (response.status, response.headers["x-small-replica"]) == (200, pid)
            return (await response.json())["model"] == "renamed"

    await eventually_async(renamed, within_seconds=60)
    async with model.chat(url=url, headers=FIRST, switches={"hang": "before_headers"}) as response:
        assert response.status == 503  # within 0.7 s instead of 1.5 s; the unit tests hold the numbers


@pytest.mark.parametrize("hang", ["before_headers", "after_headers"])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_hanging_model_is_left_within_the_bound(steady_model, hang, stream):
    switches = {"hang": hang}
    async with steady_model.chat(headers=FIRST, stream=stream, switches=switches) as response:
        assert response.status == 503
    async with steady_model.chat(headers=SECOND, stream=stream, switches=switches) as response:
        assert response.status == 307
        assert response.headers["x-tandem-reason"] == "overflow"
        assert response.headers["x-tandem-token"] == "t0k3n"
        assert response.headers["x-tandem-prior-attempts"] == "2"
        assert response.headers["location"] == "https://tandem.internal/v1/chat/completions"
    running = "small_model_running"
    await eventually_async(lambda: _is_zero(steady_model, running), within_seconds=60)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_leaves_ends_the_models_work(steady_model, stream):
    url = await steady_model.url("/v1/chat/completions")
    disconnects = 'tandem_replica_disconnects_total{deployment="default/hello"}'
    before = await steady_model.metric(disconnects)
    body = {"model": "hello", "messages": [], "stream": stream, "switches": {"tokens": 1000, "token_seconds": 60}}
    async with aiohttp.ClientSession() as client:
        asking = asyncio.ensure_future(_read(client, url, body))
        running = "small_model_running"
        await eventually_async(lambda: _is(steady_model, running, 1.0), within_seconds=60)
        asking.cancel()
        await asyncio.wait({asking})
    await eventually_async(lambda: _is_zero(steady_model, running), within_seconds=60)
    await eventually_async(lambda: _is(steady_model, disconnects, before + 1), within_seconds=60)


async def test_a_saturated_replica_sends_on_and_queues_what_came_back(small_models):
    model = await small_models.deploy(switches={"prefill_tokens_per_second": 100})
    long = "word " * 200
    async with model.chat(long, headers=FIRST) as response:
        assert response.status == 503
        assert (await response.json())["error"]["code"] == "replica_busy"
    async with model.chat(long, headers=SECOND) as response:
        assert response.status == 307
    back = {"x-envoy-attempt-count": "1", "x-tandem-reason": "overflow", "x-tandem-prior-attempts": "2"}
    async with model.chat(long, headers=back, max_tokens=1) as response:
        assert response.status == 200
        assert response.headers["x-tandem-attempts"] == "3"
    async with model.chat(long * 10, headers=back) as response:
        assert response.status == 429
        assert response.headers["x-envoy-ratelimited"] == "true"
        assert int(response.headers["retry-after"]) > 1


async def test_a_crowd_in_the_engine_does_not_hold_back_health_checks(steady_model):
    switches = {"first_token_seconds": 60}

    async def ask():
        async with steady_model.chat(switches=switches) as response:
            return response.status

    crowd = [asyncio.ensure_future(ask()) for _ in range(60)]
    running = "small_model_running"
    await eventually_async(lambda: _is(steady_model, running, 60.0), within_seconds=60)
    async with steady_model.get("/tandem/healthz") as response:
        assert response.status == 200
    for each in crowd:
        each.cancel()
    await asyncio.gather(*crowd, return_exceptions=True)
    await eventually_async(lambda: _is_zero(steady_model, running), within_seconds=60)


async def test_scaling_down_lets_running_streams_finish_and_tells_health_checks(small_models):
    model = await small_models.deploy(replicas=2)
    urls = [f"http://{each.address}:{each.port}{model.prefix}" for each in await model.targets()]
    switches = {"tokens": 300, "token_seconds": 0.1}  # half a minute: Ray has to take one away before they end

    async def stream(url):
        async with model.chat(url=url + "/v1/chat/completions", stream=True, switches=switches) as response:
            return await response.text()

    streams = [asyncio.ensure_future(stream(url)) for url in urls]
    for url in urls:
        await eventually_async(lambda url=url: _is(model, "small_model_running", 1.0, url), within_seconds=60)
    await small_models.again(model, replicas=1)
    states = await eventually_async(lambda: _one_drains(model, urls), within_seconds=60)
    assert not any(each.done() for each in streams), states
    for text in await asyncio.gather(*streams):
        assert text.count('"content": "word') == 300
        assert text.endswith("data: [DONE]\n\n")


async def test_a_dead_engine_fails_its_health_check_and_is_replaced(small_models):
    model = await small_models.deploy()
    async with model.chat() as response:
        pid = response.headers["x-small-replica"]
    url = await model.url("")
    model.switch(by_pid={pid: {"dead": True}})
    async with model.get("", url + "/tandem/healthz") as response:
        assert response.status == 503
    async with model.chat(url=url + "/v1/chat/completions") as response:
        assert response.status == 503
        assert "x-envoy-ratelimited" not in response.headers

    async def replaced():
        for target in await model.targets():
            other = f"http://{target.address}:{target.port}{model.prefix}/v1/chat/completions"
            try:
                async with model.chat(url=other) as response:
                    if response.headers.get("x-small-replica") not in {pid, None}:
                        return True
            except aiohttp.ClientError:  # the old one was killed since Ray told of it
                continue
        return False

    await eventually_async(replaced, within_seconds=120)


async def test_a_model_that_cannot_start_says_why_in_the_last_line_of_rays_message(small_models):
    model = small_models.document("broken", switches={"start_error": "the weights are for another architecture"})
    await small_models.bench.engine.apply(model.app, 1)
    await eventually_async(
        lambda: _says(model, "CannotStartError: the weights are for another architecture"), within_seconds=150
    )


async def test_arguments_that_are_not_allowed_are_refused_before_anything_starts(small_models):
    model = small_models.document("refused")
    model.app = {**model.app, "args": {**model.app["args"], "engine_args": {"trust-remote-code": "true"}}}
    await small_models.bench.engine.apply(model.app, 1)
    await eventually_async(lambda: _says(model, "engineArgs: trust-remote-code: not a flag"), within_seconds=150)


async def _read(session, url, body):
    async with session.post(url, json=body) as response:
        return await response.text()


async def _is(model, name, value, url=None):
    return await model.metric(name, url and url + "/metrics") == value


async def _is_zero(model, name):
    return await _is(model, name, 0.0)


async def _one_drains(model, urls):
    states = []
    for url in urls:
        async with model.get("", url + "/tandem/healthz") as response:
            states.append((response.status, await response.text()))
    return states if sorted(status for status, _ in states) == [200, 503] else None


async def _says(model, text):
    details = (await model.bench.raw())["applications"].get(model.app["name"], {})
    told = json.dumps(details)
    assert text in told, told[-3000:]
    return True
