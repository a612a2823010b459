"""Fits ``examples/01-hello`` to this machine with a kustomization: where the model, the stand-in and its key are.

The example stays as a person would write it for a cluster; what only this machine can know is laid over it.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tandem_lab import kubeconfig

MODEL, CLOUD = "hello", "example-cloud"


@dataclass(frozen=True)
class Machine:
    """What the example cannot know."""

    example: Path
    model_source: str
    cloud_url: str
    cloud_certificate_authority: str
    """PEM."""

    cloud_key: str


def write(folder: Path, machine: Machine) -> None:
    """Write a kustomization into ``folder``; it carries a key, so nobody else may read it."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    kubeconfig.write_private(folder / "kustomization.yaml", json.dumps(kustomization(folder, machine), indent=1))


def kustomization(folder: Path, machine: Machine) -> dict[str, Any]:
    """Return the overlay. JSON is YAML."""
    secret = {"api-key": machine.cloud_key, "ca.crt": machine.cloud_certificate_authority}
    return {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [os.path.relpath(machine.example, folder)],
        "patches": [
            _patch("ModelDeployment", MODEL, {"spec": {"model": {"source": machine.model_source}}}),
            _patch("CloudEndpoint", CLOUD, {"spec": {"url": machine.cloud_url}}),
            _patch("Secret", CLOUD, {"stringData": secret}),
        ],
    }


def _patch(kind: str, name: str, change: dict[str, Any]) -> dict[str, Any]:
    version = "v1" if kind == "Secret" else "tandem.dev/v1alpha1"
    body = {"apiVersion": version, "kind": kind, "metadata": {"name": name}, **change}
    return {"target": {"kind": kind, "name": name}, "patch": json.dumps(body)}
