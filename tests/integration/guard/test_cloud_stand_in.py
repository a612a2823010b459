"""The stand-in is what the gateway is measured against: it must speak OpenAI's protocol, and check its key."""

import json
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pytest
from support.wait import eventually
from tandem_lab.cloud import CloudStandIn
from tandem_lab.process import Process


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[CloudStandIn]:
    with CloudStandIn(tmp_path, key="sk-right", models=("gpt-5-mini", "embed")) as running:
        yield running


def a_client(cloud: CloudStandIn, key: str = "sk-right") -> openai.OpenAI:
    trusting = httpx.Client(verify=ssl.create_default_context(cadata=cloud.ca_pem))
    return openai.OpenAI(base_url=cloud.url, api_key=key, http_client=trusting, max_retries=0)


def test_openais_own_client_is_content_with_it(cloud: CloudStandIn) -> None:
    tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
    with a_client(cloud) as client:
        messages = [{"role": "user", "content": "hi"}]
        whole = client.chat.completions.create(model="gpt-5-mini", messages=messages)  # type: ignore[arg-type]  # plain dicts do
        assert whole.usage is not None
        assert whole.usage.completion_tokens == 8
        called = client.chat.completions.create(model="gpt-5-mini", messages=messages, tools=[tool], stream=True)  # type: ignore[call-overload]  # plain dicts do
        assert next(iter(called)).choices[0].delta.tool_calls[0].function.name == "weather"
        assert client.completions.create(model="gpt-5-mini", prompt="x", max_tokens=2).choices[0].text == "The cloud"
        assert len(client.embeddings.create(model="embed", input=["a", "b"]).data[1].embedding) == 8
        assert [model.id for model in client.models.list()] == ["gpt-5-mini", "embed"]
    assert [received.model for received in cloud.received] == ["gpt-5-mini"] * 3 + ["embed", None]


def test_another_key_is_refused_with_a_hint_as_providers_do(cloud: CloudStandIn) -> None:
    with a_client(cloud, "sk-wrong-key") as client, pytest.raises(openai.AuthenticationError, match=r"sk-wr\*\*\*-key"):
        client.models.list()


def test_another_authority_is_not_trusted(cloud: CloudStandIn) -> None:
    with httpx.Client() as client, pytest.raises(httpx.ConnectError):
        client.get(f"{cloud.url}/models")


def test_a_fault_that_nobody_defined_is_refused(cloud: CloudStandIn) -> None:
    with pytest.raises(ValueError, match="explode"):
        cloud.fail("explode")


def test_as_a_program_it_is_steered_from_outside(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-file\n")
    command = [sys.executable, "-m", "tandem_lab.cloud", "--folder", tmp_path, "--key-file", tmp_path / "key"]
    with Process("cloud", command, log=tmp_path / "cloud.log") as program:

        def addresses() -> dict[str, str]:
            program.check()
            lines = program.tail().splitlines()
            return json.loads(lines[0]) if lines else {}

        at = eventually(addresses, within_seconds=60)
        trusting = ssl.create_default_context(cafile=str(tmp_path / "ca.crt"))
        with httpx.Client(verify=trusting, headers={"authorization": "Bearer sk-file"}) as client:
            body = {"model": "gpt-5-mini", "messages": []}
            chat = f"{at['url']}/chat/completions"
            assert client.put(f"{at['admin']}/fault/explode").status_code == 400
            assert client.put(f"{at['admin']}/fault/429").status_code == 204
            assert client.post(chat, json=body).headers["retry-after"] == "7"
            assert client.delete(f"{at['admin']}/fault").status_code == 204
            assert client.post(chat, json=body).status_code == 200
            assert [entry["path"] for entry in client.get(f"{at['admin']}/requests").json()] == [
                "/v1/chat/completions"
            ] * 2
            assert client.delete(f"{at['admin']}/requests").status_code == 204
            assert client.get(f"{at['admin']}/requests").json() == []
