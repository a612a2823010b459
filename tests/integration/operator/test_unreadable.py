"""A stored spec that this version of the operator does not understand, as after a roll-back: kept, and kept at home."""

import json

import pytest
from support.operator_world import SETTLE_SECONDS
from support.wait import eventually

CLOUD = {"endpoints": [{"name": "eu", "model": "gpt-5-mini"}]}
CRD = "modeldeployments.tandem.dev"


@pytest.fixture
def newer_crd(control_plane):
    """The schema of a later version, which knows fields that the operator does not."""
    spec = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/x-kubernetes-preserve-unknown-fields"

    def patch(*operations):
        control_plane.kubectl("patch", "crd", CRD, "--type=json", "-p", json.dumps(operations))

    patch({"op": "add", "path": spec, "value": True})
    yield
    patch({"op": "remove", "path": spec})


def edit_from_the_future(world, name):
    """Store a field that is not understood; an API server takes a moment to take a schema over."""

    def stored():
        patch = json.dumps({"spec": {"fromTheFuture": {"mode": "new"}}})
        world.control_plane.kubectl("patch", "mdep", name, "-n", world.namespace, "--type=merge", "-p", patch)
        return "fromTheFuture" in world.get(name)["spec"]

    eventually(stored, SETTLE_SECONDS)


def held(world, name, model):
    """Return the version of all that the gateway has of one deployment."""
    own = world.owner_key(name)
    return {key: version for key, version in world.gateway.snapshot().items() if {own, model} & {*key[1].split("|")}}


def test_a_spec_that_is_not_understood_keeps_its_replicas_and_sends_nothing_away(rayless, newer_crd):
    rayless.create_secret("eu", api_key="sk-eu")
    elder = rayless.deployment("elder", model={"names": ["shared"]}, cloud=CLOUD)
    rayless.apply(rayless.endpoint("eu"), elder)
    rayless.until(
        {"RoutesProgrammed": ("True", "Programmed"), "CloudReachable": ("True", "EndpointAvailable")}, "elder"
    )
    eventually(lambda: rayless.gateway.endpoint_policy("eu"), SETTLE_SECONDS)
    eventually(lambda: rayless.gateway.endpoint_policy("eu")["namespaces"] == [rayless.namespace], SETTLE_SECONDS)
    eventually(lambda: rayless.gateway.policy(rayless.owner_key("elder"))["clouds"], SETTLE_SECONDS)
    understood = held(rayless, "elder", "shared")
    edit_from_the_future(rayless, "elder")
    rayless.until({"Ready": ("False", "InvalidSpec")}, "elder")
    # The status may be faster than the gateway; its policy comes after the routes.
    eventually(lambda: not rayless.gateway.policy(rayless.owner_key("elder"))["clouds"], SETTLE_SECONDS)
    policy = rayless.gateway.policy(rayless.owner_key("elder"))
    assert (policy["clouds"], policy["when"], policy["data_class"]) == ([], [], "Restricted")
    assert policy["names"] == ["shared", rayless.owner_key("elder")]
    before = held(rayless, "elder", "shared")
    assert before.keys() == understood.keys()  # its replicas' endpoints, three chains for each of two names, the policy

    rayless.operator.restart()
    rayless.apply(rayless.deployment("younger", model={"names": ["shared"]}))
    eventually(lambda: rayless.gateway.policy(rayless.owner_key("younger")), SETTLE_SECONDS)
    rayless.until({"CloudReachable": ("False", "NoCloud")}, "younger")  # the new leader's word: its gateway is in step
    assert held(rayless, "elder", "shared") == before
    assert rayless.gateway.policy(rayless.owner_key("younger"))["names"] == [rayless.owner_key("younger")]
    assert rayless.gateway.endpoint_policy("eu")["namespaces"] == [rayless.namespace]

    rayless.control_plane.kubectl("delete", "mdep", "elder", "-n", rayless.namespace)
    eventually(lambda: rayless.gateway.policy(rayless.owner_key("elder")) is None, SETTLE_SECONDS)
    eventually(lambda: "shared" in rayless.gateway.policy(rayless.owner_key("younger"))["names"], SETTLE_SECONDS)
