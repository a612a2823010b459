"""The real API server accepts the CRDs and good specs, fills in defaults, and keeps the status apart."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.builders import a_cloud_endpoint, a_model_deployment
from tandem_lab.control_plane import ControlPlane
from tandem_operator.api.v1alpha1 import CloudEndpoint, ModelDeployment

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "api"
INPUTS = sorted((GOLDEN / "input").glob("*.yaml"))
CRDS = ("modeldeployments.tandem.dev", "cloudendpoints.tandem.dev")


@pytest.fixture
def mdep(control_plane: ControlPlane, namespace: str) -> dict[str, Any]:
    """A ModelDeployment as the API server stored it."""
    control_plane.apply(a_model_deployment(namespace=namespace))
    return control_plane.get_json("mdep", "hello", "-n", namespace)


def patch_status(control_plane: ControlPlane, body: dict[str, Any], status: dict[str, Any]) -> str:
    """Apply ``status`` as the operator does; return kubectl's complaint, empty when there is none."""
    meta = {"name": body["metadata"]["name"], "namespace": body["metadata"]["namespace"]}
    manifest = {"apiVersion": body["apiVersion"], "kind": body["kind"], "metadata": meta, "status": status}
    command = ("apply", "--server-side", "--subresource=status", "--field-manager=tandem", "-f", "-")
    tried = control_plane.run_kubectl(*command, stdin=json.dumps(manifest))
    return tried.stderr if tried.returncode else ""


@pytest.mark.parametrize("name", CRDS)
def test_the_schema_is_structural_and_served(control_plane: ControlPlane, name: str):
    conditions = {each["type"]: each for each in control_plane.get_json("crd", name)["status"]["conditions"]}

    assert "NonStructuralSchema" not in conditions
    assert conditions["Established"]["status"] == "True"
    assert conditions["NamesAccepted"]["status"] == "True"


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: path.stem)
def test_a_good_spec_is_stored_with_its_defaults(control_plane: ControlPlane, path: Path):
    done = control_plane.kubectl("create", "--dry-run=server", "-o", "json", "-f", path)
    stored = json.loads(done)
    expected = yaml.safe_load((GOLDEN / "output" / path.name).read_text())

    assert {"spec": stored["spec"], "status": stored["status"]} == expected


def test_the_types_read_what_the_api_server_stored(control_plane: ControlPlane, mdep: dict[str, Any]):
    control_plane.apply(a_cloud_endpoint("round-trip"))
    cloudep = control_plane.get_json("cloudep", "round-trip")
    control_plane.kubectl("delete", "cloudep", "round-trip")

    deployment, endpoint = ModelDeployment.model_validate(mdep), CloudEndpoint.model_validate(cloudep)

    assert deployment.metadata.uid == mdep["metadata"]["uid"]
    assert deployment.metadata.generation == 1
    assert deployment.metadata.creation_timestamp is not None
    assert (deployment.status.observed_generation, endpoint.status.observed_generation) == (-1, -1)
    assert endpoint.spec.allowed_namespaces is not None


def test_a_status_in_a_manifest_is_ignored(control_plane: ControlPlane, namespace: str):
    control_plane.apply(a_model_deployment("liar", namespace=namespace, status={"url": "http://elsewhere"}))

    assert control_plane.get_json("mdep", "liar", "-n", namespace)["status"] == {"observedGeneration": -1}


def test_writing_the_status_is_no_new_generation_of_the_spec(control_plane: ControlPlane, mdep: dict[str, Any]):
    complaint = patch_status(control_plane, mdep, {"observedGeneration": 1, "names": ["hello"]})
    after = control_plane.get_json("mdep", "hello", "-n", mdep["metadata"]["namespace"])

    assert complaint == ""
    assert after["metadata"]["generation"] == mdep["metadata"]["generation"]
    assert after["spec"] == mdep["spec"]
    assert after["status"] == {"observedGeneration": 1, "names": ["hello"]}


def test_everything_that_a_status_can_say_is_stored(control_plane: ControlPlane, mdep: dict[str, Any]):
    condition = {
        "type": "Ready",
        "status": "True",
        "reason": "Serving",
        "message": "as promised",
        "observedGeneration": 1,
        "lastTransitionTime": "2026-01-31T12:00:00Z",
    }
    target = {"replica": "SERVE_REPLICA::app#replica#x1", "address": "10.0.0.7", "port": 30000}
    status = {
        "observedGeneration": 1,
        "conditions": [condition, condition | {"type": "LocalAvailable"}],
        "url": "http://127.0.0.1:8080/v1",
        "names": ["hello", "team/hello"],
        "local": {"ready": 1, "starting": 0, "wanted": 1, "targets": [target]},
    }

    complaint = patch_status(control_plane, mdep, status)
    after = control_plane.get_json("mdep", "hello", "-n", mdep["metadata"]["namespace"])

    assert complaint == ""
    assert after["status"] == status
    assert ModelDeployment.model_validate(after).status.conditions[0].message == "as promised"


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        pytest.param({"conditions": [{"type": "Ready", "status": "Maybe"}]}, "Unsupported value", id="half true"),
        pytest.param({"conditions": [{"type": "Ready", "status": "True"}]}, "reason: Required value", id="no reason"),
        pytest.param({"local": {"targets": [{"address": "10.0.0.7"}]}}, "port: Required value", id="no port"),
        pytest.param({"spentUsd": "1"}, "field not declared in schema", id="a field of a later version"),
    ],
)
def test_a_wrong_status_is_refused(
    control_plane: ControlPlane, mdep: dict[str, Any], status: dict[str, Any], advice: str
):
    assert advice in patch_status(control_plane, mdep, status)


def test_narrowing_when_by_server_side_apply_narrows_it(control_plane: ControlPlane, namespace: str):
    control_plane.apply(a_model_deployment(namespace=namespace))
    control_plane.apply(a_model_deployment(namespace=namespace, spec={"cloud": {"when": ["Failover"]}}))

    assert control_plane.get_json("mdep", "hello", "-n", namespace)["spec"]["cloud"]["when"] == ["Failover"]


def test_a_reordered_list_of_endpoints_is_stored_in_the_new_order(control_plane: ControlPlane, namespace: str):
    one, two = ({"name": name, "model": "gpt-5-mini"} for name in ("one", "two"))
    control_plane.apply(a_model_deployment(namespace=namespace, spec={"cloud": {"endpoints": [one, two]}}))
    control_plane.apply(a_model_deployment(namespace=namespace, spec={"cloud": {"endpoints": [two, one]}}))

    stored = control_plane.get_json("mdep", "hello", "-n", namespace)["spec"]["cloud"]["endpoints"]

    assert [each["name"] for each in stored] == ["two", "one"]


def test_a_client_that_does_not_ask_for_strictness_stores_no_unknown_field(control_plane: ControlPlane, namespace: str):
    body = a_model_deployment(namespace=namespace, spec={"autoscaling": {"on": True}})
    control_plane.kubectl("create", "--validate=ignore", "-f", "-", stdin=json.dumps(body))

    stored = control_plane.get_json("mdep", "hello", "-n", namespace)

    assert "autoscaling" not in stored["spec"]
    ModelDeployment.model_validate(stored)
