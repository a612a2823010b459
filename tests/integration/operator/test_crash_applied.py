"""Killed when any write of a deployment's life was applied and not answered yet, the operator arrives all the same."""

import pytest
from support.fault_proxy import When
from support.lives import LEAST_WRITES, Lives, crashing_world


@pytest.fixture(scope="module")
def house(control_plane, ray_head, tmp_path_factory):
    with crashing_world(control_plane, ray_head, tmp_path_factory.mktemp("crash-applied")) as found:
        yield found


@pytest.mark.timeout(1200)
def test_killed_after_any_write_of_its_life_was_applied_it_converges(house, ray_head):
    world, fuse = house
    assert Lives(world, fuse, ray_head, When.APPLIED).live_until_no_write_is_left() > LEAST_WRITES
