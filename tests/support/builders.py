"""Kubernetes objects for tests, as a user would write them: valid, small, and changed by what a test is about.

``spec`` is merged key by key (lists and scalars are replaced, ``None`` removes a field), so a test names only
what it cares about::

    a_model_deployment("chat", spec={"policy": {"dataClass": "Public"}})
"""

from collections.abc import Mapping
from typing import Any

API_VERSION = "tandem.dev/v1alpha1"


def a_model_deployment(
    name: str = "hello",
    *,
    namespace: str = "default",
    spec: Mapping[str, Any] | None = None,
    metadata: Mapping[str, Any] | None = None,
    status: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return a ModelDeployment that runs one small model on the external Ray cluster ``lab``, without a cloud."""
    body: dict[str, Any] = {
        "apiVersion": API_VERSION,
        "kind": "ModelDeployment",
        "metadata": merged({"name": name, "namespace": namespace}, metadata or {}),
        "spec": merged(
            {
                "model": {"source": "file:///models/gemma-3-270m-it"},
                "local": {
                    "ray": {"external": "lab"},
                    "replicas": {"min": 1, "max": 1},
                    "resources": {"cpu": "1", "memory": "2Gi", "gpus": "0"},
                },
            },
            spec or {},
        ),
    }
    if status is not None:
        body["status"] = dict(status)
    return body


def a_cloud_endpoint(
    name: str = "cloud-eu",
    *,
    spec: Mapping[str, Any] | None = None,
    metadata: Mapping[str, Any] | None = None,
    status: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return a CloudEndpoint that every namespace may use, for data up to Internal."""
    body: dict[str, Any] = {
        "apiVersion": API_VERSION,
        "kind": "CloudEndpoint",
        "metadata": merged({"name": name}, metadata or {}),
        "spec": merged(
            {
                "provider": "OpenAI",
                "url": "https://api.example.com/v1",
                "region": "eu-de",
                "maxDataClass": "Internal",
                "allowedNamespaces": {},
                "credentials": {"secretRef": {"name": "cloud-eu", "key": "api-key"}},
                "models": [{"name": "gpt-5-mini", "contextTokens": 400000}],
            },
            spec or {},
        ),
    }
    if status is not None:
        body["status"] = dict(status)
    return body


def from_server(body: Mapping[str, Any], **metadata: Any) -> dict[str, Any]:
    """Return ``body`` with the metadata that only an API server gives; for tests that have none running."""
    given = {"uid": "0b0a1f6e-0000-4000-8000-000000000001", "generation": 1, "resourceVersion": "1"}
    return merged(body, {"metadata": {**given, "creationTimestamp": "2026-01-01T00:00:00Z", **metadata}})


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` with ``changes`` laid over it: maps key by key, everything else whole, ``None`` removes."""
    result = dict(base)
    for key, value in changes.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(result.get(key), Mapping) and value:
            result[key] = merged(result[key], value)
        else:
            result[key] = value
    return result
