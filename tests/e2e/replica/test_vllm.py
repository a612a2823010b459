"""vLLM itself in the replica: its own answers, names that change live, work that is aborted, its metrics and ours."""

import asyncio
import json

import aiohttp
import openai
import pytest
from support.wait import eventually_async
from tandem_lab import gemma

from .conftest import START_SECONDS, document

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(2 * START_SECONDS)]

QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
FIRST = {"x-envoy-attempt-count": "1"}


def client(replica):
    return openai.AsyncOpenAI(base_url=replica.url + "/v1", api_key="none", max_retries=0)


async def test_it_answers_whole_and_streamed_as_openai_does(gemma_replica):
    async with client(gemma_replica) as ai:
        whole = await ai.chat.completions.create(model="hello", messages=QUESTION, max_tokens=4, temperature=0)
        assert "Paris" in whole.choices[0].message.content
        assert whole.usage.completion_tokens == 4
        stream = await ai.chat.completions.create(
            model="default/hello",
            messages=QUESTION,
            max_tokens=4,
            temperature=0,
            stream=True,
            stream_options={"include_usage": True},
        )
        pieces = [piece async for piece in stream]
    assert "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices) == (
        whole.choices[0].message.content
    )
    assert pieces[-1].usage == whole.usage


async def test_parameters_are_vllms_own(gemma_replica):
    async with client(gemma_replica) as ai:
        answer = await ai.completions.create(
            model="hello", prompt="1, 2, 3,", max_tokens=3, n=2, logprobs=2, extra_body={"min_p": 0.1}
        )
        assert len(answer.choices) == 2
        assert len(answer.choices[0].logprobs.token_logprobs) == 3
        with pytest.raises(openai.BadRequestError, match="maximum context length"):
            await ai.completions.create(model="hello", prompt="word " * 3000, max_tokens=3)


async def test_what_stops_or_changes_the_engine_is_not_there(gemma_replica):
    for path in ("/pause", "/v1/load_lora_adapter", "/collective_rpc", "/server_info", "/openapi.json"):
        for ask in (gemma_replica.bench.session.get, gemma_replica.bench.session.post):
            async with ask(gemma_replica.url + path) as response:
                assert response.status == 404


async def test_metrics_of_vllm_and_ours_are_on_one_page(gemma_replica):
    first_tokens = "tandem_replica_time_to_first_token_seconds_count"
    before = await gemma_replica.metric(first_tokens)
    async with client(gemma_replica) as ai:
        await ai.completions.create(model="hello", prompt="one two three", max_tokens=2)
    assert await gemma_replica.metric(first_tokens) == before + 1
    assert await gemma_replica.metric("tandem_replica_prefill_tokens_per_second") > 0
    assert await gemma_replica.metric("vllm:request_success_total") > 0
    async with gemma_replica.bench.session.get(gemma_replica.url + "/metrics") as response:
        assert 'model_name="default/hello"' in await response.text()


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_leaves_ends_the_engines_work(gemma_replica, stream):
    aborted = "tandem_replica_disconnects_total"
    before = await gemma_replica.metric(aborted)
    body = {"model": "hello", "prompt": "Count:", "max_tokens": 1000, "ignore_eos": True, "stream": stream}
    async with aiohttp.ClientSession() as leaving:
        asking = asyncio.ensure_future(_read(leaving, gemma_replica.url + "/v1/completions", body))
        await eventually_async(lambda: _is(gemma_replica, "vllm:num_requests_running", 1), within_seconds=60)
        asking.cancel()
        await asyncio.wait({asking})
    await eventually_async(lambda: _is(gemma_replica, "vllm:num_requests_running", 0), within_seconds=60)
    await eventually_async(lambda: _is(gemma_replica, aborted, before + 1), within_seconds=60)


async def test_a_first_token_within_the_engine_frees_a_whole_answer_from_the_bound(gemma_replica):
    """Nothing of a whole answer is out while it is generated: only the engine's first token says that it lives."""
    waiting = "tandem_replica_waiting_requests"
    body = {"model": "hello", "prompt": "Count:", "max_tokens": 500, "ignore_eos": True}
    async with aiohttp.ClientSession() as asking:
        answer = asyncio.ensure_future(_read(asking, gemma_replica.url + "/v1/completions", body, headers=FIRST))
        await eventually_async(lambda: _is(gemma_replica, "vllm:num_requests_running", 1), within_seconds=60)
        await eventually_async(lambda: _is(gemma_replica, waiting, 0), within_seconds=60)
        assert not answer.done()
        assert json.loads(await answer)["usage"]["completion_tokens"] == 500


async def test_a_name_that_it_does_not_know_yet_is_answered(gemma_replica):
    """The gateway knows which names lead here, and learns a new one first: a 404 would reach the client."""
    async with client(gemma_replica) as ai:
        whole = await ai.completions.create(model="tomorrow", prompt="a", max_tokens=1)
        messages = [{"role": "user", "content": "a"}]
        stream = await ai.chat.completions.create(model="tomorrow", messages=messages, max_tokens=1, stream=True)
        assert (whole.usage.completion_tokens, len([chunk async for chunk in stream]) > 0) == (1, True)


async def test_names_change_without_a_restart(gemma_replica):
    deployment = gemma_replica.app["deployments"][0]
    began = await gemma_replica.metric("process_start_time_seconds")

    async def rename(*names):
        edited = {**deployment, "user_config": {**deployment["user_config"], "names": list(names)}}
        await gemma_replica.bench.engine.apply({**gemma_replica.app, "deployments": [edited]}, 1)

    async def models():
        async with gemma_replica.bench.session.get(gemma_replica.url + "/v1/models") as response:
            return [card["id"] for card in (await response.json())["data"]]

    async def are(*names):
        return await models() == list(names)

    await rename("renamed", "default/hello")
    await eventually_async(lambda: are("renamed", "default/hello"), within_seconds=60)
    async with client(gemma_replica) as ai:
        answer = await ai.completions.create(model="renamed", prompt="a", max_tokens=1)
        assert answer.model == "renamed"
    assert await gemma_replica.metric("process_start_time_seconds") == began
    await rename("hello", "default/hello")
    await eventually_async(lambda: are("hello", "default/hello"), within_seconds=60)


async def test_a_model_that_does_not_fit_says_so_from_within_the_engines_process(gemma_replica):
    broken = document(gemma_replica.bench, "broken", gemma.folder(), **{"kv-cache-memory-bytes": "1000"})
    await gemma_replica.bench.engine.apply(broken, 1)

    async def told():
        said = json.dumps((await gemma_replica.bench.raw())["applications"].get(broken["name"], {}))
        assert "CannotStartError: ValueError: " in said, said[-3000:]
        assert "No available memory for the cache blocks" in said, said[-3000:]
        return True

    await eventually_async(told, within_seconds=START_SECONDS)


async def _read(session, url, body, **how):
    async with session.post(url, json=body, **how) as response:
        return await response.text()


async def _is(replica, name, value):
    return await replica.metric(name) == value
