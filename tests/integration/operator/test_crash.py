"""Killed at any write of a deployment's life, and started again, the operator arrives where it would have.

Each life kills it up to three times: at the n-th write of the creation, of an edit, and of the deletion, before the
write is forwarded or after it was applied and before the answer, until n is beyond the last write of all three. Writes
go to the API server and to the Ray head alike.
"""

import itertools

import pytest
from support.fault_proxy import When
from support.operator_world import SETTLE_SECONDS, condition_of, faulty, running_world, serve_app
from support.wait import eventually
from tandem_operator import names

EDIT = {"model": {"names": ["chat", "second-name"]}, "slo": {"timeToFirstTokenMilliseconds": 1234}}
LEAST_WRITES = 3
"""Finalizer, Serve's document, status: a life with fewer was not the life that is meant."""


@pytest.fixture(scope="module")
def house(control_plane, ray_head, tmp_path_factory):
    folder = tmp_path_factory.mktemp("crash")
    with faulty(control_plane, ray_head, folder) as (fuse, _, file, entry):
        fuse.disarm()
        with running_world(control_plane, folder, {"lab": entry}, kubeconfig_file=file) as world:
            yield world, fuse


def step(world, fuse, act, arrive, *, number, when):
    """Act with an armed fuse, start the operator again if it was killed, and wait until all is as it should be.

    Returns whether it was killed.
    """
    if not world.operator.alive:  # killed in the last moment of the step before
        world.operator.start()
    fuse.arm(number, when, world.operator.kill)
    act()
    eventually(lambda: fuse.blown.is_set() or _quietly(arrive), SETTLE_SECONDS)
    killed = fuse.blown.is_set()
    fuse.disarm()
    if not world.operator.alive:
        world.operator.start()
    eventually(lambda: arrive() or True, SETTLE_SECONDS)
    return killed


def _quietly(arrive):
    try:
        arrive()
    except AssertionError:
        return False
    return True


def settled(world, ray_head, name, expected_names):
    def check():
        found = world.get(name)
        assert condition_of(found, "Ready") == ("True", "LocalAnswers")
        assert condition_of(found, "RoutesProgrammed") == ("True", "Programmed")
        assert condition_of(found, "Reconciling") == ("", "")
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


def live(world, fuse, ray_head, **fuse_at):
    """Create, edit and delete a deployment; returns how often the operator was killed."""
    name = f"crash-{fuse_at['number']}-{fuse_at['when'].name.lower()}"
    delete = ("delete", "mdep", name, "-n", world.namespace, "--wait=false")
    parts = (
        (lambda: world.apply(world.deployment(name)), settled(world, ray_head, name, [name])),
        (lambda: world.apply(world.deployment(name, **EDIT)), settled(world, ray_head, name, ["chat", "second-name"])),
        (lambda: world.control_plane.kubectl(*delete), gone(world, ray_head, name)),
    )
    return sum(step(world, fuse, act, arrive, **fuse_at) for act, arrive in parts)


@pytest.mark.timeout(1500)
@pytest.mark.parametrize("when", [When.BEFORE, When.APPLIED], ids=lambda when: when.name.lower())
def test_killed_at_every_write_of_its_life_it_converges(house, ray_head, when):
    world, fuse = house
    for number in itertools.count(1):
        if not live(world, fuse, ray_head, number=number, when=when):
            break
    assert number > LEAST_WRITES
