"""Names of everything that Tandem makes. Pure; the one place where a name is put together."""

from typing import Final

GROUP: Final = "tandem.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
MODEL_DEPLOYMENTS: Final = "modeldeployments"
CLOUD_ENDPOINTS: Final = "cloudendpoints"
FIELD_MANAGER: Final = "tandem"
FINALIZER: Final = "tandem.dev/serve-app"
ABANDON: Final = "tandem.dev/abandon-serve-app"
"""Annotation ``"true"``: give up the Serve app of a Ray cluster that cannot be reached, so that deletion ends."""


def key(namespace: str, name: str) -> str:
    """Return ``namespace/name``: a deployment's identity, and a model name that always works."""
    return f"{namespace}/{name}"


def serve_app(cluster_uid: str, namespace: str, name: str) -> str:
    """Return the Serve application's name: other Kubernetes clusters may share the Ray cluster.

    ``_`` cannot occur in a namespace or a name, so two deployments never meet.
    """
    return f"tandem_{cluster_uid[:8]}_{namespace}_{name}"


def prefix(app: str) -> str:
    """Return the route prefix of a Serve application."""
    return f"/{app}"


def model_cluster(model: str) -> str:
    """Return the Envoy cluster of a first attempt for a model name."""
    return f"model|{model}"


def escalated_cluster(model: str) -> str:
    """Return the Envoy cluster of a redirected request for a model name."""
    return f"escalated|{model}"


def local_cluster(deployment: str) -> str:
    """Return the Envoy cluster of a deployment's replicas; ``deployment`` is ``namespace/name``."""
    return f"local|{deployment}"


def cloud_cluster(endpoint: str) -> str:
    """Return the Envoy cluster (and internal listener) that leads through the guard to an endpoint."""
    return f"cloud|{endpoint}"


def upstream_cluster(endpoint: str) -> str:
    """Return the Envoy cluster of the provider itself, behind the guard."""
    return f"upstream|{endpoint}"
