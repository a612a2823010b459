"""The CRDs are what the types say, and the files are what the CRDs are."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tandem_operator.api import crd, generated, reference
from tandem_operator.api.crd import KINDS, Kind, make_crd, make_schema

KIND = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


def test_the_files_in_crds_are_generated(repository: Path):
    assert generated.drift(crd.files(repository / "crds")) == []
    assert {path.name for path in (repository / "crds").iterdir()} == {path.name for path in crd.files(Path())}


def test_the_reference_page_is_generated(repository: Path):
    assert generated.drift(reference.files(repository / "docs" / "reference")) == []


@pytest.mark.parametrize("module", [crd, reference], ids=["crd", "reference"])
def test_the_check_fails_on_an_edited_file_and_says_where(module: Any, tmp_path: Path):
    command = [sys.executable, "-m", module.__name__, "--folder", str(tmp_path)]
    subprocess.run([*command, "--write"], check=True)
    assert subprocess.run([*command, "--check"], check=False).returncode == 0
    edited = next(iter(module.files(tmp_path)))
    edited.write_text(edited.read_text().replace("eu-de", "us-east"))

    checked = subprocess.run([*command, "--check"], check=False, capture_output=True, text=True)

    assert checked.returncode == 1
    assert str(edited) in checked.stderr
    assert "make generate" in checked.stderr


@KIND
def test_a_kind_is_served_as_the_design_says(kind: Kind):
    spec = make_crd(kind)["spec"]
    (version,) = spec["versions"]

    assert spec["group"] == "tandem.dev"
    assert spec["names"]["categories"] == ["tandem"]
    assert (version["name"], version["served"], version["storage"]) == ("v1alpha1", True, True)
    assert version["subresources"] == {"status": {}}


def test_a_deployment_lives_in_a_namespace_and_an_endpoint_in_none():
    assert [(kind.short_name, kind.scope) for kind in KINDS] == [("mdep", "Namespaced"), ("cloudep", "Cluster")]


@KIND
def test_only_the_status_itself_has_a_default(kind: Kind):
    status = make_schema(kind)["properties"]["status"]

    assert status["default"] == {"observedGeneration": -1}
    assert "default" not in str(status["properties"]).replace("'description'", "")


SPEC_FIELDS = {
    "ModelDeployment": {
        "model.source",
        "model.revision",
        "model.names",
        "model.maxModelLen",
        "model.quantization",
        "local.ray.external",
        "local.replicas.min",
        "local.replicas.max",
        "local.resources.cpu",
        "local.resources.memory",
        "local.resources.gpus",
        "local.engineArgs",
        "cloud.endpoints.name",
        "cloud.endpoints.model",
        "cloud.when",
        "policy.dataClass",
        "policy.regions",
        "slo.timeToFirstTokenMilliseconds",
    },
    "CloudEndpoint": {
        "provider",
        "url",
        "tls.caSecretRef.name",
        "tls.caSecretRef.key",
        "region",
        "maxDataClass",
        "allowedNamespaces.matchLabels",
        "allowedNamespaces.matchExpressions.key",
        "allowedNamespaces.matchExpressions.operator",
        "allowedNamespaces.matchExpressions.values",
        "credentials.secretRef.name",
        "credentials.secretRef.key",
        "models.name",
        "models.contextTokens",
    },
}


def leaves(schema: dict[str, Any], path: str = "") -> dict[str, dict[str, Any]]:
    """Return the fields that hold a value, by path."""
    found: dict[str, dict[str, Any]] = {}
    for name, field in schema["properties"].items():
        inner = field.get("items", field)
        below = leaves(inner, f"{path}{name}.") if "properties" in inner else {f"{path}{name}": field}
        found |= below
    return found


@KIND
def test_the_spec_has_the_fields_that_have_an_effect_and_no_others(kind: Kind):
    assert set(leaves(make_schema(kind)["properties"]["spec"])) == SPEC_FIELDS[kind.name]


ADVICE = ("Change it", "change it", "Set it", "Raise it", "Lower it", "Add ", "Use it", "Keep it")


@KIND
def test_every_field_of_the_spec_says_what_it_means_shows_an_example_and_when_to_change_it(kind: Kind):
    for path, field in leaves(make_schema(kind)["properties"]["spec"]).items():
        text = field["description"]
        assert "Example: " in text, path
        assert any(words in text for words in ADVICE), path
        said = ("Required.", "Default: ", "without", "left out")
        assert any(words in text for words in said), f"{path}: what does it mean to leave it out?"


@KIND
def test_every_string_list_and_map_of_the_spec_is_bounded(kind: Kind):
    for path, field in leaves(make_schema(kind)["properties"]["spec"]).items():
        if field["type"] == "string" and "enum" not in field:
            assert "maxLength" in field, path
        if field["type"] == "array":
            assert "maxItems" in field, path
            assert "enum" in field["items"] or "maxLength" in field["items"], path
        if field["type"] == "object":
            assert "maxProperties" in field, path
            assert "maxLength" in field["additionalProperties"], path
        if field["type"] == "integer":
            assert {"minimum", "maximum"} <= set(field), path


@KIND
def test_no_number_of_the_api_is_a_float(kind: Kind):
    assert "'number'" not in str(make_schema(kind))


@KIND
def test_messages_are_advice_and_not_regular_expressions(kind: Kind):
    text = str(make_schema(kind))

    assert "'pattern'" not in text
    assert "messageExpression" not in text, "too dear for the API server's budget"
