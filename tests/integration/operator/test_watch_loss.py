"""Events that never come, and a watch that breaks: what they would have told is found all the same."""

import pytest
from support.operator_world import SETTLE_SECONDS, STEADY, faulty, running_world, serve_app
from support.wait import eventually


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
        control_plane.kubectl("delete", "mdep", "unseen", "-n", world.namespace, "--timeout=150s")
        eventually(lambda: world.gateway.policy(world.owner_key("unseen")) is None, SETTLE_SECONDS)
        eventually(lambda: serve_app(ray_head, world, "unseen") is None, SETTLE_SECONDS)
        api.release_events()


@pytest.mark.timeout(600)
def test_a_watch_that_breaks_in_the_middle_of_a_line_is_started_again(control_plane, ray_head, tmp_path):
    slow_lists = {**STEADY, "relist_seconds": 300, "resync_seconds": 300}
    with (
        faulty(control_plane, ray_head, tmp_path) as (_, api, file, entry),
        running_world(control_plane, tmp_path, {"lab": entry}, kubeconfig_file=file, settings=slow_lists) as world,
    ):

        def broken():
            api.break_watches()  # those that are open by now
            return world.operator.metric("tandem_watch_restarts_total")

        eventually(broken, SETTLE_SECONDS, every=0.5)
        eventually(lambda: world.operator.leads, SETTLE_SECONDS)
        assert len(world.gateway.streams) == 1, "nobody else notices"
        world.apply(world.deployment("afterwards"))
        world.until_settled("afterwards")


_STRIP = '[{"op": "remove", "path": "/metadata/finalizers"}]'
"""Forced out of life: only the list can tell that it is gone, and only a sweep finds its app."""
