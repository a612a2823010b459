"""Every example is accepted by a real API server, as it is and as the demo applies it."""

import shutil
from pathlib import Path

import pytest
from tandem_lab import paths
from tandem_lab.control_plane import ControlPlane
from tandem_lab.demo import overlay

EXAMPLES = sorted(folder for folder in paths.EXAMPLES.iterdir() if folder.is_dir())
MACHINE = overlay.Machine(
    example=paths.EXAMPLES / "01-hello",
    model_source="file:///tmp/models/gemma",
    cloud_url="https://localhost:18443/v1",
    cloud_certificate_authority="-----BEGIN CERTIFICATE-----\nMII=\n-----END CERTIFICATE-----\n",
    cloud_key="sk-of-this-machine",
)


@pytest.fixture
def tandem_system(control_plane: ControlPlane) -> None:
    """Make the operator's namespace where ``deploy/`` did not."""
    control_plane.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "tandem-system"}})


@pytest.mark.usefixtures("tandem_system")
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda folder: folder.name)
def test_an_example_is_applied_as_its_readme_says(control_plane: ControlPlane, example: Path) -> None:
    assert f"kubectl apply -k examples/{example.name}" in (example / "README.md").read_text()

    applied = control_plane.kubectl("apply", "-k", example)
    again = control_plane.kubectl("apply", "-k", example)
    control_plane.kubectl("delete", "-k", example, "--wait=false")

    assert "modeldeployment.tandem.dev/" in applied
    ours = [line for line in again.splitlines() if "tandem.dev/" in line]
    assert ours
    assert all(line.endswith("unchanged") for line in ours), again


@pytest.mark.usefixtures("tandem_system")
def test_the_demo_lays_this_machine_over_the_example(control_plane: ControlPlane, tmp_path: Path) -> None:
    example = shutil.copytree(MACHINE.example, tmp_path / "example")
    folder = tmp_path / "hello"
    overlay.write(folder, overlay.Machine(**{**vars(MACHINE), "example": example}))

    assert (folder / "kustomization.yaml").stat().st_mode & 0o077 == 0
    assert "sk-of-this-machine" in control_plane.kubectl("kustomize", folder)
    # The previous test's namespace may still be going: what the API server says of the objects is enough.
    said = control_plane.kubectl("apply", "-k", folder, "--dry-run=client", "-o", "yaml")
    for part in ("file:///tmp/models/gemma", "https://localhost:18443/v1", "name: hello", "maxDataClass: Internal"):
        assert part in said
