"""A Secret that the operator may not read, under real RBAC: said on its CloudEndpoint, and nothing else suffers."""

import json

import pytest
from support.operator_world import SETTLE_SECONDS, running_world
from support.wait import eventually
from tandem_contract.xds.types import CLUSTER
from tandem_lab.operator import NAMESPACE

FORBIDDEN = {"CredentialsResolved": ("False", "SecretForbidden"), "Ready": ("False", "SecretForbidden")}
RESOLVED = {"CredentialsResolved": ("True", "Resolved"), "Ready": ("True", "EndpointAvailable")}


@pytest.fixture(scope="module")
def world(control_plane, tmp_path_factory):
    """An operator without a Ray cluster: endpoints do not need one."""
    with running_world(control_plane, tmp_path_factory.mktemp("operator"), {}) as found:
        yield found
        control_plane.run_kubectl("delete", "cloudep", "--all", "--timeout=30s")


@pytest.fixture
def only(control_plane):
    """Narrow the operator's right to read Secrets to those that are named here."""
    rules = control_plane.get_json("role", "tandem-operator", "-n", NAMESPACE)["rules"]

    def patch(changed):
        patch = json.dumps({"rules": changed})
        control_plane.kubectl("patch", "role", "tandem-operator", "-n", NAMESPACE, "--type=merge", "-p", patch)

    def narrow(*names):
        own = ["tandem-internal", "tandem-gateway-tls", *names]
        secrets = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"], "resourceNames": own}
        patch([*(rule for rule in rules if rule["resources"] != ["secrets"]), secrets])

    yield narrow
    patch(rules)


def until(world, name, expected):
    def there():
        assert {type_: world.endpoint_condition(name, type_) for type_ in expected} == expected
        return True

    eventually(there, SETTLE_SECONDS)


def test_a_secret_that_may_not_be_read_is_a_condition_and_opens_nothing_new(world, only, control_plane):
    for name in ("kept", "edited", "open"):
        world.create_secret(name, api_key=f"sk-{name}")
        world.apply(world.endpoint(name))
        until(world, name, RESOLVED)
    world.create_secret("never", api_key="sk-never")
    only("open")
    world.apply(world.endpoint("never"))
    for name in ("kept", "edited", "never"):
        until(world, name, FORBIDDEN)
    told = control_plane.get_json("cloudep", "kept")["status"]["conditions"]
    assert any("may not read Secret kept" in condition["message"] for condition in told)
    assert world.gateway.credential("kept") == "Bearer sk-kept"
    assert world.gateway.credential("never") is None

    world.apply(world.endpoint("edited", maxDataClass="Public"))  # what was read is not for this spec
    eventually(lambda: world.gateway.credential("edited") is None, SETTLE_SECONDS)
    assert world.gateway.credential("kept") == "Bearer sk-kept"

    let_in = len(world.gateway.streams)
    world.operator.restart()  # one Secret that it may not read does not keep a new leader from letting gateways in
    eventually(lambda: len(world.gateway.streams) > let_in, SETTLE_SECONDS)
    control_plane.kubectl("patch", "secret", "open", "-n", NAMESPACE, "-p", '{"stringData": {"api-key": "sk-new"}}')
    eventually(lambda: world.gateway.credential("open") == "Bearer sk-new", SETTLE_SECONDS)
    assert world.gateway.credential("kept") is None  # nobody can say any more that it is good
    assert not world.gateway.has(CLUSTER, "cloud|kept")

    only("open", "kept", "edited", "never")
    for name in ("kept", "edited", "never"):
        until(world, name, RESOLVED)
        eventually(lambda name=name: world.gateway.credential(name) == f"Bearer sk-{name}", SETTLE_SECONDS)
