"""CloudEndpoints and their Secrets: whatever is missing, nothing leaves; whatever changes is taken over by itself."""

import base64
import json

import httpx
import pytest
from support.operator_world import SETTLE_SECONDS, USER, World, serve_app
from support.wait import eventually
from tandem_contract.xds.types import CLUSTER, CREDENTIAL
from tandem_lab.operator import NAMESPACE
from tandem_operator import names

RESOLVED = {"Ready": ("True", "EndpointAvailable"), "CredentialsResolved": ("True", "Resolved")}


def until(world: World, name: str, expected):
    def there():
        assert {type_: world.endpoint_condition(name, type_) for type_ in expected} == expected
        return True

    eventually(there, SETTLE_SECONDS)


def delete_secret(world: World, name: str):
    world.control_plane.kubectl("delete", "secret", name, "-n", NAMESPACE)


def test_without_its_secret_an_endpoint_has_no_credential_and_with_it_it_has(world):
    world.apply(world.endpoint("late"))
    missing = ("False", "SecretNotFound")
    until(world, "late", {"Ready": missing, "CredentialsResolved": missing})
    assert world.gateway.credential("late") is None
    world.create_secret("late", api_key="sk-late")
    until(world, "late", RESOLVED)
    eventually(lambda: world.gateway.credential("late") == "Bearer sk-late", SETTLE_SECONDS)


def test_a_rotated_key_is_taken_over_and_a_deleted_one_is_withdrawn(world):
    world.create_secret("turning", api_key="sk-old")
    world.apply(world.endpoint("turning"))
    until(world, "turning", RESOLVED)
    delete_secret(world, "turning")
    until(world, "turning", {"CredentialsResolved": ("False", "SecretNotFound")})
    eventually(lambda: world.gateway.credential("turning") is None, SETTLE_SECONDS)
    world.create_secret("turning", api_key="sk-new")
    eventually(lambda: world.gateway.credential("turning") == "Bearer sk-new", SETTLE_SECONDS)


def test_a_key_in_place_is_rotated(world):
    world.create_secret("rotated", api_key="sk-1")
    world.apply(world.endpoint("rotated"))
    until(world, "rotated", RESOLVED)
    world.control_plane.kubectl(
        "patch", "secret", "rotated", "-n", NAMESPACE, "-p", '{"stringData": {"api-key": "sk-2"}}'
    )
    eventually(lambda: world.gateway.credential("rotated") == "Bearer sk-2", SETTLE_SECONDS)


def test_an_endpoint_without_its_certificates_has_no_way_out(world):
    world.create_secret("private-ca", api_key="sk-x")
    world.apply(world.endpoint("private-ca", tls={"caSecretRef": {"name": "no-such-ca", "key": "ca.crt"}}))
    until(world, "private-ca", {"Ready": ("False", "CertificateMissing")})
    assert not world.gateway.has(CLUSTER, "cloud|private-ca")
    assert world.gateway.credential("private-ca") is None


def routed_to_cloud(world: World, ray_head, name: str) -> tuple[bool, bool]:
    """Return whether the gateway's chain has a cloud in it, and whether the replica was told that there is one."""
    chain = world.gateway.held[CLUSTER].get(names.model_cluster(world.owner_key(name)), b"")
    app = serve_app(ray_head, world, name) or {"deployed_app_config": {"deployments": [{"user_config": {}}]}}
    (deployment,) = app["deployed_app_config"]["deployments"]
    return b"cloud|" in chain, bool(deployment["user_config"].get("cloud"))


def test_deployments_say_what_keeps_them_from_the_cloud_and_are_routed_there_only_without_it(world, ray_head):
    world.create_secret("shut", api_key="sk-shut")
    selector = {"matchLabels": {"may-use": world.namespace}}
    world.apply(
        world.endpoint("shut", allowedNamespaces=selector),
        world.deployment("asks", cloud={"endpoints": [{"name": "shut", "model": "gpt-5-mini"}]}),
    )
    world.until({"CloudReachable": ("False", "NamespaceNotAllowed")}, "asks")
    policy = eventually(lambda: world.gateway.endpoint_policy("shut"), SETTLE_SECONDS)
    assert policy["namespaces"] == []
    eventually(lambda: routed_to_cloud(world, ray_head, "asks") == (False, False), SETTLE_SECONDS)
    world.control_plane.kubectl("label", "namespace", world.namespace, f"may-use={world.namespace}")
    world.until({"CloudReachable": ("True", "EndpointAvailable")}, "asks")
    eventually(lambda: routed_to_cloud(world, ray_head, "asks") == (True, True), SETTLE_SECONDS)
    eventually(lambda: world.gateway.endpoint_policy("shut")["namespaces"] == [world.namespace], SETTLE_SECONDS)
    delete_secret(world, "shut")
    world.until({"CloudReachable": ("False", "CredentialsMissing")}, "asks")
    eventually(lambda: routed_to_cloud(world, ray_head, "asks") == (False, False), SETTLE_SECONDS)
    world.control_plane.kubectl("delete", "cloudep", "shut")
    world.until({"CloudReachable": ("False", "EndpointNotFound")}, "asks")
    eventually(lambda: not world.gateway.has(CLUSTER, "cloud|shut"), SETTLE_SECONDS)
    eventually(lambda: world.gateway.policy(world.owner_key("asks"))["clouds"] == [], SETTLE_SECONDS)


def test_an_endpoint_knows_its_users(world):
    world.create_secret("used", api_key="sk-used")
    world.apply(
        world.endpoint("used"),
        world.deployment("user", cloud={"endpoints": [{"name": "used", "model": "gpt-5-mini"}]}),
    )

    def users():
        return world.control_plane.get_json("cloudep", "used").get("status", {}).get("usedBy")

    eventually(lambda: users() == [world.owner_key("user")], SETTLE_SECONDS)
    world.apply(world.deployment("user", cloud={"endpoints": []}))
    eventually(lambda: users() == [], SETTLE_SECONDS)


KEY = "sk-live-0f1e2d3c4b5a69788796a5b4c3d2e1f0"


def write_key(world: World, name: str, value: str):
    patch = json.dumps({"stringData": {"api-key": value}})
    world.control_plane.kubectl("patch", "secret", name, "-n", NAMESPACE, "-p", patch)


def test_after_a_life_with_it_a_key_is_nowhere_but_with_gateways(world, control_plane, ray_head):
    world.create_secret("living", api_key=KEY)
    world.apply(
        world.endpoint("living"),
        world.deployment("lives", cloud={"endpoints": [{"name": "living", "model": "gpt-5-mini"}]}),
    )
    until(world, "living", RESOLVED)
    world.until({"CloudReachable": ("True", "EndpointAvailable")}, "lives")
    eventually(lambda: world.gateway.credential("living") == f"Bearer {KEY}", SETTLE_SECONDS)
    write_key(world, "living", f"{KEY} and\nmore")
    until(world, "living", {"CredentialsResolved": ("False", "KeyUnusable")})
    write_key(world, "living", KEY)
    until(world, "living", RESOLVED)
    let_in = len(world.gateway.streams)
    world.operator.restart()
    eventually(lambda: len(world.gateway.streams) > let_in, SETTLE_SECONDS)
    delete_secret(world, "living")
    until(world, "living", {"CredentialsResolved": ("False", "SecretNotFound")})

    def reasons():
        return {event["reason"] for event in control_plane.get_json("events", "-A")["items"]}

    eventually(lambda: {"KeyUnusable", "SecretNotFound"} <= reasons(), SETTLE_SECONDS)  # told after the status
    told = control_plane.get_json("events", "-A")["items"]
    asked = json.dumps([event for event in control_plane.audit_events() if event["user"]["username"] == USER])
    assert "living" in asked
    places = {
        "log": world.operator.log.read_text(),
        "metrics": httpx.get(f"http://127.0.0.1:{world.operator.probes_port}/metrics", trust_env=False).text,
        "objects": json.dumps([control_plane.get_json(kind, "-A") for kind in ("cloudep", "mdep", "lease")]),
        "Events": json.dumps(told),
        "what it asked the API server": asked,
        "Ray": json.dumps(serve_app(ray_head, world, "lives")),
        "gateways": repr([found for kind, found in world.gateway.held.items() if kind != CREDENTIAL]),
    }
    for place, text in places.items():
        for form in (KEY, KEY[-8:], base64.b64encode(KEY.encode()).decode()[:-4]):
            assert form not in text, place


@pytest.fixture(scope="module", autouse=True)
def _no_endpoint_is_left(world):
    yield
    world.control_plane.run_kubectl("delete", "cloudep", "--all", "--timeout=30s")
