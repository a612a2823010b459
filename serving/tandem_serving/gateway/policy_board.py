"""The policy as the guard reads it. The relay publishes whole views; the guard reads one per request.

A view is never changed after it was published: a request is judged by the view that it began with, and the relay's
thread and the guard's share nothing but one reference.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tandem_contract.documents import Credential, DeploymentPolicy, EndpointPolicy


@dataclass(frozen=True)
class PolicyView:
    """Everything that a decision needs, as of one moment. The empty view lets nothing leave."""

    deployments: Mapping[str, DeploymentPolicy] = field(default_factory=dict)
    """By ``namespace/name``."""

    endpoints: Mapping[str, EndpointPolicy] = field(default_factory=dict)
    """By the endpoint's name."""

    credentials: Mapping[str, Credential] = field(default_factory=dict, repr=False)
    """By the endpoint's name."""

    ready_replicas: Mapping[str, int] = field(default_factory=dict)
    """Local replicas that Envoy was told of, by ``namespace/name``; absent = none."""

    fresh_at: float | None = None
    """Monotonic seconds at which the operator last knew that its view was current; None = never heard."""


class PolicyBoard:
    """Where the current view hangs. ``publish`` and ``current`` may be called from any thread."""

    def __init__(self) -> None:
        self._view = PolicyView()

    def publish(self, view: PolicyView) -> None:
        """Replace the view. One reference is assigned, which is atomic: readers see the old or the new view, whole."""
        self._view = view

    def current(self) -> PolicyView:
        return self._view


def fresh_at(observed_seconds: float, *, now_seconds: float, monotonic_seconds: float) -> float:
    """Return ``PolicyView.fresh_at`` for a Freshness document, from this machine's two clocks.

    Call it once for each document that differs from the last one, and keep the result: a document that is sent again is
    as old as it was. One from the future (the operator's clock runs ahead) counts as of now.
    """
    return monotonic_seconds - max(0.0, now_seconds - observed_seconds)
