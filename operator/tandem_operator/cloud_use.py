"""Which endpoints a deployment's requests could go to, as far as is known. Pure; read by ``plan`` and ``readiness``.

So routes, replica and conditions are of one mind: a replica that may hand a request to nobody gives the final answer
itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from tandem_operator import conditions
from tandem_operator.api.v1alpha1 import CloudChoice
from tandem_operator.conditions import Finding
from tandem_operator.egress.usable import unusable
from tandem_operator.observed import Observed


@dataclass(frozen=True, slots=True)
class CloudUse:
    """The endpoints that a spec names, each in one of three places, in the order of the spec."""

    usable: tuple[str, ...]
    unknown: tuple[str, ...]
    """Nothing speaks against them so far: a Secret, or the labels of the namespace, were not read yet."""

    obstacles: Mapping[str, Finding]


def cloud_use(observed: Observed) -> CloudUse:
    """Sort the endpoints that the spec names."""
    choices = observed.deployment.spec.cloud.endpoints
    obstacles = {choice.name: found for choice in choices if (found := _obstacle(observed, choice)) is not None}
    rest = [choice.name for choice in choices if choice.name not in obstacles]
    known = tuple(name for name in rest if _is_known(observed, name))
    return CloudUse(known, tuple(name for name in rest if name not in known), obstacles)


def routed_clouds(observed: Observed) -> tuple[str, ...]:
    """Return the endpoints that requests are routed to, in order.

    What is not known yet stays as it was last told: a new leader takes no way to the cloud away, and opens none.
    """
    use = cloud_use(observed)
    before = conditions.find(observed.deployment.status.conditions, conditions.CLOUD_REACHABLE)
    was_reachable = before is not None and before.status == "True"
    taken = {*use.usable, *(use.unknown if was_reachable else ())}
    return tuple(choice.name for choice in observed.deployment.spec.cloud.endpoints if choice.name in taken)


def _is_known(observed: Observed, endpoint: str) -> bool:
    return observed.namespace_labels is not None and observed.credentials.get(endpoint) is not None


def _obstacle(observed: Observed, choice: CloudChoice) -> Finding | None:
    endpoint, labels = observed.endpoints.get(choice.name), observed.namespace_labels
    if endpoint is not None and labels is None:
        return None
    found = unusable(observed.deployment, choice, endpoint, labels)
    if found is not None:
        return Finding("False", found.reason, found.message)
    if observed.credentials.get(choice.name) is False:
        message = f"CloudEndpoint {choice.name} has no usable credentials, see its status"
        return Finding("False", conditions.CREDENTIALS_MISSING, message)
    return None
