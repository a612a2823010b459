"""Puts Tandem's own objects into a cluster: the CRDs, then namespace, ServiceAccount and RBAC of the operator."""

from tandem_lab import paths
from tandem_lab.control_plane import ControlPlane


def install(cluster: ControlPlane) -> None:
    """Apply ``crds/`` and ``deploy/`` and wait until the API server serves the new kinds."""
    if any(paths.CRDS.glob("*.yaml")):
        cluster.kubectl("apply", "--server-side", "-f", paths.CRDS)
        cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", paths.CRDS)
    if any(paths.DEPLOY.rglob("*.yaml")):
        cluster.kubectl("apply", "--server-side", "-R", "-f", paths.DEPLOY)
