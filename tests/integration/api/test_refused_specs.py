"""Every wrong spec is refused by the real API server, in words that a person can act on."""

import json
from typing import Any

import pytest
from support import refused_specs
from support.builders import a_cloud_endpoint, a_model_deployment
from support.refused_specs import Refused
from tandem_lab.control_plane import ControlPlane

WRONG = [
    *(
        pytest.param(a_model_deployment(spec=case.change), case, id=case.why)
        for case in refused_specs.MODEL_DEPLOYMENTS
    ),
    *(pytest.param(a_cloud_endpoint(spec=case.change), case, id=case.why) for case in refused_specs.CLOUD_ENDPOINTS),
]


def refusal(control_plane: ControlPlane, body: dict[str, Any]) -> str:
    """Return what kubectl prints when it is asked to create ``body``; empty when that would work."""
    tried = control_plane.run_kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(body))
    return tried.stderr if tried.returncode else ""


@pytest.mark.parametrize(("body", "case"), WRONG)
def test_is_refused_with_the_field_and_the_fix(control_plane: ControlPlane, body: dict[str, Any], case: Refused):
    message = refusal(control_plane, body)

    assert case.field in message
    assert case.advice in message
    assert "should match" not in message, "a regular expression is no advice"


@pytest.mark.parametrize(("body", "advice"), refused_specs.NAMES, ids=lambda value: str(value)[-24:])
def test_a_name_that_does_not_fit_is_refused(control_plane: ControlPlane, body: dict[str, Any], advice: str):
    message = refusal(control_plane, body)

    assert "metadata.name: " in message
    assert advice in message


def test_the_table_is_as_long_as_promised():
    assert len(WRONG) >= 60
    assert len({case.why for _, case in (param.values for param in WRONG)}) == len(WRONG)


def test_only_the_first_rule_that_fails_speaks(control_plane: ControlPlane):
    message = refusal(control_plane, a_model_deployment(spec={"model": {"source": "pvc://claim/../gemma/"}}))

    assert message.count("spec.model.source") == 1


def test_the_ray_cluster_of_a_deployment_cannot_change(control_plane: ControlPlane, namespace: str):
    body = a_model_deployment(namespace=namespace)
    control_plane.apply(body)
    moved = a_model_deployment(namespace=namespace, spec={"local": {"ray": {"external": "another"}}})

    tried = control_plane.run_kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(moved))

    assert "spec.local.ray.external" in tried.stderr
    assert "cannot change" in tried.stderr
    assert "Apply a second ModelDeployment" in tried.stderr
