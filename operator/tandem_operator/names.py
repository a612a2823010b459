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


def serve_apps(cluster_uid: str) -> str:
    """Return what the names of all Serve applications of one Kubernetes cluster begin with."""
    return f"tandem_{cluster_uid[:8]}_"


def serve_app(cluster_uid: str, namespace: str, name: str) -> str:
    """Return the Serve application's name: other Kubernetes clusters may share the Ray cluster.

    ``_`` cannot occur in a namespace or a name, so two deployments never meet.
    """
    return f"{serve_apps(cluster_uid)}{namespace}_{name}"


def prefix(app: str) -> str:
    """Return the route prefix of a Serve application."""
    return f"/{app}"


def model_cluster(model: str) -> str:
    """Return the Envoy cluster of a first attempt for a model name."""
    return f"model|{model}"


def escalated_cluster(model: str) -> str:
    """Return the Envoy cluster of a redirected request for a model name."""
    return f"escalated|{model}"


def home_cluster(model: str) -> str:
    """Return the Envoy cluster of a request that must stay on the premises."""
    return f"home|{model}"


def local_cluster(deployment: str) -> str:
    """Return the Envoy cluster of a deployment's replicas; ``deployment`` is ``namespace/name``."""
    return f"local|{deployment}"


def cloud_cluster(endpoint: str) -> str:
    """Return the Envoy cluster that leads into an endpoint's internal listener, where the guard is asked."""
    return f"cloud|{endpoint}"


def way_out_listener(endpoint: str, destination: str) -> str:
    """Return the internal listener of an endpoint as long as it leads to ``destination`` (a digest)."""
    return f"cloud|{endpoint}|{destination}"


def upstream_cluster(endpoint: str, destination: str) -> str:
    """Return the Envoy cluster of the provider itself, behind the guard; ``destination`` is the digest of its place."""
    return f"{upstream_statistics(endpoint)}|{destination}"


def upstream_statistics(endpoint: str) -> str:
    """Return what Envoy's numbers about a provider are called, whatever its address was."""
    return f"upstream|{endpoint}"
