"""The API server is gone for a minute: gateways keep what they have, and afterwards all is as it should be."""

import time

import pytest
from support.wait import eventually

OUTAGE_SECONDS = 60
"""Longer than kopf's own patience, and than a Lease."""


@pytest.mark.timeout(600)
def test_after_a_minute_without_api_server_what_was_asked_for_last_is_in_effect(world, control_plane):
    world.apply(world.deployment("outage"))
    world.until_settled("outage")
    before = world.gateway.snapshot()
    control_plane.stop_api_server()
    try:
        gone_at = time.monotonic()
        eventually(lambda: time.monotonic() - gone_at > OUTAGE_SECONDS, OUTAGE_SECONDS + 10, every=1)
        assert world.operator.alive
        assert world.gateway.snapshot() == before, "gateways keep what they have"
    finally:
        control_plane.start_api_server()
    world.apply(world.deployment("outage", model={"names": ["after"]}), world.deployment("new-after-outage"))
    world.until_settled("outage")
    world.until_settled("new-after-outage")
    assert world.gateway.policy(world.owner_key("outage"))["names"] == ["after", world.owner_key("outage")]
