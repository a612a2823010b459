"""The snapshot that every decision reads. Pure: ``reconcile_deployment`` fills it, ``plan`` and ``readiness`` read it.

``None`` always means "could not be read", never "zero" or "absent": whoever meets it holds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from tandem_operator.api.v1alpha1 import CloudEndpoint, ModelDeployment, Target
from tandem_operator.errors import Reject


class AppStatus(StrEnum):
    """A Serve application's status in Ray's words, and ``ABSENT``: Ray answered, and does not know it."""

    ABSENT = "ABSENT"
    NOT_STARTED = "NOT_STARTED"
    DEPLOYING = "DEPLOYING"
    RUNNING = "RUNNING"
    UNHEALTHY = "UNHEALTHY"
    DEPLOY_FAILED = "DEPLOY_FAILED"
    DELETING = "DELETING"


@dataclass(frozen=True, slots=True)
class AppState:
    """One Serve application as the Ray cluster told it just now."""

    status: AppStatus
    message: str = ""
    """Ray's own words, without colours and stack frames that say nothing."""

    target: int | None = None
    """Replicas that Ray is told to keep; None = unknown."""

    running: int = 0
    """Replicas in state RUNNING."""

    starting: int = 0
    """Replicas that exist and are not yet RUNNING."""

    targets: tuple[Target, ...] | None = None
    """Where its replicas listen; None = unknown (an empty or foreign answer), so the last known ones stay."""

    failures: tuple[str, ...] = ()
    """What Ray says about replicas that did not start, newest last."""


@dataclass(frozen=True, slots=True)
class Names:
    """Bare model names: what this deployment asked for, after its elders took theirs."""

    granted: tuple[str, ...]
    """Names that lead to it, ``namespace/name`` last."""

    taken: Mapping[str, str] = field(default_factory=dict)
    """Name → ``namespace/name`` of the older deployment that keeps it."""


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything that the plan for one ModelDeployment reads."""

    deployment: ModelDeployment
    names: Names
    app: AppState | None
    """None = the Ray cluster could not be read."""

    app_error: str = ""
    """Why ``app`` is None, for the condition."""

    rolling: bool = False
    """Whether the Ray cluster was just given something: ``app`` is from before that."""

    apply_error: str = ""
    """Why what is wanted could not be handed to the Ray cluster this time; empty = it has it."""

    refusal: Reject | None = None
    """Why there can be no local replica: the administrator's configuration, or the engine, refuses what is asked."""

    endpoints: Mapping[str, CloudEndpoint] = field(default_factory=dict)
    """The CloudEndpoints that exist, by name."""

    credentials: Mapping[str, bool | None] = field(default_factory=dict)
    """Endpoint name → whether its Secret gave a usable key; None or missing = not read yet."""

    namespace_labels: Mapping[str, str] | None = None
    """Labels of the deployment's own namespace; None = not known."""
