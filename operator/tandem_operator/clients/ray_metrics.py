"""Prometheus metrics about Ray clusters: each call's time, each failure's kind, and other people's writes."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class RayMetrics:
    """One per operator; the label ``ray_cluster`` is the name in the administrator's configuration."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.seconds = Histogram(
            "tandem_ray_request_duration_seconds",
            "Time that one call of a Ray cluster's REST API took, failed ones included.",
            ["ray_cluster", "call"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.errors = Counter(
            "tandem_ray_request_errors",
            "Failed calls by what went wrong: unreachable, timeout, token, unauthorized, status, garbage, refused.",
            ["ray_cluster", "call", "error"],
            registry=registry,
        )
        self.foreign_writes = Counter(
            "tandem_ray_foreign_writes",
            "Times that somebody else was seen to write the Serve document at the same moment, or over ours.",
            ["ray_cluster"],
            registry=registry,
        )
        self.foreign_applications = Gauge(
            "tandem_ray_foreign_applications",
            "Serve applications on the Ray cluster that are not this operator's.",
            ["ray_cluster"],
            registry=registry,
        )
