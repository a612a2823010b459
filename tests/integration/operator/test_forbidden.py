"""A Secret that the operator may not read, under real RBAC: said on its CloudEndpoint, and nothing else suffers."""

import json

import pytest
from support.operator_world import SETTLE_SECONDS
from support.wait import eventually
from tandem_contract.xds.types import CLUSTER
from tandem_lab.operator import NAMESPACE

FORBIDDEN = {"CredentialsResolved": ("False", "SecretForbidden"), "Ready": ("False", "SecretForbidden")}
RESOLVED = {"CredentialsResolved": ("True", "Resolved"), "Ready": ("True", "EndpointAvailable")}


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


def test_a_secret_that_may_not_be_read_is_a_condition_and_opens_nothing_new(rayless, only, control_plane):
    for name in ("kept", "edited", "open"):
        rayless.create_secret(name, api_key=f"sk-{name}")
        rayless.apply(rayless.endpoint(name))
        until(rayless, name, RESOLVED)
    rayless.create_secret("never", api_key="sk-never")
    only("open")
    rayless.apply(rayless.endpoint("never"))
    for name in ("kept", "edited", "never"):
        until(rayless, name, FORBIDDEN)
    told = control_plane.get_json("cloudep", "kept")["status"]["conditions"]
    assert any("may not read Secret kept" in condition["message"] for condition in told)
    assert rayless.gateway.credential("kept") == "Bearer sk-kept"
    assert rayless.gateway.credential("never") is None

    rayless.apply(rayless.endpoint("edited", maxDataClass="Public"))  # what was read is not for this spec
    eventually(lambda: rayless.gateway.credential("edited") is None, SETTLE_SECONDS)
    assert rayless.gateway.credential("kept") == "Bearer sk-kept"

    let_in = len(rayless.gateway.streams)
    rayless.operator.restart()  # one Secret that it may not read does not keep a new leader from letting gateways in
    eventually(lambda: len(rayless.gateway.streams) > let_in, SETTLE_SECONDS)
    control_plane.kubectl("patch", "secret", "open", "-n", NAMESPACE, "-p", '{"stringData": {"api-key": "sk-new"}}')
    eventually(lambda: rayless.gateway.credential("open") == "Bearer sk-new", SETTLE_SECONDS)
    eventually(lambda: rayless.gateway.credential("kept") is None, SETTLE_SECONDS)  # who can say that it is good?
    eventually(lambda: not rayless.gateway.has(CLUSTER, "cloud|kept"), SETTLE_SECONDS)

    only("open", "kept", "edited", "never")
    for name in ("kept", "edited", "never"):
        until(rayless, name, RESOLVED)
        eventually(lambda name=name: rayless.gateway.credential(name) == f"Bearer sk-{name}", SETTLE_SECONDS)
