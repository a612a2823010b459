"""The pydantic types refuse what the API server refuses: an object that slipped past it is never acted on.

(An older version of the CRD, or none, may have let it in.)
"""

import pytest
from pydantic import ValidationError
from support import refused_specs
from support.builders import a_cloud_endpoint, a_model_deployment
from support.refused_specs import Refused
from tandem_operator.api.v1alpha1 import CloudEndpoint, ModelDeployment

CASES = [
    *(pytest.param(ModelDeployment, a_model_deployment, case, id=case.why) for case in refused_specs.MODEL_DEPLOYMENTS),
    *(pytest.param(CloudEndpoint, a_cloud_endpoint, case, id=case.why) for case in refused_specs.CLOUD_ENDPOINTS),
]


@pytest.mark.parametrize(("kind", "build", "case"), CASES)
def test_is_refused(kind, build, case: Refused):
    with pytest.raises(ValidationError) as refused:
        kind.model_validate(build(spec=case.change))

    found = [str(step) for step in refused.value.errors()[0]["loc"]]
    expected = case.field.replace("[", ".").replace("]", "").split(".")
    assert len(found) >= 2, "it points to a field of the spec"
    assert all(one == other for one, other in zip(found, expected, strict=False)), "one is within the other"


@pytest.mark.parametrize(("body", "advice"), refused_specs.NAMES, ids=lambda value: str(value)[-24:])
def test_a_name_that_does_not_fit_is_refused(body, advice: str):
    kind = {"ModelDeployment": ModelDeployment, "CloudEndpoint": CloudEndpoint}[body["kind"]]

    with pytest.raises(ValidationError, match=advice):
        kind.model_validate(body)
