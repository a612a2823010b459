"""Killed when any write of a deployment's life was applied and not answered yet, the operator arrives all the same."""

import pytest
from support.deployment_life import deployment_life, missed
from support.fault_proxy import When
from support.lives import Lives, crashing_world


@pytest.fixture(scope="module")
def house(control_plane, ray_head, tmp_path_factory):
    with crashing_world(control_plane, ray_head, tmp_path_factory.mktemp("crash-applied")) as found:
        yield found


@pytest.mark.timeout(1200)
def test_killed_after_any_write_of_its_life_was_applied_it_converges(house, ray_head):
    world, fuse = house
    lives = Lives(world, fuse, When.APPLIED, deployment_life(world, ray_head))
    lives.live_until_no_write_is_left()
    assert not missed(lives.killed_at)
