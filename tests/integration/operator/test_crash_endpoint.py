"""Killed at any write of a CloudEndpoint's life and started again, the operator arrives where it would have."""

import pytest
from support.endpoint_life import SECRET, endpoint_life
from support.fault_proxy import When
from support.lives import Lives, crashing_world_without_ray


@pytest.fixture(scope="module")
def house(control_plane, tmp_path_factory):
    with crashing_world_without_ray(control_plane, tmp_path_factory.mktemp("crash-endpoint")) as found:
        found[0].create_secret(SECRET, api_key=f"sk-{SECRET}")
        yield found


@pytest.mark.timeout(600)
@pytest.mark.parametrize("when", [When.BEFORE, When.APPLIED], ids=lambda when: when.name.lower())
def test_killed_at_any_write_of_its_life_it_converges(house, when):
    world, fuse = house
    lives = Lives(world, fuse, when, endpoint_life(world))
    lives.live_until_no_write_is_left()
    killed_in = {write.rpartition("/cloudendpoints/")[2] for write in lives.killed_at}
    name = f"crash-1-{when.name.lower()}"
    assert f"{name}/status" in killed_in
    assert len([write for write in lives.killed_at if name in write]) == 2  # of its creation, and of its edit
