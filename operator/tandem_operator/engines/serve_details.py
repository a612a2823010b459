"""What Ray Serve's ``GET /api/serve/applications/`` says, and what it means for one application. Pure.

Only the fields that decide anything are read; Ray adds others with every release. Measured, and relied on here:

- A target counts only when it is named after a replica of this application. With no replica ready, and for some
  seconds after every change of arguments, the only "target" is Ray's own proxy.
- In those seconds the application has no deployments at all while its old replicas still answer. So nothing found
  means unknown, and unknown means that the last known replicas stay.
- The application's own message never says why a replica did not start; its deployment's message does.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, Final

from pydantic import BaseModel, ConfigDict

from tandem_operator import names
from tandem_operator.api.v1alpha1 import Target
from tandem_operator.observed import AppState, AppStatus

DEPLOYMENT: Final = "replica"
"""Name of the Serve deployment inside each of our applications."""

MAX_MESSAGE_CHARACTERS: Final = 800

_SERVING: Final = frozenset({"RUNNING", "PENDING_MIGRATION"})
_STARTING: Final = frozenset({"STARTING", "UPDATING", "RECOVERING"})
_WAITS_FOR_RESOURCES: Final = "to be scheduled"
_START_FAILURE: Final = "failed to start"
_COLOURS: Final = re.compile(r"\x1b\[[0-9;]*m")
_FRAME: Final = re.compile(r"\s+File \"")


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class ReplicaDetails(_Answer):
    replica_id: str = ""
    state: str = ""


class DeploymentDetails(_Answer):
    status: str = ""
    message: str = ""
    target_num_replicas: int | None = None
    replicas: tuple[ReplicaDetails, ...] = ()

    def count(self, states: Iterable[str]) -> int:
        wanted = frozenset(states)
        return sum(replica.state in wanted for replica in self.replicas)


class AppDetails(_Answer):
    status: AppStatus
    message: str = ""
    source: str = ""
    deployed_app_config: dict[str, Any] | None = None
    """What was last PUT; None for one that code deployed, and for one that is being deleted."""

    deployments: dict[str, DeploymentDetails] = {}

    @property
    def replica(self) -> DeploymentDetails | None:
        """Our one deployment; None while Ray builds the application."""
        return self.deployments.get(DEPLOYMENT)


class TargetDetails(_Answer):
    ip: str
    port: int
    name: str = ""


class TargetGroup(_Answer):
    protocol: str = ""
    app_name: str = ""
    targets: tuple[TargetDetails, ...] = ()


class ControllerInfo(_Answer):
    actor_id: str = ""


class ServeDetails(_Answer):
    """One whole answer."""

    applications: dict[str, AppDetails]
    """Required: an answer without it is not one of Ray Serve."""

    controller_info: ControllerInfo = ControllerInfo()
    http_options: dict[str, Any] | None = None
    grpc_options: dict[str, Any] | None = None
    target_capacity: float | None = None
    target_groups: tuple[TargetGroup, ...] = ()

    @cached_property
    def targets_of(self) -> Mapping[str, tuple[TargetDetails, ...]]:
        """Where requests for each application may go, Ray's own proxy among them."""
        found: defaultdict[str, tuple[TargetDetails, ...]] = defaultdict(tuple)
        for group in self.target_groups:
            if group.protocol == "HTTP":
                found[group.app_name] += group.targets
        return found

    @property
    def started(self) -> bool:
        """Whether Serve runs, as far as this answer says: Ray says the same when it only lost sight of it."""
        return bool(self.controller_info.actor_id)


def app_state(details: ServeDetails, app: str) -> AppState:
    """Return what an answer says about one of our applications."""
    found = details.applications.get(app)
    if found is None:
        return AppState(status=AppStatus.ABSENT)
    replica = found.replica
    message = _message(found)
    return AppState(
        status=found.status,
        message=message,
        target=replica.target_num_replicas if replica else None,
        running=replica.count(_SERVING) if replica else 0,
        starting=replica.count(_STARTING) if replica else 0,
        targets=_targets(details, app, replica),
        failures=(message,) if replica and _START_FAILURE in replica.message else (),
    )


def waits_for_resources(found: AppDetails) -> bool:
    """Tell whether Ray has found no room for a new replica for a while (30 s in Ray 2.60)."""
    return found.replica is not None and _WAITS_FOR_RESOURCES in found.replica.message


def lacks_direct_ingress(details: ServeDetails, app: str) -> bool:
    """Tell whether replicas run without an HTTP port of their own: the Ray cluster was not set up for it."""
    found = details.applications.get(app)
    if found is None or found.replica is None or found.status is not AppStatus.RUNNING:
        return False
    return found.replica.count({"RUNNING"}) > 0 and not _replica_targets(details, app)


def orphans(details: ServeDetails, known_apps: Iterable[str], cluster_uid: str) -> tuple[str, ...]:
    """Return this Kubernetes cluster's applications that no deployment wants any more.

    ``known_apps`` must come from a complete list of deployments: whatever is missing in it is removed.
    """
    known = frozenset(known_apps)
    return tuple(sorted(app for app in details.applications if _ours(app, cluster_uid) and app not in known))


def foreign(details: ServeDetails, cluster_uid: str) -> tuple[str, ...]:
    """Return the applications that are not this Kubernetes cluster's: somebody else writes the same document."""
    return tuple(sorted(app for app in details.applications if not _ours(app, cluster_uid)))


def _ours(app: str, cluster_uid: str) -> bool:
    return app.startswith(names.serve_apps(cluster_uid))


def ray_message(text: str) -> str:
    """Return the part of Ray's message that a person can act on: the exception, without colours and frames."""
    lines = _COLOURS.sub("", text).strip().splitlines()
    frames = [number for number, line in enumerate(lines) if _FRAME.match(line)]
    if frames:
        lines = lines[frames[-1] + 1 :]
        while lines and lines[0].startswith("    "):  # the frame's source line and its underlining
            lines = lines[1:]
    return _bounded("\n".join(line.rstrip() for line in lines if line.strip()))


def _message(found: AppDetails) -> str:
    """Prefer the deployment's words: the application's only name the deployment that failed."""
    return ray_message((found.replica.message if found.replica else "") or found.message)


def _bounded(text: str) -> str:
    """Keep the beginning, which names the error, and the end, which often names the cause."""
    if len(text) <= MAX_MESSAGE_CHARACTERS:
        return text
    half = MAX_MESSAGE_CHARACTERS // 2 - 2
    return f"{text[:half]} … {text[-half:]}"


def _targets(details: ServeDetails, app: str, replica: DeploymentDetails | None) -> tuple[Target, ...] | None:
    if listening := _replica_targets(details, app):
        return listening
    if replica is not None and replica.target_num_replicas == 0 and replica.count(_SERVING) == 0:
        return ()
    return None


def _replica_targets(details: ServeDetails, app: str) -> tuple[Target, ...]:
    named = f"SERVE_REPLICA::{app}#"
    found: Mapping[str, Target] = {
        target.name: Target(replica=target.name, address=target.ip, port=target.port)
        for target in details.targets_of.get(app, ())
        if target.name.startswith(named)
    }
    return tuple(found[name] for name in sorted(found))
