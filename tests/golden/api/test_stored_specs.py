"""What a user writes (input) and what the API server makes of it (output) mean the same to the operator.

tests/integration/api shows that the real API server stores exactly these outputs.
"""

from pathlib import Path
from typing import Any

import pytest
import yaml
from support.builders import from_server
from tandem_operator.api.v1alpha1 import CloudEndpoint, ModelDeployment

INPUTS = sorted((Path(__file__).parent / "input").glob("*.yaml"))
KINDS = {"ModelDeployment": ModelDeployment, "CloudEndpoint": CloudEndpoint}


def parsed(body: dict[str, Any]) -> ModelDeployment | CloudEndpoint:
    return KINDS[body["kind"]].model_validate(from_server(body))


def without_nothing(value: Any) -> Any:
    """Return ``value`` without null and empty lists and maps: what the API server leaves unsaid."""
    if isinstance(value, dict):
        told = {key: without_nothing(each) for key, each in value.items()}
        return {key: each for key, each in told.items() if each not in (None, [], {})}
    return [without_nothing(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: path.stem)
def test_the_stored_spec_means_what_was_written(path: Path):
    written = yaml.safe_load(path.read_text())
    stored = yaml.safe_load((path.parents[1] / "output" / path.name).read_text())

    assert parsed(written | stored) == parsed(written)


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: path.stem)
def test_every_default_of_the_types_is_in_the_stored_spec(path: Path):
    written = yaml.safe_load(path.read_text())
    stored = yaml.safe_load((path.parents[1] / "output" / path.name).read_text())

    spec = parsed(written).model_dump(mode="json", by_alias=True)["spec"]

    assert without_nothing(spec) == without_nothing(stored["spec"])


def test_an_empty_selector_is_not_the_same_as_none():
    stored = yaml.safe_load((INPUTS[0].parents[1] / "output" / "open-cloud-endpoint.yaml").read_text())

    assert stored["spec"]["allowedNamespaces"] == {}
