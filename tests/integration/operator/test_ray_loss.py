"""A Ray cluster that is silent, empty or taken away: nothing that was known is lost, and deletion has a way out."""

import pytest
from support.operator_world import SETTLE_SECONDS, ray_entry, running_world
from support.wait import eventually
from tandem_contract.xds.types import ENDPOINTS
from tandem_lab.ray_head import RayHead
from tandem_operator import names

LAST_KNOWN = {"LocalAvailable": ("Unknown", "RayUnreachable"), "Ready": ("True", "LastKnownReplicas")}


@pytest.fixture
def fragile(control_plane, tmp_path):
    """A world with a Ray head of its own, and a deployment that settled on it."""
    with RayHead(tmp_path / "ray", num_cpus=2, drain_seconds=1) as head:
        clusters = {"lab": ray_entry(head)}
        # without a resync to help: whoever waits for Ray is woken when it comes back
        with running_world(control_plane, tmp_path, clusters, settings={"resync_seconds": 3600}) as world:
            world.apply(world.deployment("chat"))
            world.until_settled()
            yield world, head
            world.control_plane.run_kubectl(
                "annotate", "mdep", "--all", "-n", world.namespace, f"{names.ABANDON}=true", "--overwrite"
            )


def test_a_silent_ray_changes_nothing_for_a_fresh_leader_and_a_new_head_gets_the_app_again(fragile):
    world, head = fragile
    targets = world.get()["status"]["local"]["targets"]
    cluster = names.local_cluster(world.owner_key())
    eventually(lambda: world.gateway.addresses(cluster) == 1, SETTLE_SECONDS)
    held = world.gateway.held[ENDPOINTS][cluster]
    head.kill()
    world.until(LAST_KNOWN)
    let_in = len(world.gateway.streams)
    world.operator.restart()
    eventually(lambda: len(world.gateway.streams) > let_in, SETTLE_SECONDS)
    assert world.get()["status"]["local"]["targets"] == targets
    assert world.gateway.held[ENDPOINTS][cluster] == held
    head.start()
    world.until_settled()
    assert world.get()["status"]["local"]["targets"] != targets


def test_deletion_is_held_while_ray_is_silent_until_it_is_given_up(fragile):
    world, head = fragile
    head.kill()
    world.until(LAST_KNOWN)
    world.control_plane.kubectl("delete", "mdep", "chat", "-n", world.namespace, "--wait=false")
    world.until({"Ready": ("False", "RayUnreachable")})
    assert names.ABANDON in world.message("Ready")
    eventually(lambda: world.gateway.policy(world.owner_key()) is None, SETTLE_SECONDS)
    assert world.exists()
    world.control_plane.kubectl("annotate", "mdep", "chat", "-n", world.namespace, f"{names.ABANDON}=true")
    eventually(lambda: not world.exists(), SETTLE_SECONDS)
    eventually(lambda: "ServeAppAbandoned" in _event_reasons(world), SETTLE_SECONDS)  # told once the object is gone


def test_a_cluster_that_left_the_configuration_lets_its_deployments_go(fragile):
    world, _ = fragile
    world.operator.use_ray_clusters({})
    world.operator.stop()
    world.operator.start()
    world.until({"Ready": ("False", "UnknownRayCluster")})
    assert world.get()["status"]["local"]["targets"], "what is known of its replicas stays"
    world.control_plane.kubectl("delete", "mdep", "chat", "-n", world.namespace, "--timeout=150s")
    eventually(lambda: "RayClusterGone" in _event_reasons(world), SETTLE_SECONDS)  # told once the object is gone


def _event_reasons(world):
    return {event["reason"] for event in world.control_plane.get_json("events", "-n", world.namespace)["items"]}
