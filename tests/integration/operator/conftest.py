"""One Ray head for the tests of this folder that do not harm it, and one operator for those that do not harm that."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.operator_world import World, ray_entry, running_world
from tandem_lab.control_plane import ControlPlane
from tandem_lab.ray_head import RayHead


@pytest.fixture(scope="session")
def ray_head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayHead]:
    """A head with room for what a few tests run at the same time."""
    with RayHead(tmp_path_factory.mktemp("ray"), num_cpus=8, drain_seconds=1) as head:
        yield head


@pytest.fixture(scope="module")
def world(control_plane: ControlPlane, ray_head: RayHead, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """An operator with a Ray cluster ``lab`` for everybody and ``private`` for one other namespace."""
    clusters = {"lab": ray_entry(ray_head), "private": ray_entry(ray_head, namespaces=("somebody-else",))}
    folder: Path = tmp_path_factory.mktemp("operator")
    with running_world(control_plane, folder, clusters) as found:
        yield found


@pytest.fixture(scope="module")
def rayless(control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """An operator without a Ray cluster: policy, endpoints and the status do not need one."""
    with running_world(control_plane, tmp_path_factory.mktemp("operator"), {}) as found:
        yield found
        control_plane.run_kubectl("delete", "cloudep", "--all", "--timeout=30s")
