"""Sizes and counts that several resources must agree on."""

from typing import Final

from tandem_operator.routing.proto import Message

CONNECTION_BUFFER_BYTES: Final = 256 * 1024
"""Per connection. More would buffer whole responses too."""

MOST_CLOUDS: Final = 8
"""Endpoints that a ModelDeployment may list, by its schema."""

_UNBOUNDED: Final = 1_000_000

BREAKERS: Final[Message] = {
    "thresholds": [
        {
            "max_connections": _UNBOUNDED,
            "max_pending_requests": _UNBOUNDED,
            "max_requests": _UNBOUNDED,
            "max_retries": _UNBOUNDED,
        }
    ]
}
"""Out of the way. Envoy's default of 3 retries at once turns 197 of 200 failovers into 503. How much runs at once is
bounded by admission in each replica, and towards a cloud by the guard, which denies what is above an endpoint's cap."""
