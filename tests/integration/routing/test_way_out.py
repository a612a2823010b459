"""What leaves and what comes in through a cloud's internal listener."""

import pytest
from support.asking import ask
from support.routing_world import World


async def test_the_guard_knows_the_endpoint_from_the_configuration(world: World) -> None:
    answer = await ask(world.url, "chat", local="500", cloud="500", headers={"x-tandem-endpoint": "west"})
    assert [judged.endpoint for judged in world.at_guard(answer.request_id)] == ["east", "west"]


async def test_the_guard_sees_what_it_needs(world: World) -> None:
    answer = await ask(world.url, "one-cloud", local="500", headers={"x-tandem-data-class": "Public"})
    (judged,) = world.at_guard(answer.request_id)
    wanted = {"x-tandem-deployment": "ns/one-cloud", "x-tandem-data-class": "Public", "x-envoy-attempt-count": "3"}
    assert {name: judged.headers[name] for name in wanted} == wanted
    assert judged.headers[":path"] == "/app-one-cloud/v1/chat/completions"
    assert b'"one-cloud"' in judged.body


@pytest.mark.parametrize("local", ["500", "redirect"])
async def test_a_provider_learns_nothing_about_us_or_the_client(world: World, local: str) -> None:
    said = {"cookie": "secret", "x-forwarded-for": "192.0.2.9", "x-tandem-data-class": "Public"}
    answer = await ask(world.url, "one-cloud", local=local, headers={**said, "authorization": "Bearer client"})
    (seen,) = world.at_cloud(answer.request_id)
    ours = [name for name in seen.headers if name.startswith(("x-tandem-", "x-envoy-", "x-forwarded-"))]
    assert ours == []
    assert "cookie" not in seen.headers
    assert seen.headers["authorization"] == "Bearer cloud"
    assert seen.headers["host"] == "cloud.example"


async def test_a_provider_cannot_steer_the_gateway(world: World) -> None:
    answer = await ask(world.url, "empty", cloud="spoof")
    assert (answer.status, answer.destination, answer.reason) == (200, "cloud/east", "failover")
    assert not {"x-tandem-token", "x-envoy-ratelimited"} & answer.headers.keys()


@pytest.mark.parametrize("model", ["impostor", "untrusted"])
async def test_a_provider_whose_certificate_does_not_prove_its_name_gets_nothing(world: World, model: str) -> None:
    answer = await ask(world.url, model)
    assert (answer.status, answer.destination) == (503, "gateway")
    assert world.at_cloud(answer.request_id) == []
    assert world.gateway.stat(f"cluster.upstream|{model}.ssl.fail_verify_san") + world.gateway.stat(
        f"cluster.upstream|{model}.ssl.fail_verify_error"
    )


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("model", "clouds"), [("one-cloud", 1), ("chat", 2)])
async def test_hanging_clouds_are_given_up_and_the_replica_answers(
    world: World, model: str, clouds: int, stream: bool
) -> None:
    """Bounds have their usual proportions here: as many clouds as there are must leave time for the replica."""
    answer = await ask(world.url, model, local="saturated", cloud="hang", stream=stream)
    assert (answer.status, answer.destination) == (200, "local")
    assert len(world.at_cloud(answer.request_id)) == clouds


async def test_a_dead_guard_lets_nothing_out_and_is_back_at_once(world: World) -> None:
    world.guard.stop()
    answer = await ask(world.url, "one-cloud", local="500")
    overflow = await ask(world.url, "one-cloud", local="saturated")
    assert (answer.status, answer.destination) == (500, "local")
    assert (overflow.status, overflow.destination) == (200, "local")
    assert world.at_cloud(answer.request_id) == world.at_cloud(overflow.request_id) == []
    world.guard.start()
    answer = await ask(world.url, "one-cloud", local="500")
    assert answer.destination == "cloud/east"
