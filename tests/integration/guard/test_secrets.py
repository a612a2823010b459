"""Keys and tokens are in memory and on the way to their provider, and nowhere else."""

import json
from typing import Any

import pytest
import structlog
from support.ext_proc_client import request_body, response_headers, usual_headers
from support.guarded_house import House, a_deployment
from support.replica_peer import TOKEN
from tandem_contract import headers


def everything_that_can_happen(house: House) -> list[str]:
    """Return what clients saw while the guard sent, was refused, denied and failed."""
    seen = []
    for fault in (None, "401", "400", "noisy", "drop", "crumbs"):
        answer = house.chat(x_fault=fault, stream=fault == "crumbs")
        seen += [answer.text, str(answer.headers)]
    house.replica.behave("/app-hello", "saturated")
    seen += [(answer := house.chat("hello")).text, str(answer.headers)]
    for broken in ({"credentials": {}}, {"deployments": None}, {"fresh_at": None}):
        house.board.publish(house.usual_view())
        house.publish(**broken)
        seen += [(answer := house.chat("hello")).text, str(answer.headers)]
    return seen


def test_keys_and_tokens_are_nowhere_to_be_seen(house: House, capfd: pytest.CaptureFixture[str]) -> None:
    with structlog.testing.capture_logs() as logs:
        seen = everything_that_can_happen(house)
    assert {entry["event"] for entry in logs} >= {"denied", "cloud refused", "guard failed"}
    written = capfd.readouterr()
    places = {
        "answers": "".join(seen),
        "guard's log": json.dumps(logs, default=repr),
        "guard's output": written.out + written.err,
        "guard's metrics": house.guard.metrics(),
        "Envoy's log": house.gateway.log(),
        "Envoy's configuration": house.gateway.get("/config_dump?include_eds"),
        "Envoy's stats": house.gateway.get("/stats"),
        "Envoy's clusters": house.gateway.get("/clusters?format=json"),
        "the view as text": repr(house.usual_view().credentials),
    }
    keys = [cloud.key for cloud in house.clouds.values()]
    for place, text in places.items():
        for key in keys:
            assert key not in text, place
            assert key[-8:] not in text, f"{place}: a part of the key"
        assert place == "the view as text" or TOKEN not in text, place


def test_an_error_that_quotes_the_key_is_logged_without_it(house: House) -> None:
    key = "sk-quoted-in-an-error"

    class Quoting(dict[str, Any]):
        def get(self, *_: Any) -> Any:
            raise ValueError(f"no credential like Bearer {key}")

    with structlog.testing.capture_logs() as logs:
        house.publish(credentials=Quoting())
        answer = house.chat()
    assert any(entry["event"] == "guard failed" and entry["error"] == "ValueError" for entry in logs)
    assert key not in json.dumps(logs, default=repr) + answer.text


def test_a_key_is_sent_to_its_own_endpoint_alone(house: House) -> None:
    house.clouds["cloud-a"].fail("500")
    assert house.chat().status_code == 200
    for cloud in house.clouds.values():
        (received,) = cloud.received
        assert received.headers["authorization"] == f"Bearer {cloud.key}"


def test_a_refusal_of_the_provider_says_nothing_of_the_key(house: House) -> None:
    replies = house.talk(
        [
            usual_headers(**{headers.HOP: "hop-of-a-refusal"}),
            request_body(b'{"model": "cold"}'),
            response_headers(401, www_authenticate="Bearer realm=org-stand-in"),
        ],
    )
    refused = replies[2].immediate_response
    assert refused.status.code == 502
    assert "org-stand-in" not in str(refused)


def test_a_policys_token_is_hidden_when_it_is_printed() -> None:
    assert TOKEN not in repr(a_deployment("hello"))
