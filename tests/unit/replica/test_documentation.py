"""``docs/reference/replica.md`` names every path and every metric of a replica."""

import os
import re

from prometheus_client import CollectorRegistry
from support.reference_page import REFERENCE, metrics_there, metrics_told
from tandem_contract.documents import EngineConfig
from tandem_operator.engines.serve_document import ATTEMPT
from tandem_serving.replica import paths, vllm_engine
from tandem_serving.replica.metrics import ReplicaMetrics

PAGE = (REFERENCE / "replica.md").read_text()


def test_every_metric_is_named_with_its_labels_and_no_other():
    registry = CollectorRegistry()
    metrics = ReplicaMetrics(registry, "team/m")
    metrics.judged("admit")
    metrics.late("elsewhere")
    metrics.watch(*[lambda: 0.0] * 4)

    assert metrics_told(PAGE) == metrics_there(registry)


def test_every_path_is_named_and_no_other():
    section = PAGE.partition("## Paths")[2].partition("\n## ")[0]
    told = re.findall(r"(/[a-z0-9/_]+)`", section)

    assert sorted(told) == sorted(paths._METHODS)


def test_every_variable_that_is_written_is_named(monkeypatch):
    written: dict[str, str] = {}
    monkeypatch.setattr(os, "environ", written)
    vllm_engine._environment(EngineConfig(deployment="team/m", prefix="/m", source="file:///m"))

    assert set(re.findall(r"^\| `([A-Z_]+)` \|", PAGE, re.MULTILINE)) == {*written, ATTEMPT}
