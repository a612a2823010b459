"""The guard as the agent starts it: one coroutine, behind it a thread and an event loop of its own.

Called by the agent's ``__main__``. It decides nothing; it keeps large bodies away from the relay's loop and makes the
guard's end the agent's end, so that a supervisor starts both again. Meanwhile Envoy denies by itself.
"""

from dataclasses import dataclass
from pathlib import Path

from prometheus_client import CollectorRegistry
from tandem_serving.gateway.policy_board import PolicyBoard


@dataclass(frozen=True)
class GuardSettings:
    """What the agent's configuration says about the guard."""

    socket: Path
    """Unix socket that Envoy's cluster ``guard`` points to."""

    policy_limit_seconds: float = 3600
    """How long a policy may be used after the operator was last known to be current."""

    body_bytes_in_flight: int = 64 << 20
    """Most bytes of large bodies (over 1 MiB) that are worked on at once; more of them wait."""


async def serve(board: PolicyBoard, settings: GuardSettings, registry: CollectorRegistry) -> None:
    """Answer Envoy until cancelled. Raises what broke the guard; the agent then ends, and is started again."""
    raise NotImplementedError
