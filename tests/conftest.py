"""The expensive parts, started once for each xdist worker that asks for them."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from tandem_lab import manifests
from tandem_lab.control_plane import ControlPlane


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A real API server with Tandem's CRDs and RBAC, and its audit log."""
    with ControlPlane(tmp_path_factory.mktemp("control-plane"), audit=True) as running:
        manifests.install(running)
        yield running


@pytest.fixture
def namespace(control_plane: ControlPlane) -> Iterator[str]:
    """A namespace of the test's own."""
    name = f"test-{secrets.token_hex(4)}"
    control_plane.kubectl("create", "namespace", name)
    yield name
    control_plane.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="session")
def repository() -> Path:
    """The checkout's root."""
    return Path(__file__).resolve().parents[1]
