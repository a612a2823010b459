"""What a replica counts of its own, beside vLLM's metrics and on the same page. It decides nothing."""

from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
_RATIOS: Final = (0.1, 0.25, 0.5, 0.75, 0.9, 1.1, 1.25, 1.5, 2.0, 4.0, 10.0)


class ReplicaMetrics:
    """All of it carries the label ``deployment``, ``namespace/name``."""

    def __init__(self, registry: CollectorRegistry, deployment: str) -> None:
        self._deployment = deployment
        names = ["deployment"]
        self._verdicts = Counter(
            "tandem_replica_requests",
            "Requests by what admission decided: admit, queue, elsewhere (503), redirect (307), full (429).",
            [*names, "verdict"],
            registry=registry,
        )
        self._late = Counter(
            "tandem_replica_late_requests",
            "Requests given up because their first token did not come within the bound, by where they were sent.",
            [*names, "verdict"],
            registry=registry,
        )
        self.disconnects = Counter(
            "tandem_replica_disconnects",
            "Requests whose client went away before the answer was complete; the engine's work was aborted.",
            names,
            registry=registry,
        ).labels(deployment)
        self.first_token = Histogram(
            "tandem_replica_time_to_first_token_seconds",
            "From admission to the engine's first output.",
            names,
            buckets=_SECONDS,
            registry=registry,
        ).labels(deployment)
        self.predicted_first_token = Histogram(
            "tandem_replica_predicted_time_to_first_token_seconds",
            "What admission predicted, for every request that it judged.",
            names,
            buckets=_SECONDS,
            registry=registry,
        ).labels(deployment)
        self.prediction_ratio = Histogram(
            "tandem_replica_prediction_ratio",
            "Real time to first token over the predicted one.",
            names,
            buckets=_RATIOS,
            registry=registry,
        ).labels(deployment)
        self.prompt_tokens = Counter(
            "tandem_replica_prompt_tokens",
            "Prompt tokens that the engine counted.",
            names,
            registry=registry,
        ).labels(deployment)
        self.guessed_prompt_tokens = Counter(
            "tandem_replica_guessed_prompt_tokens",
            "What admission guessed for the same prompts from their bytes.",
            names,
            registry=registry,
        ).labels(deployment)
        self._gauges = (
            ("tandem_replica_waiting_requests", "Requests in the engine without a first output."),
            ("tandem_replica_waiting_tokens", "Prompt tokens of those requests."),
            ("tandem_replica_engine_requests", "Requests in the engine, waiting or running."),
            ("tandem_replica_prefill_tokens_per_second", "Measured prefill rate; 0 until two sizes were seen."),
        )
        self._registry = registry

    def judged(self, verdict: str) -> None:
        self._verdicts.labels(self._deployment, verdict).inc()

    def late(self, verdict: str) -> None:
        self._late.labels(self._deployment, verdict).inc()

    def watch(self, *readings: Callable[[], float]) -> None:
        """Read the gauges, in the order of ``_gauges``, at each scrape."""
        for (name, text), reading in zip(self._gauges, readings, strict=True):
            gauge = Gauge(name, text, ["deployment"], registry=self._registry)
            gauge.labels(self._deployment).set_function(reading)
