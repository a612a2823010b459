"""``tandem.dev/v1alpha1`` as everything else imports it. The definitions are in the modules beside this one."""

from tandem_operator.api.cloud_endpoint import (
    CloudEndpoint,
    CloudEndpointSpec,
    CloudEndpointStatus,
    LabelSelector,
    LabelSelectorRequirement,
    OfferedModel,
    SecretRef,
    Tls,
)
from tandem_operator.api.common import ApiModel, Condition, KeyRef, ObjectMeta, Raw
from tandem_operator.api.local import Local, Ray, Replicas, Resources
from tandem_operator.api.model import Model
from tandem_operator.api.model_deployment import (
    Cloud,
    CloudChoice,
    LocalStatus,
    ModelDeployment,
    ModelDeploymentSpec,
    ModelDeploymentStatus,
    Policy,
    Slo,
    Target,
    When,
)

__all__ = [
    "ApiModel",
    "Cloud",
    "CloudChoice",
    "CloudEndpoint",
    "CloudEndpointSpec",
    "CloudEndpointStatus",
    "Condition",
    "KeyRef",
    "LabelSelector",
    "LabelSelectorRequirement",
    "Local",
    "LocalStatus",
    "Model",
    "ModelDeployment",
    "ModelDeploymentSpec",
    "ModelDeploymentStatus",
    "ObjectMeta",
    "OfferedModel",
    "Policy",
    "Raw",
    "Ray",
    "Replicas",
    "Resources",
    "SecretRef",
    "Slo",
    "Target",
    "Tls",
    "When",
]
