"""What a person sees with kubectl: explanations of every field, columns, short names."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from support.builders import a_cloud_endpoint, a_model_deployment
from support.wait import eventually
from tandem_lab.control_plane import ControlPlane
from tandem_operator.api.crd import KINDS, Kind, make_schema


def fields(schema: dict[str, Any], path: str) -> Iterator[tuple[str, str]]:
    """Yield each field below ``schema`` with its description."""
    for name, field in schema.get("items", schema).get("properties", {}).items():
        if path or name in {"spec", "status"}:
            yield f"{path}.{name}", field["description"]
            yield from fields(field, f"{path}.{name}")


FIELDS = [
    pytest.param(f"{kind.short_name}{path}", text, id=f"{kind.short_name}{path}")
    for kind in KINDS
    for path, text in fields(make_schema(kind), "")
]


@pytest.fixture(scope="module")
def explaining(control_plane: ControlPlane) -> ControlPlane:
    """The control plane once it has published the new kinds: a moment after it serves them."""
    for kind in KINDS:
        eventually(lambda name=kind.plural: control_plane.run_kubectl("explain", name).returncode == 0, 60)
    return control_plane


@pytest.mark.parametrize(("field", "text"), FIELDS)
def test_explains(explaining: ControlPlane, field: str, text: str):
    said = explaining.kubectl("explain", field)

    assert " ".join(text.split()) in " ".join(said.split())


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_explains_the_kind_by_each_of_its_names(explaining: ControlPlane, kind: Kind):
    first_words = (kind.model.__doc__ or "").split()[:6]

    for name in (kind.short_name, kind.plural, kind.name.lower()):
        assert " ".join(first_words) in " ".join(explaining.kubectl("explain", name).split())


def write_status(control_plane: ControlPlane, body: dict[str, Any], status: dict[str, Any]) -> None:
    ready = {"type": "Ready", "status": "True", "reason": "Serving", "lastTransitionTime": "2026-01-31T12:00:00Z"}
    manifest = {**body, "status": {"conditions": [ready, *status.pop("conditions", [])], **status}}
    command = ("apply", "--server-side", "--subresource=status", "--field-manager=tandem", "-f", "-")
    control_plane.kubectl(*command, stdin=json.dumps(manifest))


def test_a_list_of_deployments_says_what_matters(control_plane: ControlPlane, namespace: str):
    body = a_model_deployment(namespace=namespace)
    control_plane.apply(body)
    cloud = {"type": "CloudReachable", "status": "False", "reason": "X", "lastTransitionTime": "2026-01-31T12:00:00Z"}
    status = {"conditions": [cloud], "url": "http://127.0.0.1:8080/v1", "local": {"ready": 2}}
    write_status(control_plane, body, status)

    header, row = control_plane.kubectl("get", "mdep", "-n", namespace).splitlines()

    assert header.split() == ["NAME", "MODEL", "READY", "REASON", "LOCAL", "CLOUD", "URL", "AGE"]
    assert row.split()[:-1] == [
        "hello",
        "file:///models/gemma-3-270m-it",
        "True",
        "Serving",
        "2",
        "False",
        "http://127.0.0.1:8080/v1",
    ]


def test_a_deployment_can_be_waited_for(control_plane: ControlPlane, namespace: str):
    body = a_model_deployment(namespace=namespace)
    control_plane.apply(body)
    write_status(control_plane, body, {"observedGeneration": 1})

    said = control_plane.kubectl("wait", "mdep/hello", "-n", namespace, "--for=condition=Ready", "--timeout=10s")

    assert "condition met" in said


def test_a_list_of_endpoints_says_what_matters(control_plane: ControlPlane):
    body = a_cloud_endpoint("columns")
    control_plane.apply(body)
    write_status(control_plane, body, {})

    header, row = control_plane.kubectl("get", "cloudep", "columns").splitlines()
    control_plane.kubectl("delete", "cloudep", "columns")

    assert header.split() == ["NAME", "READY", "REASON", "REGION", "MAXCLASS", "AGE"]
    assert row.split()[:-1] == ["columns", "True", "Serving", "eu-de", "Internal"]


def test_one_word_lists_everything_of_tandem(control_plane: ControlPlane, namespace: str):
    control_plane.apply(a_model_deployment(namespace=namespace), a_cloud_endpoint("category"))

    said = control_plane.kubectl("get", "tandem", "-n", namespace, "-o", "name")
    control_plane.kubectl("delete", "cloudep", "category")

    assert "modeldeployment.tandem.dev/hello" in said
    assert "cloudendpoint.tandem.dev/category" in said
