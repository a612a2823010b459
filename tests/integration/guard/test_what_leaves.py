"""What a provider gets and what a client gets back, through real Envoy, guard and TLS."""

import json

import httpx
import pytest
from support.guarded_house import OFFERED, House, at_once
from support.wait import eventually
from tandem_lab.cloud_admin import Received

TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}]


def the_request(house: House, cloud: str = "cloud-a") -> Received:
    (received,) = house.clouds[cloud].received
    return received


def test_the_provider_gets_our_headers_and_no_others(house: House) -> None:
    answer = house.chat(
        headers={
            "authorization": "Bearer key-of-the-client",
            "cookie": "session=client",
            "accept-encoding": "gzip",
            "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "x-forwarded-for": "10.1.2.3",
            "x-request-id": "from-the-client",
            "x-stainless-os": "Linux",
            "openai-organization": "org-client",
            "x-tandem-data-class": "Internal",
        }
    )
    assert answer.status_code == 200
    received = the_request(house)
    ours = ["accept", "authorization", "content-length", "content-type", "host", "user-agent"]
    assert sorted(received.headers) == ours
    assert received.headers["authorization"] == f"Bearer {house.clouds['cloud-a'].key}"
    assert received.headers["user-agent"] == "tandem"
    assert (received.method, received.path) == ("POST", "/v1/chat/completions")
    assert received.headers["host"] == f"localhost:{house.clouds['cloud-a'].port}"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("chat/completions", {"temperature": 0.10, "tools": TOOLS, "metadata": {"ключ": "значение"}}),
        ("completions", {"prompt": "Once upon"}),
        ("embeddings", {"input": ["one", "two"]}),
    ],
)
def test_the_model_is_the_providers_and_the_rest_the_clients(house: House, path: str, body: dict[str, object]) -> None:
    answer = house.chat(path=f"{path}?api-version=1", **body)
    assert answer.status_code == 200
    received = the_request(house)
    assert received.path == f"/v1/{path}"
    assert received.body == {"model": OFFERED, "messages": [{"role": "user", "content": "two words"}], **body}


def test_the_client_learns_where_its_answer_came_from_and_the_model_that_really_answered(house: House) -> None:
    answer = house.chat(headers={"x-request-id": "from-the-client"}, x_fault="noisy", tools=TOOLS)
    of_the_hop = ("connection", "date", "transfer-encoding")
    known = {name: value for name, value in answer.headers.items() if name not in of_the_hop}
    assert known == {
        "content-type": "application/json; charset=utf-8",
        "server": "envoy",
        "x-request-id": "from-the-client",
        "x-tandem-attempts": "1",
        "x-tandem-destination": "cloud/cloud-a",
        "x-tandem-reason": "bridge",
    }
    assert answer.json()["model"].startswith(OFFERED)
    assert answer.json()["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "weather"


def test_attempts_count_over_the_redirect(house: House) -> None:
    house.replica.behave("/app-hello", "saturated")
    answer = house.chat("hello")
    assert answer.headers["x-tandem-destination"] == "cloud/cloud-a"
    assert answer.headers["x-tandem-reason"] == "overflow"
    assert answer.headers["x-tandem-attempts"] == "3"


def test_a_broken_replica_is_a_failover(house: House) -> None:
    house.replica.behave("/app-hello", "500")
    answer = house.chat("hello")
    assert answer.headers["x-tandem-destination"] == "cloud/cloud-a"
    assert answer.headers["x-tandem-reason"] == "failover"


def tokens(house: House, kind: str) -> float:
    return house.guard.metric(
        "tandem_cloud_tokens_total", deployment="team/cold", endpoint="cloud-a", model=OFFERED, kind=kind
    )


def unreported(house: House) -> float:
    return house.guard.metric(
        "tandem_cloud_usage_missing_total", deployment="team/cold", endpoint="cloud-a", model=OFFERED
    )


@pytest.mark.parametrize("fault", [None, "crumbs", "coalesced"])
@pytest.mark.parametrize(
    ("asked", "path", "body"),
    [
        pytest.param(None, "chat/completions", {}, id="whole chat"),
        pytest.param(False, "chat/completions", {"stream": True}, id="streamed chat, usage not asked"),
        pytest.param(
            True,
            "chat/completions",
            {"stream": True, "stream_options": {"include_usage": True}},
            id="streamed chat, usage asked",
        ),
        pytest.param(False, "completions", {"stream": True, "prompt": "two words"}, id="streamed completion"),
    ],
)
def test_usage_is_counted_once_and_shown_to_who_asked(
    house: House, asked: bool | None, path: str, body: dict[str, object], fault: str | None
) -> None:
    before = tokens(house, "prompt"), tokens(house, "completion")
    answer = house.chat(path=path, max_tokens=9, x_fault=fault, **body)
    assert answer.status_code == 200
    eventually(lambda: tokens(house, "completion") == before[1] + 9, within_seconds=60)
    assert tokens(house, "prompt") == before[0] + 2
    if asked is not None:
        events = [line.removeprefix("data: ") for line in answer.text.split("\n\n") if line]
        assert events[-1] == "[DONE]"
        assert any(json.loads(event)["choices"] == [] for event in events[:-1]) is asked
        assert len(events) == 9 + 1 + 1 + asked
        assert the_request(house).body["stream_options"] == {"include_usage": True}  # type: ignore[index]  # is small


def test_an_embeddings_answer_is_counted_without_completion_tokens(house: House) -> None:
    before = tokens(house, "prompt"), tokens(house, "completion")
    assert house.chat(path="embeddings", input="three words here").status_code == 200
    eventually(lambda: tokens(house, "prompt") == before[0] + 3, within_seconds=60)
    assert tokens(house, "completion") == before[1]


@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_without_usage_is_counted_as_such(house: House, stream: bool) -> None:
    before = unreported(house)
    assert house.chat(stream=stream, x_fault="no_usage").status_code == 200
    eventually(lambda: unreported(house) == before + 1, within_seconds=60)


def test_a_stream_that_breaks_off_is_counted_as_unreported_and_reaches_the_client_as_broken(house: House) -> None:
    before = unreported(house)
    with pytest.raises(httpx.RemoteProtocolError):
        house.chat(stream=True, x_fault="drop_mid_stream")
    eventually(lambda: unreported(house) == before + 1, within_seconds=60)


def test_events_reach_the_client_while_the_cloud_still_speaks(house: House) -> None:
    body = {"model": "cold", "messages": [], "stream": True, "x_fault": "hang_mid_stream"}
    before = house.clouds["cloud-a"].aborted
    with house.client.stream("POST", f"{house.gateway.url}/v1/chat/completions", json=body) as answer:
        assert next(answer.iter_lines()).startswith('data: {"id"')
        assert house.clouds["cloud-a"].aborted == before
    eventually(lambda: house.clouds["cloud-a"].aborted == before + 1, within_seconds=60)  # the client left: so do we


def test_a_client_that_leaves_before_the_answer_is_counted_as_aborted(house: House) -> None:
    def aborted() -> float:
        return house.guard.metric(
            "tandem_cloud_requests_total",
            deployment="team/cold",
            endpoint="cloud-a",
            model=OFFERED,
            reason="bridge",
            code="aborted",
        )

    before, at_the_cloud = aborted(), house.clouds["cloud-a"].aborted
    body = {"model": "cold", "messages": [], "x_fault": "hang"}
    with pytest.raises(httpx.ReadTimeout):
        house.client.post(f"{house.gateway.url}/v1/chat/completions", json=body, timeout=5)
    eventually(lambda: aborted() == before + 1, within_seconds=60)
    eventually(lambda: house.clouds["cloud-a"].aborted == at_the_cloud + 1, within_seconds=60)


def test_a_body_of_16_mib_goes_out_whole(house: House) -> None:
    text = "0123456789abcdef" * ((16 << 16) - 20)
    answer = house.chat(messages=[{"role": "user", "content": text}])
    assert answer.status_code == 200
    assert answer.headers["x-tandem-destination"] == "cloud/cloud-a"
    assert the_request(house).body_bytes > (16 << 20) - 1024


def test_small_requests_pass_while_large_ones_are_on_their_way(house: House) -> None:
    text = "x" * (15 << 20)

    def large() -> httpx.Response:
        return house.chat(messages=[{"role": "user", "content": text}])

    def small() -> httpx.Response:
        return house.chat()

    works = iter([large, small] * 4)

    def one() -> httpx.Response:
        return next(works)()

    answers = at_once(8, one)
    assert {answer.status_code for answer in answers} == {200}
    assert house.guard.metric("tandem_guard_body_bytes_in_flight") == 0


def test_two_hundred_at_once_with_no_replica_are_all_answered_by_the_cloud(house: House) -> None:
    answers = at_once(200, house.chat)
    assert {(answer.status_code, answer.headers["x-tandem-destination"]) for answer in answers} == {
        (200, "cloud/cloud-a")
    }


@pytest.mark.parametrize("fault", ["307", "401", "403", "404", "429", "500", "503", "drop"])
def test_what_is_no_fault_of_the_request_goes_on_to_the_next_cloud(house: House, fault: str) -> None:
    house.clouds["cloud-a"].fail(fault)
    answer = house.chat()
    assert answer.status_code == 200
    assert answer.headers["x-tandem-destination"] == "cloud/cloud-b"
    assert [len(cloud.received) for cloud in house.clouds.values()] == [1, 1]


@pytest.mark.parametrize("fault", ["307", "401", "403", "404", "429", "500", "503", "drop"])
def test_when_every_cloud_fails_the_client_gets_a_503_without_the_providers_words(house: House, fault: str) -> None:
    answer = house.chat(x_fault=fault)
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    assert answer.json()["error"]["code"] == "unavailable"
    for secret in ("sk-", "org-stand-in", "elsewhere.example"):
        assert secret not in answer.text + str(answer.headers)
    assert [len(cloud.received) for cloud in house.clouds.values()] == [1, 1]  # none is asked twice


FAULTS = ["400", "413", "422"]


@pytest.mark.parametrize("fault", FAULTS)
def test_what_one_cloud_finds_fault_with_another_may_take(house: House, fault: str) -> None:
    house.clouds["cloud-a"].fail(fault)
    answer = house.chat()
    assert (answer.status_code, answer.headers["x-tandem-destination"]) == (200, "cloud/cloud-b")


@pytest.mark.parametrize("fault", FAULTS)
def test_what_clouds_find_fault_with_a_replica_may_take(house: House, fault: str) -> None:
    house.replica.behave("/app-hello", "saturated")
    answer = house.chat("hello", x_fault=fault)
    assert (answer.status_code, answer.headers["x-tandem-destination"]) == (200, "local")
    assert house.received == 2


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_the_request_is_told_to_the_client_when_nobody_else_is_left(house: House, fault: str) -> None:
    answer = house.chat(x_fault=fault)
    assert answer.status_code == int(fault)
    assert answer.json()["error"]["code"] == fault
    assert answer.headers["x-tandem-destination"] == "cloud/cloud-b"
    assert [len(cloud.received) for cloud in house.clouds.values()] == [1, 1]


def test_a_cloud_that_may_not_be_asked_is_nobody_who_is_left(house: House) -> None:
    view = house.board.current()
    house.publish(credentials={"cloud-a": view.credentials["cloud-a"]})
    answer = house.chat(x_fault="400")
    assert (answer.status_code, answer.headers["x-tandem-destination"]) == (400, "cloud/cloud-a")
    assert "temperature" in answer.json()["error"]["message"]


def test_a_redirected_request_that_no_cloud_takes_is_answered_locally(house: House) -> None:
    house.replica.behave("/app-hello", "saturated")
    for cloud in house.clouds.values():
        cloud.fail("401")
    answer = house.chat("hello")
    assert answer.status_code == 200
    assert answer.headers["x-tandem-destination"] == "local"
    assert "x-tandem-reason" not in answer.headers
