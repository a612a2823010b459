"""The real ``openai`` package against the gateway: what it says, what it raises, and when it tries again."""

from collections.abc import Iterator

import openai
import pytest
from support.guarded_house import House, guarded_house

PROMPT = [{"role": "user", "content": "two words"}]
TOOLS = [
    {
        "type": "function",
        "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
    }
]


@pytest.fixture(scope="module")
def running_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with guarded_house(tmp_path_factory.mktemp("sdk")) as running:
        yield running


@pytest.fixture
def house(running_house: House) -> House:
    running_house.reset()
    running_house.replica.seen.clear()
    return running_house


@pytest.fixture
def statuses() -> list[int]:
    """The status of every answer that the package got, those too that it did not tell."""
    return []


@pytest.fixture
def sdk(house: House, statuses: list[int]) -> Iterator[openai.OpenAI]:
    """A client as anybody makes it; ``max_retries`` is the package's own."""
    listening = openai.DefaultHttpxClient(
        event_hooks={"response": [lambda answer: statuses.append(answer.status_code)]}
    )
    with openai.OpenAI(
        base_url=f"{house.gateway.url}/v1", api_key="key-of-the-client", http_client=listening
    ) as client:
        yield client


def test_a_chat_is_answered_locally(sdk: openai.OpenAI) -> None:
    answer = sdk.chat.completions.with_raw_response.create(model="hello", messages=PROMPT)
    chat = answer.parse()
    assert answer.headers["x-tandem-destination"] == "local"
    assert chat.choices[0].message.content == "Hello from local"
    assert chat._request_id == answer.headers["x-request-id"]


def test_a_chat_is_answered_by_the_cloud_under_the_same_name(sdk: openai.OpenAI) -> None:
    answer = sdk.chat.completions.with_raw_response.create(model="cold", messages=PROMPT)
    assert answer.headers["x-tandem-destination"].startswith("cloud/")
    assert answer.headers["x-tandem-reason"] == "bridge"
    assert answer.parse().choices[0].message.content


@pytest.mark.parametrize("model", ["hello", "cold"])
def test_a_chat_is_streamed(sdk: openai.OpenAI, model: str) -> None:
    with sdk.chat.completions.create(model=model, messages=PROMPT, stream=True) as stream:
        chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks).strip()
    assert all(chunk.choices for chunk in chunks), "a usage chunk that nobody asked for"


def test_usage_of_a_cloud_stream_comes_when_it_is_asked_for(sdk: openai.OpenAI) -> None:
    asked = {"stream": True, "stream_options": {"include_usage": True}}
    with sdk.chat.completions.create(model="cold", messages=PROMPT, **asked) as stream:
        *_, last = stream
    assert last.usage is not None
    assert last.usage.total_tokens > 0


def test_tools_are_passed_through(house: House, sdk: openai.OpenAI) -> None:
    chat = sdk.chat.completions.create(model="hello", messages=PROMPT, tools=TOOLS, tool_choice="auto")
    (seen,) = house.replica.seen
    assert (seen.json["tools"], seen.json["tool_choice"]) == (TOOLS, "auto")
    assert chat.choices[0].message.tool_calls[0].function.name == "weather"


@pytest.mark.parametrize("model", ["hello", "cold"])
def test_tools_are_the_same_wherever_they_are_answered(house: House, sdk: openai.OpenAI, model: str) -> None:
    sdk.chat.completions.create(model=model, messages=PROMPT, tools=TOOLS)
    bodies = [seen.json for seen in house.replica.seen]
    bodies += [received.body for cloud in house.clouds.values() for received in cloud.received]
    assert [body["tools"] for body in bodies] == [TOOLS]


def test_an_unknown_model_is_a_not_found_error(sdk: openai.OpenAI, statuses: list[int]) -> None:
    with pytest.raises(openai.NotFoundError) as raised:
        sdk.chat.completions.create(model="nobody", messages=PROMPT)
    assert (raised.value.code, raised.value.type) == ("model_not_found", "invalid_request_error")
    assert "`nobody`" in raised.value.message
    assert statuses == [404]


def test_a_body_that_is_too_large_is_refused_for_good(house: House, sdk: openai.OpenAI) -> None:
    with pytest.raises(openai.APIStatusError) as raised:
        sdk.chat.completions.create(model="hello", messages=[{"role": "user", "content": "x" * (17 << 20)}])
    assert (raised.value.status_code, raised.value.code) == (413, "request_too_large")
    assert house.replica.seen == []


def test_a_bad_request_is_not_tried_again(house: House, sdk: openai.OpenAI, statuses: list[int]) -> None:
    house.replica.behave("/app-hello", "400")
    with pytest.raises(openai.BadRequestError):
        sdk.chat.completions.create(model="hello", messages=PROMPT)
    assert statuses == [400]


def test_a_full_model_is_a_rate_limit_error_with_its_delay(house: House, sdk: openai.OpenAI) -> None:
    house.replica.behave("/app-hello", "full")
    with pytest.raises(openai.RateLimitError) as raised:
        sdk.with_options(max_retries=0).chat.completions.create(model="hello", messages=PROMPT)
    assert raised.value.response.headers["retry-after"] == "7"


def test_nobody_left_is_an_internal_server_error_of_the_gateway(house: House, sdk: openai.OpenAI) -> None:
    with pytest.raises(openai.InternalServerError) as raised:
        sdk.with_options(max_retries=0).chat.completions.create(
            model="cold", messages=PROMPT, extra_headers={"x-tandem-data-class": "Restricted"}
        )
    assert (raised.value.status_code, raised.value.code) == (503, "unavailable")
    assert raised.value.response.headers["x-tandem-destination"] == "gateway"
    assert house.received == 0


def test_the_packages_own_retry_is_answered_once_there_is_somebody(house: House, sdk: openai.OpenAI) -> None:
    """The first answer is a 503 with Retry-After; before the package comes again, the clouds are well."""
    for cloud in house.clouds.values():
        cloud.fail("500")
    recover = [lambda _: [cloud.fail(None) for cloud in house.clouds.values()]]
    with openai.DefaultHttpxClient(event_hooks={"response": recover}) as recovering:
        client = sdk.with_options(http_client=recovering)
        answer = client.chat.completions.with_raw_response.create(model="cold", messages=PROMPT)
    assert answer.headers["x-tandem-destination"].startswith("cloud/")
    assert answer.retries_taken == 1
