"""``docs/reference/operator.md`` names everything that a user of the operator meets."""

from pathlib import Path

import pytest
from tandem_operator import conditions, names
from tandem_operator.config import OperatorConfig, RayCluster
from tandem_operator.metrics import Metrics

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "reference" / "operator.md").read_text()


@pytest.mark.parametrize("setting", OperatorConfig.model_fields)
def test_every_setting_is_named(setting):
    assert f"`{setting}`" in PAGE


@pytest.mark.parametrize("field", [field.alias for field in RayCluster.model_fields.values()])
def test_every_field_of_a_ray_cluster_is_in_the_example(field):
    assert f"    {field}: " in PAGE


@pytest.mark.parametrize("word", sorted({v for k, v in vars(conditions).items() if k.isupper() and isinstance(v, str)}))
def test_every_type_and_reason_is_named(word):
    assert f"`{word}`" in PAGE


def test_every_metric_is_named():
    for family in Metrics().registry.collect():
        assert f"`{family.name}" in PAGE, family.name


@pytest.mark.parametrize("name", [names.FINALIZER, names.ABANDON])
def test_what_is_written_on_objects_is_named(name):
    assert name in PAGE
