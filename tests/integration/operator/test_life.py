"""A ModelDeployment's life under one operator: real API server, real Ray, its own rights."""

import json

import pytest
from support.operator_world import SETTLE_SECONDS, World, serve_app
from support.wait import eventually
from tandem_contract.xds.types import CLUSTER, ENDPOINTS
from tandem_operator import names

CLOUD = {"endpoints": [{"name": "life", "model": "gpt-5-mini"}]}


@pytest.fixture(scope="module")
def chat(world: World):
    """A deployment that settled, and the endpoint ``life`` with its key."""
    world.create_secret("life", api_key="sk-life")
    world.apply(world.endpoint("life"), world.deployment("chat", cloud=CLOUD))
    world.until_settled()
    return world


def test_the_cloud_bridges_until_the_model_is_up(world, ray_head):
    world.create_secret("bridge", api_key="sk-bridge")
    cloud = {"endpoints": [{"name": "bridge", "model": "gpt-5-mini"}]}
    world.apply(world.endpoint("bridge"), world.deployment("never", model={"source": "hf://no/such"}, cloud=cloud))
    world.until({"Ready": ("True", "Bridged"), "CloudReachable": ("True", "EndpointAvailable")}, "never")


def test_a_settled_deployment_says_where_it_is(chat):
    found = chat.get()
    assert found["metadata"]["finalizers"] == [names.FINALIZER]
    assert found["status"]["names"] == ["chat", chat.owner_key()]
    assert found["status"]["local"]["ready"] == 1
    (target,) = found["status"]["local"]["targets"]
    assert target["replica"].startswith("SERVE_REPLICA::")
    assert "Reconciling" not in [condition["type"] for condition in found["status"]["conditions"]]


def test_gateways_get_routes_and_policy(chat):
    assert chat.gateway.has(CLUSTER, "model|chat")
    assert chat.gateway.has(CLUSTER, names.local_cluster(chat.owner_key()))
    assert chat.gateway.has(ENDPOINTS, names.local_cluster(chat.owner_key()))
    assert chat.gateway.policy(chat.owner_key())["clouds"] == [{"endpoint": "life", "model": "gpt-5-mini"}]
    assert chat.gateway.credential("life") == "Bearer sk-life"
    assert chat.gateway.endpoint_policy("life")["namespaces"] == [chat.namespace]


def test_only_fields_of_ours_are_owned_by_us(chat):
    found = chat.control_plane.get_json("mdep", "chat", "-n", chat.namespace, "--show-managed-fields")
    ours = [entry for entry in found["metadata"]["managedFields"] if entry["manager"] == names.FIELD_MANAGER]
    owned = {entry.get("subresource", ""): set(entry["fieldsV1"]) for entry in ours}
    assert owned == {"": {"f:metadata"}, "status": {"f:status"}}


def test_a_new_name_is_routed_without_touching_the_replica(chat, ray_head):
    before = serve_app(ray_head, chat, "chat")["deployments"]["replica"]["replicas"]
    chat.apply(chat.deployment("chat", model={"names": ["chat", "extra"]}, cloud=CLOUD))
    chat.until_settled()
    eventually(lambda: chat.gateway.has(CLUSTER, "model|extra"), SETTLE_SECONDS)
    after = serve_app(ray_head, chat, "chat")["deployments"]["replica"]["replicas"]
    assert [replica["replica_id"] for replica in after] == [replica["replica_id"] for replica in before]
    chat.apply(chat.deployment("chat", cloud=CLOUD))
    eventually(lambda: not chat.gateway.has(CLUSTER, "model|extra"), SETTLE_SECONDS)


def test_as_many_replicas_run_as_the_spec_says_and_gateways_know_each(world, ray_head):
    def targets(count):
        world.apply(world.deployment("counted", local={"replicas": {"min": count, "max": 2}}))
        world.until({"LocalAvailable": ("True", "ReplicasReady")}, "counted")
        cluster = names.local_cluster(world.owner_key("counted"))

        def there():
            local = world.get("counted")["status"]["local"]
            found = {target["replica"] for target in local["targets"]}
            assert (local["ready"], len(found), world.gateway.addresses(cluster)) == (count, count, count)
            return found

        return eventually(there, SETTLE_SECONDS)

    first = targets(1)
    assert first < targets(2), "the replica that ran is left alone"
    assert len(targets(1)) == 1
    replicas = serve_app(ray_head, world, "counted")["deployments"]["replica"]
    assert replicas["target_num_replicas"] == 1


def test_a_gateway_that_refuses_shows_in_the_condition_and_recovers(chat):
    chat.gateway.refuses = "model|sour"
    chat.apply(chat.deployment("sour"))
    chat.until({"RoutesProgrammed": ("False", "Rejected"), "Stalled": ("True", "Rejected")}, "sour")
    assert "not to my taste" in chat.message("RoutesProgrammed", "sour")
    chat.gateway.refuses = ""
    chat.apply(chat.deployment("sour", model={"names": ["sweet"]}))
    chat.until({"RoutesProgrammed": ("True", "Programmed")}, "sour")


def test_a_model_that_cannot_load_says_why_in_rays_own_words(world, tmp_path):
    switches = tmp_path / "switches.json"
    switches.write_text(json.dumps({"start_error": "no config.json in this folder"}))
    world.apply(world.deployment("broken", model={"source": f"file://{switches}"}))

    def told():
        assert "no config.json in this folder" in world.message("LocalAvailable", "broken")
        return True

    eventually(told, SETTLE_SECONDS)
    assert world.condition("LocalAvailable", "broken")[0] == "False"


@pytest.mark.parametrize(("cluster", "reason"), [("nowhere", "UnknownRayCluster"), ("private", "RayClusterNotAllowed")])
def test_a_ray_cluster_that_is_not_for_this_namespace_is_a_condition(world, ray_head, cluster, reason):
    world.apply(world.deployment(cluster, local={"ray": {"external": cluster}}))
    expected = ("False", reason)
    world.until({"Ready": expected, "LocalAvailable": expected, "Stalled": ("True", reason)}, cluster)
    assert "rayClusters" in world.message("Ready", cluster)
    assert serve_app(ray_head, world, cluster) is None
    assert "finalizers" not in world.get(cluster)["metadata"]


def test_the_elder_keeps_a_name_and_leaves_it_to_its_heir(chat):
    chat.apply(chat.deployment("heir", model={"names": ["chat"]}))
    chat.until({"Ready": ("False", "NameConflict")}, "heir")
    assert chat.get("heir")["status"]["names"] == [chat.owner_key("heir")]
    assert chat.owner_key("chat") in chat.message("Ready", "heir")
    chat.apply(chat.deployment("chat", model={"names": ["renamed"]}, cloud=CLOUD))
    chat.until_settled("heir")
    assert chat.get("heir")["status"]["names"] == ["chat", chat.owner_key("heir")]
    named = ["chat", chat.owner_key("heir")]
    eventually(lambda: chat.gateway.policy(chat.owner_key("heir"))["names"] == named, SETTLE_SECONDS)


def test_deletion_leaves_nothing_behind(world, ray_head):
    world.apply(world.deployment("short"))
    world.until_settled("short")
    assert serve_app(ray_head, world, "short") is not None
    world.control_plane.kubectl("delete", "mdep", "short", "-n", world.namespace, "--timeout=150s")
    assert serve_app(ray_head, world, "short") is None
    eventually(lambda: world.gateway.policy(world.owner_key("short")) is None, SETTLE_SECONDS)
    for type_url, name in ((CLUSTER, "model|short"), (ENDPOINTS, names.local_cluster(world.owner_key("short")))):
        eventually(lambda held=world.gateway.held[type_url], name=name: name not in held, SETTLE_SECONDS)
