"""The operator's own Prometheus metrics, in a registry that is passed around: no globals, so tests can have many."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """Names follow controller-runtime's where one exists there."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.queue_depth = Gauge("tandem_workqueue_depth", "Keys that wait for a worker.", registry=self.registry)
        self.queue_seconds = Histogram(
            "tandem_workqueue_queue_duration_seconds",
            "Time that a key waited for a worker.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.reconcile_seconds = Histogram(
            "tandem_reconcile_duration_seconds",
            "Time that one reconcile took.",
            ["kind"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.reconciles = Counter(
            "tandem_reconcile",
            "Reconciles by their outcome: ok, retry, hold, error.",
            ["kind", "result"],
            registry=self.registry,
        )
        self.writes = Counter(
            "tandem_api_writes", "Writes sent to the API server.", ["verb", "resource"], registry=self.registry
        )
        self.leader = Gauge("tandem_leader", "1 while this process leads.", registry=self.registry)
        self.watch_restarts = Counter(
            "tandem_watch_restarts", "Times that the watch ended and was started again.", registry=self.registry
        )
        self.last_event_age = Gauge(
            "tandem_last_event_age_seconds", "Seconds since the watch last brought an event.", registry=self.registry
        )
        self.last_resync_age = Gauge(
            "tandem_last_resync_age_seconds", "Seconds since all objects were last listed.", registry=self.registry
        )
        self.objects = Gauge("tandem_objects", "Objects known.", ["kind"], registry=self.registry)
