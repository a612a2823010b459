"""One JSON object for each leg of a request and each attempt at a cloud; never a body, a query or a credential."""

import asyncio
from typing import Any

import pytest
from support.asking import CHAT, ask
from support.routing_world import World
from support.wait import eventually

SECRETS = {"authorization": "Bearer hush-1", "x-api-key": "hush-2", "cookie": "hush-3"}

Entries = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def entries(world: World) -> Entries:
    """What was logged of a few requests, by name; Envoy writes every 10 seconds: they are waited for together."""
    ids = asyncio.run(a_few_requests(world))

    def written() -> Entries | None:
        log = world.gateway.access_log()
        found = {name: [entry for entry in log if entry["request_id"] == each] for name, each in ids.items()}
        legs = {"failover": 2, "overflow": 3, "secret": 3, "denied": 3}
        return found if all(len(found[name]) == legs.get(name, 1) for name in ids) else None

    found = eventually(written, within_seconds=60)
    assert found is not None
    return found


async def a_few_requests(world: World) -> dict[str, str]:
    answers = {
        "local": await ask(world.url, "chat"),
        "failover": await ask(world.url, "one-cloud", local="500"),
        "overflow": await ask(world.url, "one-cloud", local="redirect"),
        "denied": await ask(world.url, "chat", local="500", headers={"x-tandem-data-class": "Restricted"}),
        "unknown": await ask(world.url, "x" * 5000),
        "secret": await ask(
            world.url, "one-cloud", path=f"{CHAT}?key=hush-4", local="redirect", headers=SECRETS, prompt="hush-5"
        ),
    }
    return {name: answer.request_id for name, answer in answers.items()}


def test_a_local_answer_is_logged_with_its_replica(world: World, entries: Entries) -> None:
    (entry,) = entries["local"]
    wanted = {
        "method": "POST",
        "path": CHAT,
        "model": "chat",
        "deployment": "ns/chat",
        "status": 200,
        "destination": "local",
        "reason": None,
        "attempts": 1,
        "replica": f"replica-{world.replicas.port}",
    }
    assert {key: entry[key] for key in wanted} == wanted
    assert {"duration_ms", "first_byte_ms", "flags", "details", "bytes_sent", "bytes_received"} <= entry.keys()


def test_a_failover_is_logged_with_its_reason_and_attempts(entries: Entries) -> None:
    _, entry = entries["failover"]
    assert (entry["destination"], entry["reason"], entry["attempts"]) == ("cloud/east", "failover", 3)


def test_an_overflow_is_logged_as_two_legs(entries: Entries) -> None:
    first, _, second = entries["overflow"]
    assert (first["status"], first["details"]) == (307, "internal_redirect")
    assert (second["status"], second["destination"], second["redirected"]) == (200, "cloud/east", "overflow")


def test_an_attempt_at_a_cloud_is_logged_with_its_endpoint(entries: Entries) -> None:
    entry, _ = entries["failover"]
    assert (entry["endpoint"], entry["status"], entry["details"]) == ("east", 200, "via_upstream")


def test_a_denial_is_logged_with_its_word_for_each_cloud(entries: Entries) -> None:
    *denied, answered = entries["denied"]
    assert [(entry["endpoint"], entry["details"]) for entry in denied] == [
        ("east", "guard_denied_data_class"),
        ("west", "guard_denied_data_class"),
    ]
    assert answered["status"] == 500


def test_an_unknown_model_is_logged_by_its_name_cut_short(entries: Entries) -> None:
    (entry,) = entries["unknown"]
    assert (entry["status"], entry["flags"], entry["model"]) == (404, "NC", "x" * 128)


def test_no_secret_is_logged(world: World, entries: Entries) -> None:
    assert len(entries["secret"]) == 3
    assert "hush-" not in world.gateway.log()
    assert "token-of-the-replica" not in world.gateway.log()
