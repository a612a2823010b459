"""What went to a cloud, in numbers: Prometheus metrics of the guard. Scraped through the agent's registry.

Labels are names from policies that the operator wrote, never text from a client, so their number stays bounded; a
key has no way into them.
"""

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tandem_serving.gateway.guard_decide import Deny, Send
from tandem_serving.gateway.sse import Tokens

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class UsageMeter:
    """One for each guard. Call it from any thread."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        target = ("deployment", "endpoint", "model")
        self._requests = Counter(
            "tandem_cloud_requests",
            "Requests that left the premises, by reason and status (aborted = the client went away).",
            (*target, "reason", "code"),
            registry=registry,
        )
        self._tokens = Counter(
            "tandem_cloud_tokens",
            "Tokens that clouds reported as used, by kind (prompt, completion).",
            (*target, "kind"),
            registry=registry,
        )
        self._unreported = Counter(
            "tandem_cloud_usage_missing",
            "Successful cloud answers whose usage was not reported or not seen to the end.",
            target,
            registry=registry,
        )
        self._seconds = Histogram(
            "tandem_cloud_request_seconds",
            "Seconds from the guard's consent to the end of the cloud's answer.",
            ("deployment", "endpoint"),
            buckets=_SECONDS,
            registry=registry,
        )
        self._denials = Counter(
            "tandem_guard_denials",
            "Attempts towards a cloud that were denied, by the word for why.",
            ("deployment", "endpoint", "word"),
            registry=registry,
        )
        self._body_bytes = Gauge(
            "tandem_guard_body_bytes_in_flight",
            "Bytes of large request bodies that the guard works on.",
            registry=registry,
        )

    def watch_bodies(self, in_flight: Callable[[], float]) -> None:
        """Read the bytes of large bodies in flight from ``in_flight`` at each scrape."""
        self._body_bytes.set_function(in_flight)

    def watch_places(self, taken: Callable[[], dict[str, int]]) -> None:
        """Read the requests on their way to each endpoint from ``taken`` at each scrape."""
        self._registry.register(_InFlight(taken))

    def denied(self, deny: Deny, *, deployment: str, endpoint: str) -> None:
        self._denials.labels(deployment, endpoint, deny.word.value).inc()

    def sent(self, send: Send, *, code: str) -> None:
        self._requests.labels(send.deployment, send.endpoint, send.model, send.reason.value, code).inc()

    def ended(self, send: Send, *, seconds: float) -> None:
        self._seconds.labels(send.deployment, send.endpoint).observe(seconds)

    def used(self, send: Send, tokens: Tokens | None) -> None:
        """Count what a successful answer took; None counts as not reported."""
        target = (send.deployment, send.endpoint, send.model)
        if tokens is None:
            self._unreported.labels(*target).inc()
            return
        self._tokens.labels(*target, "prompt").inc(tokens.prompt)
        self._tokens.labels(*target, "completion").inc(tokens.completion)


class _InFlight(Collector):
    """Read when Prometheus asks."""

    def __init__(self, taken: Callable[[], dict[str, int]]) -> None:
        self._taken = taken

    def collect(self) -> Iterator[Metric]:
        found = GaugeMetricFamily(
            "tandem_cloud_requests_in_flight",
            "Requests that are on their way to a cloud, or whose answers still come.",
            labels=["endpoint"],
        )
        for endpoint, count in self._taken().items():
            found.add_metric([endpoint], count)
        yield found
