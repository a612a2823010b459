"""What the agent says about itself in ``/metrics``; the guard's metrics are in the same registry."""

import math
import time
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from tandem_serving.gateway.policy_board import PolicyBoard
from tandem_serving.gateway.relay_mirror import Counts


class RelayMetrics:
    """Set by the relay as things happen."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.connected = Gauge(
            "tandem_gateway_operator_connected", "1 while a stream to the leading operator is up.", registry=registry
        )
        self.connects = Counter(
            "tandem_gateway_operator_connects", "Streams that an operator served.", registry=registry
        )
        self.snapshot_bytes = Gauge(
            "tandem_gateway_snapshot_bytes", "Size of the snapshot on disk; 0 = none yet.", registry=registry
        )
        self.snapshot_saved_at = Gauge(
            "tandem_gateway_snapshot_saved_timestamp_seconds", "When the snapshot was last written.", registry=registry
        )
        self.snapshot_failures = Counter(
            "tandem_gateway_snapshot_failures", "Writes of the snapshot that failed.", registry=registry
        )


class StateCollector(Collector):
    """Read when Prometheus asks."""

    def __init__(self, board: PolicyBoard, counts: Counts, envoys: Callable[[], int]) -> None:
        self._board = board
        self._counts = counts
        self._envoys = envoys

    def collect(self) -> Iterator[Metric]:
        view = self._board.current()
        age = math.nan if view.fresh_at is None else time.monotonic() - view.fresh_at
        yield _gauge(
            "tandem_gateway_policy_age_seconds", "Since the operator was last current; NaN = never heard.", age
        )
        yield _gauge("tandem_gateway_policies", "Deployments with a policy.", len(view.deployments))
        yield _gauge("tandem_gateway_credentials", "Cloud endpoints with a key in memory.", len(view.credentials))
        yield _gauge("tandem_gateway_envoys_connected", "Envoys that take their configuration here.", self._envoys())
        results = CounterMetricFamily(
            "tandem_gateway_resources", "Resources from the operator, by what was made of them.", labels=["result"]
        )
        results.add_metric(["accepted"], self._counts.accepted)
        results.add_metric(["rejected"], self._counts.rejected)
        yield results


def _gauge(name: str, documentation: str, value: float) -> Metric:
    metric = Metric(name, documentation, "gauge")
    metric.add_sample(name, {}, value)
    return metric
