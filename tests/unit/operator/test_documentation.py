"""``docs/reference/operator.md`` names everything that a user of the operator meets."""

import pytest
from prometheus_client import CollectorRegistry
from support.reference_page import REFERENCE, metrics_there, metrics_told
from tandem_operator import conditions, names
from tandem_operator.clients.ray_metrics import RayMetrics
from tandem_operator.config import OperatorConfig, RayCluster
from tandem_operator.metrics import Metrics

PAGE = (REFERENCE / "operator.md").read_text()


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


def test_every_metric_of_ray_clusters_is_named_with_its_labels_and_no_other():
    registry = CollectorRegistry()
    metrics = RayMetrics(registry)
    metrics.seconds.labels("lab", "get")
    metrics.errors.labels("lab", "get", "timeout")
    metrics.foreign_writes.labels("lab")
    metrics.foreign_applications.labels("lab")

    assert metrics_told(PAGE) == metrics_there(registry)


@pytest.mark.parametrize("name", [names.FINALIZER, names.ABANDON])
def test_what_is_written_on_objects_is_named(name):
    assert name in PAGE
