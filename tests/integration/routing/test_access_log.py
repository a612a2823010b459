"""One JSON object for each leg of a request, with what one asks first; never a body, a query or a credential."""

from typing import Any

from support.asking import CHAT, ask
from support.routing_world import World
from support.wait import eventually_async

SECRETS = {"authorization": "Bearer hush-1", "x-api-key": "hush-2", "cookie": "hush-3"}


async def logged(world: World, request_id: str, legs: int = 1) -> list[dict[str, Any]]:
    """Return the entries of one request, once they were written."""

    def entries() -> list[dict[str, Any]] | None:
        found = [entry for entry in world.gateway.access_log() if entry.get("request_id") == request_id]
        return found if len(found) == legs else None

    found = await eventually_async(entries, within_seconds=15)
    assert found is not None
    return found


async def test_a_local_answer_is_logged_with_its_replica(world: World) -> None:
    answer = await ask(world.url, "chat")
    (entry,) = await logged(world, answer.request_id)
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


async def test_a_failover_is_logged_with_its_reason_and_attempts(world: World) -> None:
    answer = await ask(world.url, "one-cloud", local="500")
    (entry,) = await logged(world, answer.request_id)
    assert (entry["destination"], entry["reason"], entry["attempts"]) == ("cloud/east", "failover", 3)


async def test_an_overflow_is_logged_as_two_legs(world: World) -> None:
    answer = await ask(world.url, "one-cloud", local="redirect")
    first, second = await logged(world, answer.request_id, legs=2)
    assert (first["status"], first["details"]) == (307, "internal_redirect")
    assert (second["status"], second["destination"], second["redirected"]) == (200, "cloud/east", "overflow")


async def test_an_unknown_model_is_logged_by_its_name_cut_short(world: World) -> None:
    answer = await ask(world.url, "x" * 5000)
    (entry,) = await logged(world, answer.request_id)
    assert (entry["status"], entry["flags"], entry["model"]) == (404, "NC", "x" * 128)


async def test_no_secret_is_logged(world: World) -> None:
    answer = await ask(
        world.url, "one-cloud", path=f"{CHAT}?key=hush-4", local="redirect", headers=SECRETS, prompt="hush-5"
    )
    await logged(world, answer.request_id, legs=2)
    assert "hush-" not in world.gateway.log()
    assert "token-of-the-replica" not in world.gateway.log()
