"""The API server is gone for a minute: clients are served all along, and afterwards all is as it should be."""

import asyncio
import time

import pytest
from support.asking import ask
from support.operator_world import SETTLE_SECONDS, START_SECONDS, ray_entry, running_world
from support.wait import eventually, eventually_async
from tandem_lab.gateway import Gateway
from tandem_lab.operator import NAMESPACE
from tandem_lab.process import free_port
from tandem_lab.secret_mount import SecretMount

OUTAGE_SECONDS = 60
"""Longer than kopf's own patience, and than a Lease."""


@pytest.fixture
def served(control_plane, ray_head, tmp_path):
    """An operator, a gateway that follows it, and the gateway's address."""
    port = free_port()
    with running_world(control_plane, tmp_path, {"lab": ray_entry(ray_head)}, settings={"gateway_port": port}) as world:
        mount = SecretMount(control_plane, NAMESPACE, "tandem-gateway-tls", tmp_path / "tls")
        operators = [f"127.0.0.1:{world.operator.xds_port}"]
        with mount, Gateway(tmp_path / "gateway", operators=operators, tls_dir=mount.folder) as gateway:
            eventually(lambda: gateway.ready, START_SECONDS)
            yield world, f"http://127.0.0.1:{port}"


def silence(world):
    """Return the seconds since the last event of a watch; None while the operator does not tell."""
    return world.operator.metric("tandem_last_event_age_seconds")


@pytest.mark.timeout(600)
async def test_a_minute_without_api_server_costs_no_request_and_no_wish(served, control_plane):
    world, url = served
    world.apply(world.deployment("outage"))
    world.until_settled("outage")

    async def answers(model="outage"):
        answer = await ask(url, model, messages=[{"role": "user", "content": "one two three"}])
        assert (answer.status, answer.destination) == (200, "local"), answer
        return True

    await eventually_async(answers, SETTLE_SECONDS)
    before = world.gateway.snapshot()
    control_plane.stop_api_server()
    try:
        ends_at = time.monotonic() + OUTAGE_SECONDS
        asked = 0
        while time.monotonic() < ends_at or asked <= OUTAGE_SECONDS:
            assert await answers()
            # A restart would not bring the API server back. Its word may be late on a busy machine, not for good.
            await eventually_async(lambda: world.operator.healthy, START_SECONDS)
            asked += 1
            await asyncio.sleep(0.2)  # a client's pace, not a wait for anything
        assert world.operator.alive
        silent_seconds = await eventually_async(lambda: silence(world), START_SECONDS)
        assert silent_seconds >= OUTAGE_SECONDS
        assert world.gateway.snapshot() == before, "gateways keep what they have"
    finally:
        control_plane.start_api_server()
    world.apply(world.deployment("outage", model={"names": ["after"]}), world.deployment("new-after-outage"))
    world.until_settled("outage")
    world.until_settled("new-after-outage")
    for model in ("after", "new-after-outage"):
        await eventually_async(lambda name=model: answers(name), SETTLE_SECONDS)
    # Until the watch is back, lists alone may have told of all this.
    await eventually_async(lambda: (silence(world) or silent_seconds) < silent_seconds, SETTLE_SECONDS)
