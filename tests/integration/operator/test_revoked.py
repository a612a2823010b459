"""A namespace whose right to a Ray cluster was taken away while its deployment ran there."""

from support.operator_world import SETTLE_SECONDS, ray_entry, serve_app
from support.wait import eventually
from tandem_operator import names

REFUSED = {"Ready": ("False", "RayClusterNotAllowed"), "Stalled": ("True", "RayClusterNotAllowed")}


def test_what_runs_there_is_kept_as_it_is_until_its_deployment_is_deleted(world, ray_head):
    world.apply(world.deployment())
    world.until_settled()
    targets = world.get()["status"]["local"]["targets"]
    let_in = len(world.gateway.streams)
    world.operator.stop()
    world.operator.use_ray_clusters({"lab": ray_entry(ray_head, namespaces=("somebody-else",))})
    world.operator.start()
    world.until(REFUSED)
    eventually(lambda: len(world.gateway.streams) > let_in, SETTLE_SECONDS)
    world.apply(world.deployment(slo={"timeToFirstTokenMilliseconds": 1234}, local={"replicas": {"min": 2, "max": 2}}))
    world.until(REFUSED)
    assert world.get()["status"]["local"]["targets"] == targets
    assert world.gateway.addresses(names.local_cluster(world.owner_key())) == 1
    app = serve_app(ray_head, world)
    assert (app["status"], app["deployments"]["replica"]["target_num_replicas"]) == ("RUNNING", 1)
    world.control_plane.kubectl("delete", "mdep", "chat", "-n", world.namespace, "--timeout=150s")
    assert serve_app(ray_head, world) is None
