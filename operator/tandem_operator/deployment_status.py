"""The status of a ModelDeployment from what was found. Pure; the one place that builds it.

Nothing that changes by itself is in it: the same findings give the same status, so a quiet object costs no writes.
"""

from dataclasses import replace
from datetime import datetime
from typing import Final

from tandem_operator import conditions, readiness
from tandem_operator.api.v1alpha1 import Condition, LocalStatus, ModelDeployment, ModelDeploymentStatus, Target
from tandem_operator.conditions import Finding
from tandem_operator.observed import AppState, AppStatus, Observed
from tandem_operator.readiness import Findings

MAX_MESSAGE: Final = 1024
"""Characters of a condition's message; Ray's can be whole logs."""


def last_known_targets(observed: Observed) -> tuple[Target, ...]:
    """Return where replicas listen: what Ray says, or what it last said while it cannot be believed.

    A Ray cluster that does not know the application lost its head: replicas answer on without it.
    """
    app = observed.app
    if app is None or app.targets is None or app.status is AppStatus.ABSENT:
        return observed.deployment.status.local.targets
    return tuple(sorted(app.targets, key=lambda target: target.replica))


def with_last_known_counts(app: AppState, before: LocalStatus) -> AppState:
    """Return ``app`` with the replicas that were last counted while Ray does not say how many there are.

    For some seconds after every change of arguments it tells of none at all, although they run and answer.
    """
    if app.target is not None or app.status in (AppStatus.ABSENT, AppStatus.NOT_STARTED, AppStatus.DELETING):
        return app
    return replace(app, running=before.ready, starting=before.starting)


def make_status(observed: Observed, findings: Findings, *, url: str, now: datetime) -> ModelDeploymentStatus:
    """Return the whole status, transition times kept where nothing turned."""
    deployment = observed.deployment
    generation = deployment.metadata.generation
    found: dict[str, Finding | None] = {
        conditions.READY: readiness.ready(observed, findings),
        conditions.LOCAL_AVAILABLE: findings.local,
        conditions.CLOUD_REACHABLE: findings.cloud or _unknown_unless_known(deployment, conditions.CLOUD_REACHABLE),
        conditions.ROUTES_PROGRAMMED: findings.routes,
        conditions.STALLED: (stalled := readiness.stalled(observed, findings)),
        conditions.RECONCILING: None if stalled else _rolling_out(observed, findings),
    }
    return ModelDeploymentStatus(
        observed_generation=generation,
        conditions=_written(deployment.status.conditions, found, generation=generation, now=now),
        url=url,
        names=observed.names.granted,
        local=_local(observed),
    )


def with_ready(
    before: ModelDeploymentStatus, finding: Finding, *, generation: int, now: datetime
) -> ModelDeploymentStatus:
    """Return a status with nothing but ``Ready`` changed: of an object that is being deleted."""
    found = {conditions.READY: finding, conditions.RECONCILING: None}
    after = _written(before.conditions, found, generation=generation, now=now)
    return before.model_copy(update={"observed_generation": generation, "conditions": after})


def invalid(
    before: tuple[Condition, ...], finding: Finding, *, generation: int, now: datetime
) -> tuple[Condition, ...]:
    """Return the conditions of an object whose spec is not understood."""
    found = {
        conditions.READY: finding,
        conditions.STALLED: Finding("True", finding.reason, finding.message),
        conditions.RECONCILING: None,
    }
    return _written(before, found, generation=generation, now=now)


def _written(
    before: tuple[Condition, ...], found: dict[str, Finding | None], *, generation: int, now: datetime
) -> tuple[Condition, ...]:
    after = before
    for type_, finding in found.items():
        if finding is None:
            after = conditions.drop_condition(after, type_)
        else:
            cut = Finding(finding.status, finding.reason, _cut(finding.message))
            after = conditions.set_condition(after, type_, cut, generation=generation, now=now)
    return after


def _rolling_out(observed: Observed, findings: Findings) -> Finding | None:
    """Return ``Reconciling`` while this generation is on its way; once it arrived, only a new one brings it back."""
    status = observed.deployment.status
    is_new = status.observed_generation != observed.deployment.metadata.generation
    was_on_its_way = conditions.find(status.conditions, conditions.RECONCILING) is not None
    if not (is_new or was_on_its_way) or readiness.rolled_out(observed, findings):
        return None
    waits_for = findings.routes if not findings.routes.true else findings.local
    return Finding("True", conditions.ROLLING_OUT, waits_for.message)


def _unknown_unless_known(deployment: ModelDeployment, type_: str) -> Finding:
    before = conditions.find(deployment.status.conditions, type_)
    if before is not None:
        return Finding(before.status, before.reason, before.message)
    return Finding("Unknown", conditions.PENDING, "not looked at yet")


def _local(observed: Observed) -> LocalStatus:
    before = observed.deployment.status.local
    app: AppState | None = observed.app
    return LocalStatus(
        ready=before.ready if app is None else app.running,
        starting=before.starting if app is None else app.starting,
        wanted=observed.deployment.spec.local.replicas.min,
        targets=last_known_targets(observed),
    )


def _cut(message: str) -> str:
    return message if len(message) <= MAX_MESSAGE else f"{message[: MAX_MESSAGE - 1]}…"
