"""The whole local path: the ``openai`` package, a real gateway (Envoy and agent), replicas on a real Ray Serve."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import openai
import pytest
import pytest_asyncio
from support.gateway_house import START_SECONDS
from support.wait import eventually, eventually_async
from support.xds_operator import XdsOperator, a_pki, mount
from tandem_lab.gateway import Gateway
from tandem_lab.process import free_port

pytestmark = pytest.mark.asyncio(loop_scope="session")

PROMPT = [{"role": "user", "content": "hello there"}]
DISCONNECTS = 'tandem_replica_disconnects_total{deployment="default/hello"}'
RUNNING = "small_model_running"
TOKENS = 300
"""At ten a second: Ray has to take a replica away, and Envoy to hear of it, before a stream ends."""


class Chain:
    """A gateway that is told of replicas as the operator tells it."""

    def __init__(self, operator, url):
        self._operator = operator
        self.url = url

    async def lead_to(self, model, name="hello"):
        """Publish the replicas that Ray names now; return how many."""
        ports = [target.port for target in await model.targets()]
        self._operator.put_model(name, *ports, prefix=model.prefix)
        return len(ports)


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    pki, port, folder = a_pki(), free_port(), tmp_path_factory.mktemp("gateway")
    with XdsOperator(pki.server) as operator:
        operator.put_gateway(port)
        operator.open()
        with Gateway(folder, operators=[operator.address], tls_dir=mount(pki, folder / "tls")) as gateway:
            eventually(lambda: gateway.ready, START_SECONDS)
            yield Chain(operator, f"http://127.0.0.1:{port}/v1")


@pytest_asyncio.fixture(loop_scope="session")
async def ai(chain: Chain) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=chain.url, api_key="none", max_retries=0) as client:
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def reached(chain, steady_model):
    """The one replica, reached through the gateway."""
    await chain.lead_to(steady_model)
    async with openai.AsyncOpenAI(base_url=chain.url, api_key="none", max_retries=0) as client:
        await eventually_async(lambda: _answers(client), within_seconds=60)
    return steady_model


async def test_a_client_that_leaves_a_stream_ends_the_models_work(ai, reached):
    before = await reached.metric(DISCONNECTS)
    stream = await ai.chat.completions.create(
        model="hello", messages=PROMPT, stream=True, extra_body=_slowly(token_seconds=60)
    )
    first = await anext(aiter(stream))
    assert first.choices[0].delta.content == "word0 "
    assert await reached.metric(RUNNING) == 1
    await stream.close()
    await eventually_async(lambda: _is(reached, RUNNING, 0), within_seconds=60)
    await eventually_async(lambda: _is(reached, DISCONNECTS, before + 1), within_seconds=60)


async def test_a_client_that_leaves_before_a_whole_answer_ends_the_models_work(ai, reached):
    before = await reached.metric(DISCONNECTS)
    asking = asyncio.ensure_future(
        ai.chat.completions.create(model="hello", messages=PROMPT, extra_body=_slowly(token_seconds=60))
    )
    await eventually_async(lambda: _is(reached, RUNNING, 1), within_seconds=60)
    asking.cancel()
    await asyncio.wait({asking})
    await eventually_async(lambda: _is(reached, RUNNING, 0), within_seconds=60)
    await eventually_async(lambda: _is(reached, DISCONNECTS, before + 1), within_seconds=60)


async def test_a_replica_that_is_scaled_away_drains_whole_while_the_other_answers(chain, ai, small_models):
    model = await small_models.deploy("pair", replicas=2)
    await chain.lead_to(model, "pair")
    await eventually_async(lambda: _pids(ai, "pair", 2), within_seconds=60)
    streams = [asyncio.ensure_future(_whole_stream(ai)) for _ in range(4)]
    urls = [f"http://{each.address}:{each.port}{model.prefix}/metrics" for each in await model.targets()]
    await eventually_async(lambda: _each_works(model, urls, streams), within_seconds=60)
    await small_models.again(model, replicas=1)
    await eventually_async(lambda: _leads_to(chain, model, 1), within_seconds=60)
    assert not any(stream.done() for stream in streams)
    (left,) = await eventually_async(lambda: _pids(ai, "pair", 1), within_seconds=60)
    answered = await asyncio.gather(*(_pid(ai, "pair") for _ in range(20)))
    assert set(answered) == {left}
    whole = await asyncio.gather(*streams)
    assert {text for _, text in whole} == {"".join(f"word{number} " for number in range(TOKENS))}
    assert len({pid for pid, _ in whole}) == 2  # one of them was answered by the replica that went


def _slowly(**switches):
    return {"switches": {"tokens": TOKENS, **switches}}


async def _whole_stream(ai):
    """Return who answered, and the text of a stream that lasts half a minute."""
    answer = await ai.chat.completions.with_raw_response.create(
        model="pair", messages=PROMPT, stream=True, extra_body=_slowly(token_seconds=0.1)
    )
    pieces = [piece.choices[0].delta.content async for piece in answer.parse()]
    return answer.headers["x-small-replica"], "".join(pieces)


async def _pid(ai, model):
    answer = await ai.chat.completions.with_raw_response.create(model=model, messages=PROMPT)
    assert answer.headers["x-tandem-destination"] == "local"
    return answer.headers["x-small-replica"]


async def _pids(ai, model, count):
    try:
        pids = set(await asyncio.gather(*(_pid(ai, model) for _ in range(10))))
    except openai.APIStatusError:  # Envoy has not heard of the new replicas, or not asked for their health
        return None
    return pids if len(pids) == count else None


async def _answers(ai):
    return await _pids(ai, "hello", 1)


async def _each_works(model, urls, streams):
    assert not any(stream.done() for stream in streams), streams
    running = [await model.metric(RUNNING, url) for url in urls]
    assert all(running), running
    return True


async def _leads_to(chain, model, count):
    return await chain.lead_to(model, "pair") == count


async def _is(model, name, value):
    return await model.metric(name) == value
