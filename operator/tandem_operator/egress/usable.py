"""Why a deployment cannot use an endpoint, in words, for conditions: the guard's rules without a request."""

from collections.abc import Mapping
from dataclasses import dataclass

from tandem_operator import conditions
from tandem_operator.api.v1alpha1 import CloudChoice, CloudEndpoint, ModelDeployment
from tandem_operator.egress.selector import matches


@dataclass(frozen=True)
class Unusable:
    """One endpoint that a deployment names in vain."""

    endpoint: str
    reason: str
    """One of those of ``CloudReachable``."""

    message: str
    """What is wrong and whose field would change it."""


def unusable(
    deployment: ModelDeployment, choice: CloudChoice, endpoint: CloudEndpoint | None, labels: Mapping[str, str] | None
) -> Unusable | None:
    """Return why no request of ``deployment`` may go to ``choice``, or None when some may.

    ``endpoint`` is None when it does not exist, ``labels`` are those of the deployment's namespace, None when unknown.
    """
    found = _first_obstacle(deployment, choice, endpoint, labels)
    return Unusable(choice.name, *found) if found else None


def _first_obstacle(
    deployment: ModelDeployment, choice: CloudChoice, endpoint: CloudEndpoint | None, labels: Mapping[str, str] | None
) -> tuple[str, str] | None:
    if endpoint is None:
        return conditions.ENDPOINT_NOT_FOUND, f"CloudEndpoint {choice.name} does not exist"
    spec, policy, namespace = endpoint.spec, deployment.spec.policy, deployment.metadata.namespace
    if labels is None or not matches(spec.allowed_namespaces, labels):
        return (
            conditions.NAMESPACE_NOT_ALLOWED,
            f"spec.allowedNamespaces of CloudEndpoint {choice.name} does not match namespace {namespace}",
        )
    if choice.model not in {model.name for model in spec.models}:
        return conditions.MODEL_NOT_OFFERED, f"spec.models of CloudEndpoint {choice.name} has no {choice.model}"
    if policy.regions and spec.region not in policy.regions:
        return (
            conditions.REGION_NOT_ALLOWED,
            f"region {spec.region} of CloudEndpoint {choice.name} is not in spec.policy.regions",
        )
    if policy.data_class > spec.max_data_class:
        return (
            conditions.DATA_CLASS_TOO_HIGH,
            f"spec.policy.dataClass {policy.data_class} is above {spec.max_data_class}, "
            f"spec.maxDataClass of CloudEndpoint {choice.name}",
        )
    return None
