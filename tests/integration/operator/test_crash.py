"""Killed at any write of a deployment's life, and started again, the operator arrives where it would have.

Each run kills it three times: at the n-th write of the creation, of an edit, and of the deletion, before the write is
forwarded or after it was applied and before the answer. Writes go to the API server and to the Ray head alike.
"""

import pytest
from support.fault_proxy import When
from support.operator_world import SETTLE_SECONDS, faulty, running_world, serve_app
from support.wait import eventually
from tandem_operator import names

EDIT = {"model": {"names": ["chat", "second-name"]}, "slo": {"timeToFirstTokenMilliseconds": 1234}}
MOST_WRITES = 6
"""More than any of the three parts makes (a test below counts them); a fuse that does not blow kills nobody."""


@pytest.fixture(scope="module")
def house(control_plane, ray_head, tmp_path_factory):
    folder = tmp_path_factory.mktemp("crash")
    with faulty(control_plane, ray_head, folder) as (fuse, _, file, entry):
        fuse.disarm()
        with running_world(control_plane, folder, {"lab": entry}, kubeconfig_file=file) as world:
            yield world, fuse


def step(world, fuse, act, arrive, *, number, when):
    """Act with an armed fuse, start the operator again if it was killed, and wait until all is as it should be."""
    fuse.arm(number, when, world.operator.kill)
    act()
    eventually(lambda: fuse.blown.is_set() or _quietly(arrive), SETTLE_SECONDS)
    fuse.disarm()
    if not world.operator.alive:
        world.operator.start()
    eventually(lambda: arrive() or True, SETTLE_SECONDS)


def _quietly(arrive):
    try:
        arrive()
    except AssertionError:
        return False
    return True


def settled(world, ray_head, name, expected_names):
    def check():
        found = world.get(name)
        assert world.condition("Ready", name) == ("True", "LocalAnswers")
        assert world.condition("RoutesProgrammed", name) == ("True", "Programmed")
        assert world.condition("Reconciling", name) == ("", "")
        assert found["metadata"]["finalizers"] == [names.FINALIZER]
        assert found["status"]["names"] == [*expected_names, world.owner_key(name)]
        app = serve_app(ray_head, world, name)
        assert app["deployments"]["replica"]["deployment_config"]["user_config"]["names"] == found["status"]["names"]
        assert world.gateway.policy(world.owner_key(name))["names"] == found["status"]["names"]
        held = {target["replica"] for target in found["status"]["local"]["targets"]}
        assert len(held) == 1

    return check


def gone(world, ray_head, name):
    def check():
        assert not world.exists(name)
        assert serve_app(ray_head, world, name) is None
        assert world.gateway.policy(world.owner_key(name)) is None

    return check


@pytest.mark.timeout(600)
@pytest.mark.parametrize("when", [When.BEFORE, When.APPLIED], ids=lambda when: when.name.lower())
@pytest.mark.parametrize("number", range(1, MOST_WRITES))
def test_killed_at_a_write_it_converges(house, ray_head, number, when):
    world, fuse = house
    name = f"crash-{number}-{when.name.lower()}"
    delete = ("delete", "mdep", name, "-n", world.namespace, "--wait=false")
    created, edited = (settled(world, ray_head, name, wanted) for wanted in ([name], ["chat", "second-name"]))
    step(world, fuse, lambda: world.apply(world.deployment(name)), created, number=number, when=when)
    step(world, fuse, lambda: world.apply(world.deployment(name, **EDIT)), edited, number=number, when=when)
    left = gone(world, ray_head, name)
    step(world, fuse, lambda: world.control_plane.kubectl(*delete), left, number=number, when=when)


@pytest.mark.timeout(600)
def test_no_part_of_a_life_has_more_writes_than_are_tried(house, ray_head):
    world, fuse = house
    counts = []
    name = "counted"
    delete = ("delete", "mdep", name, "-n", world.namespace, "--wait=false")
    for act, arrive in (
        (lambda: world.apply(world.deployment(name)), settled(world, ray_head, name, [name])),
        (lambda: world.apply(world.deployment(name, **EDIT)), settled(world, ray_head, name, ["chat", "second-name"])),
        (lambda: world.control_plane.kubectl(*delete), gone(world, ray_head, name)),
    ):
        fuse.disarm()
        act()
        eventually(lambda arrive=arrive: arrive() or True, SETTLE_SECONDS)
        counts.append(len(fuse.seen))
    assert all(0 < count < MOST_WRITES for count in counts), fuse.seen
