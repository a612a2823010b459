"""The API server is gone for a minute, or its events are: afterwards all is as it should be."""

import time

import pytest
from support.operator_world import SETTLE_SECONDS, faulty, running_world, serve_app
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


@pytest.mark.timeout(600)
def test_what_the_watch_never_tells_is_found_by_listing(control_plane, ray_head, tmp_path):
    with (
        faulty(control_plane, ray_head, tmp_path) as (_, api, file, entry),
        running_world(control_plane, tmp_path, {"lab": entry}, kubeconfig_file=file) as world,
    ):
        world.apply(world.deployment("seen"))
        world.until_settled("seen")
        api.hold_events()
        world.apply(world.deployment("unseen"))
        world.apply(world.deployment("seen", model={"names": ["renamed"]}))
        world.until_settled("unseen")
        world.until_settled("seen")
        control_plane.kubectl("patch", "mdep", "unseen", "-n", world.namespace, "--type=json", "-p", _STRIP)
        control_plane.kubectl("delete", "mdep", "unseen", "-n", world.namespace, "--timeout=60s")
        eventually(lambda: world.gateway.policy(world.owner_key("unseen")) is None, SETTLE_SECONDS)
        eventually(lambda: serve_app(ray_head, world, "unseen") is None, SETTLE_SECONDS)
        api.release_events()


@pytest.mark.timeout(600)
def test_a_watch_that_breaks_in_the_middle_of_a_line_is_started_again(control_plane, ray_head, tmp_path):
    slow_lists = {"relist_seconds": 300, "resync_seconds": 300}
    with (
        faulty(control_plane, ray_head, tmp_path) as (_, api, file, entry),
        running_world(control_plane, tmp_path, {"lab": entry}, kubeconfig_file=file, settings=slow_lists) as world,
    ):
        api.break_watches()
        eventually(lambda: world.operator.metric("tandem_watch_restarts_total"), SETTLE_SECONDS)
        assert world.operator.leads
        assert len(world.gateway.streams) == 1, "nobody else notices"
        world.apply(world.deployment("afterwards"))
        world.until_settled("afterwards")


_STRIP = '[{"op": "remove", "path": "/metadata/finalizers"}]'
"""Forced out of life: only the list can tell that it is gone, and only a sweep finds its app."""
