"""What one ModelDeployment needs, from what was observed. Pure; ``reconcile_deployment`` carries it out.

A plan can be printed and compared. It never says "remove": what is unknown is not mentioned, and removal has a path of
its own, with the finalizer (``finalize``).
"""

import hashlib
import hmac
from dataclasses import dataclass

from tandem_contract.documents import DeploymentPolicy

from tandem_operator import names
from tandem_operator.api.v1alpha1 import ModelDeploymentStatus, ObjectMeta, When
from tandem_operator.cloud_use import routed_clouds
from tandem_operator.deployment_status import last_known_targets
from tandem_operator.egress.policy import deny_all, deployment_policy
from tandem_operator.engines.serve_document import App, app_document
from tandem_operator.observed import Observed
from tandem_operator.routing import RoutedDeployment


@dataclass(frozen=True, slots=True)
class Plan:
    """What is wanted, whole."""

    routed: RoutedDeployment
    """For the gateway's Envoy."""

    policy: DeploymentPolicy
    """For the gateway's guard."""

    app: App | None
    """For Ray Serve; None = there may be no local replica, so nothing is applied (and nothing taken away)."""

    replicas: int
    """How many replicas the app should have."""

    def __repr__(self) -> str:
        return f"Plan({self.routed}, replicas={self.replicas})"  # app and policy carry the token


def make_plan(observed: Observed, *, app: str, import_path: str, redirect_key: bytes) -> Plan:
    """Return the plan; ``app`` is the Serve application's name. ``ValueError`` when the engine cannot express it."""
    deployment = observed.deployment
    spec = deployment.spec
    clouds = routed_clouds(observed)
    overflows = bool(clouds) and When.OVERFLOW in spec.cloud.when
    fails_over = bool(clouds) and bool({When.FAILOVER, When.BRIDGE} & set(spec.cloud.when))
    token = redirect_token(redirect_key, deployment.metadata.uid)
    routed = RoutedDeployment(
        namespace=deployment.metadata.namespace,
        name=deployment.metadata.name,
        names=observed.names.granted,
        prefix=names.prefix(app),
        clouds=clouds,
        fails_over=fails_over,
        overflows=overflows,
        targets=last_known_targets(observed),
    )
    policy = deployment_policy(
        deployment,
        names=observed.names.granted,
        prefix=names.prefix(app),
        token=token,
        endpoints=observed.endpoints,
    )
    document = app_document(
        deployment,
        app=app,
        import_path=import_path,
        model_names=observed.names.granted,
        token=token,
        overflow=overflows,
        cloud=overflows or fails_over,
    )
    return Plan(routed, policy, None if observed.refusal else document, spec.local.replicas.min)


def keep_home(
    metadata: ObjectMeta, known: ModelDeploymentStatus, *, app: str, redirect_key: bytes
) -> tuple[RoutedDeployment, DeploymentPolicy]:
    """Return routes and policy of a deployment whose spec is not understood: known replicas answer, nothing leaves.

    What is not understood may be the very field that forbids it.
    """
    routed = RoutedDeployment(
        namespace=metadata.namespace,
        name=metadata.name,
        names=known.names,
        prefix=names.prefix(app),
        targets=known.local.targets,
    )
    policy = deny_all(
        metadata, names=known.names, prefix=names.prefix(app), token=redirect_token(redirect_key, metadata.uid)
    )
    return routed, policy


def redirect_token(key: bytes, uid: str) -> str:
    """Return what redirects of one deployment carry: nobody else can make it up, and it needs no storage."""
    return hmac.new(key, uid.encode(), hashlib.sha256).hexdigest()
