"""Conditions of both kinds: their types, their reasons, and the one place that knows what a transition is. Pure.

Reasons are part of the API: people and scripts match on them, so they are constants, and each says when it appears.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from tandem_operator.api.v1alpha1 import Condition

Status = Literal["True", "False", "Unknown"]

# Types of a ModelDeployment.
READY: Final = "Ready"
LOCAL_AVAILABLE: Final = "LocalAvailable"
CLOUD_REACHABLE: Final = "CloudReachable"
ROUTES_PROGRAMMED: Final = "RoutesProgrammed"
RECONCILING: Final = "Reconciling"
"""There while a spec is being rolled out, and only then."""
STALLED: Final = "Stalled"
"""There while a spec cannot be rolled out without somebody's help, and only then."""

# Types of a CloudEndpoint; ``Ready`` too.
CREDENTIALS_RESOLVED: Final = "CredentialsResolved"

# Reasons of Ready.
LOCAL_ANSWERS: Final = "LocalAnswers"
"""A local replica is ready."""
BRIDGED: Final = "Bridged"
"""No local replica is ready; a cloud endpoint answers meanwhile, as ``cloud.when`` allows."""
LAST_KNOWN_REPLICAS: Final = "LastKnownReplicas"
"""The Ray cluster cannot be read; requests go to the replicas that were last known."""
NAME_CONFLICT: Final = "NameConflict"
"""An older ModelDeployment keeps at least one of ``model.names``."""
INVALID_SPEC: Final = "InvalidSpec"
"""The spec does not say something that this version of the operator understands."""
DELETING: Final = "Deleting"
"""The object is being deleted."""

# Reasons of LocalAvailable.
REPLICAS_READY: Final = "ReplicasReady"
"""As many local replicas are ready as are wanted."""
SOME_REPLICAS_READY: Final = "SomeReplicasReady"
"""At least one local replica is ready, fewer than are wanted."""
STARTING: Final = "Starting"
"""No local replica is ready yet; Ray is starting them."""
NOT_DEPLOYED: Final = "NotDeployed"
"""The Ray cluster does not know the application (yet, or any more); it is being deployed."""
DEPLOY_FAILED: Final = "DeployFailed"
"""Ray gave up; the message is Ray's own."""
UNHEALTHY: Final = "Unhealthy"
"""No replica is ready and Ray reports failures; the message is Ray's own."""
RAY_UNREACHABLE: Final = "RayUnreachable"
"""The Ray cluster could not be read: nothing is changed, and the gateway keeps the last known replicas."""
RAY_NOT_WRITABLE: Final = "RayNotWritable"
"""The Ray cluster answers, and what this spec needs could not be written to it; the message says why."""
UNKNOWN_RAY_CLUSTER: Final = "UnknownRayCluster"
"""``local.ray.external`` names no cluster of the operator's configuration."""
RAY_CLUSTER_NOT_ALLOWED: Final = "RayClusterNotAllowed"
"""The operator's configuration does not let this namespace use that Ray cluster."""
ENGINE_REFUSED: Final = "EngineRefused"
"""The engine cannot run what the spec asks for; the message says which field."""

# Reasons of CloudReachable.
ENDPOINT_AVAILABLE: Final = "EndpointAvailable"
"""At least one endpoint could take a request; the message names those that could not, and why."""
NO_CLOUD: Final = "NoCloud"
"""The spec names no cloud endpoint: requests stay local."""
ENDPOINT_NOT_FOUND: Final = "EndpointNotFound"
"""No CloudEndpoint of this name exists."""
NAMESPACE_NOT_ALLOWED: Final = "NamespaceNotAllowed"
"""The endpoint's ``allowedNamespaces`` does not select this namespace."""
CREDENTIALS_MISSING: Final = "CredentialsMissing"
"""The endpoint has no usable key: nothing leaves."""
DATA_CLASS_TOO_HIGH: Final = "DataClassTooHigh"
"""The deployment's ``dataClass`` is above the endpoint's ``maxDataClass``."""
REGION_NOT_ALLOWED: Final = "RegionNotAllowed"
"""The endpoint's region is not among the deployment's ``regions``."""
MODEL_NOT_OFFERED: Final = "ModelNotOffered"
"""The endpoint does not list the model that the deployment names."""

# Reasons of RoutesProgrammed.
PROGRAMMED: Final = "Programmed"
"""Every live gateway has acknowledged the routes of this object."""
NO_GATEWAY: Final = "NoGateway"
"""No gateway is connected to this operator."""
PENDING: Final = "Pending"
"""A gateway has not acknowledged the routes yet."""
REJECTED: Final = "Rejected"
"""A gateway refused the routes; the message is its own. It keeps serving the last good ones."""

# Reasons of Reconciling and Stalled.
ROLLING_OUT: Final = "RollingOut"
"""This generation of the spec is not fully in effect yet."""

# Reasons of a CloudEndpoint.
RESOLVED: Final = "Resolved"
"""The Secret holds a key."""
SECRET_NOT_FOUND: Final = "SecretNotFound"  # noqa: S105  a reason, not a secret
"""The operator's namespace has no Secret of this name."""
SECRET_FORBIDDEN: Final = "SecretForbidden"  # noqa: S105  a reason, not a secret
"""The operator may not read the Secret; the message says whose right is missing. What was read before stays in use."""
SECRET_UNREADABLE: Final = "SecretUnreadable"  # noqa: S105  a reason, not a secret
"""The API server does not hand the Secret out; what was read before stays in use. Asked again with back-off."""
KEY_NOT_FOUND: Final = "KeyNotFound"
"""The Secret has no such key."""
KEY_UNUSABLE: Final = "KeyUnusable"
"""The key's value is empty, or not text that fits into a header."""
CERTIFICATE_MISSING: Final = "CertificateMissing"
"""``tls.caSecretRef`` names no readable PEM certificate: nothing is sent over an unproven connection."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found about one condition, before it becomes one."""

    status: Status
    reason: str
    message: str = ""

    @property
    def true(self) -> bool:
        return self.status == "True"


def find(conditions: Iterable[Condition], type_: str) -> Condition | None:
    """Return the condition of one type, None when there is none."""
    return next((condition for condition in conditions if condition.type == type_), None)


def set_condition(
    conditions: Sequence[Condition], type_: str, finding: Finding, *, generation: int, now: datetime
) -> tuple[Condition, ...]:
    """Return ``conditions`` with the one of this type replaced, or added at the end.

    ``last_transition_time`` moves only when the status changes, so that looking again at a healthy object never
    looks like news.
    """
    before = find(conditions, type_)
    since = before.last_transition_time if before and before.status == finding.status else now.replace(microsecond=0)
    after = Condition(
        type=type_,
        status=finding.status,
        reason=finding.reason,
        message=finding.message,
        observed_generation=generation,
        last_transition_time=since,
    )
    if before is None:
        return (*conditions, after)
    return tuple(after if condition.type == type_ else condition for condition in conditions)


def drop_condition(conditions: Iterable[Condition], type_: str) -> tuple[Condition, ...]:
    """Return ``conditions`` without the one of this type."""
    return tuple(condition for condition in conditions if condition.type != type_)
