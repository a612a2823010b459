"""An operator that starts anew takes nothing from gateways before it knows everything: a slow API server shows it."""

import pytest
from support.operator_world import SETTLE_SECONDS, START_SECONDS, faulty_api, running_world
from support.wait import eventually
from tandem_contract.xds.types import CLUSTER

COUNT = 10
"""Of each kind: more objects than workers, so that some wait while others are being looked at."""

SETTLED = {"CloudReachable": ("True", "EndpointAvailable"), "RoutesProgrammed": ("True", "Programmed")}
NEVER = {"resync_seconds": 300, "relist_seconds": 300}


@pytest.fixture(scope="module")
def slow(control_plane, tmp_path_factory):
    """A world of many objects behind a proxy that can hold reads back; none of them needs a Ray cluster."""
    folder = tmp_path_factory.mktemp("restart")
    with (
        faulty_api(control_plane, folder) as (api, file),
        running_world(control_plane, folder, {}, kubeconfig_file=file, settings=NEVER) as world,
    ):
        names = [f"restart-{number}" for number in range(COUNT)]
        for name in names:
            world.create_secret(name, api_key=f"sk-{name}")
        clouds = {name: {"endpoints": [{"name": name, "model": "gpt-5-mini"}]} for name in names}
        world.apply(*map(world.endpoint, names), *(world.deployment(n, cloud=c) for n, c in clouds.items()))
        for name in names:  # told in the status: a new leader goes by it
            world.until(SETTLED, name)
        eventually(lambda: all(holds(world, name) for name in names), SETTLE_SECONDS)
        yield world, api
        world.control_plane.kubectl("delete", "cloudep", *names)


def holds(world, name):
    gateway, policy = world.gateway, world.gateway.endpoint_policy(name)
    lets_in = policy and policy["namespaces"] == [world.namespace] and gateway.credential(name)
    return lets_in and gateway.has(CLUSTER, f"model|{name}") and gateway.policy(world.owner_key(name))


@pytest.mark.parametrize(
    ("part", "least_queued"),
    [
        pytest.param("/secrets/restart-", 2 * COUNT - 8, id="objects are known and not looked at yet"),
        pytest.param("/modeldeployments", 0, id="objects are not known yet"),
    ],
)
def test_an_operator_that_starts_slowly_takes_nothing_from_gateways(slow, part, least_queued):
    world, api = slow
    before = world.gateway.snapshot()
    world.gateway.removed.clear()
    let_in = len(world.gateway.streams)
    world.operator.kill()
    api.hold_reads(part)
    world.operator.start()
    eventually(lambda: world.operator.leads and api.waiting, START_SECONDS)
    if least_queued:
        eventually(lambda: (world.operator.metric("tandem_workqueue_depth") or 0) >= least_queued, START_SECONDS)
    tried = world.gateway.turned_away
    eventually(lambda: world.gateway.turned_away >= tried + 3 or world.gateway.removed, START_SECONDS)
    assert world.gateway.removed == []
    assert len(world.gateway.streams) == let_in, "nobody is let in yet"
    eventually(lambda: api.waiting, START_SECONDS)  # a read that gave up is begun again
    api.release_reads()
    eventually(lambda: len(world.gateway.streams) > let_in, START_SECONDS)
    eventually(lambda: world.operator.metric("tandem_workqueue_depth") == 0, SETTLE_SECONDS)
    assert world.gateway.removed == []
    assert world.gateway.snapshot() == before
