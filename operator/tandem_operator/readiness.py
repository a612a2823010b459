"""Whether requests are answered as the spec promises: ordered checks, the first that speaks wins. Pure.

``Ready`` is decided here and nowhere else. An unreachable cloud is a state, not an error; a Ray cluster that cannot be
read changes nothing that was known before.
"""

from collections.abc import Callable
from dataclasses import dataclass

from tandem_operator import conditions
from tandem_operator.api.v1alpha1 import When
from tandem_operator.cloud_use import cloud_use
from tandem_operator.conditions import Finding
from tandem_operator.observed import AppState, AppStatus, Observed


@dataclass(frozen=True, slots=True)
class Findings:
    """One deployment's conditions before they are written."""

    local: Finding
    cloud: Finding | None
    """None = not known yet: the condition stays as it is."""

    routes: Finding
    """Whether every live gateway has the routes, from the publisher."""


def local_available(observed: Observed) -> Finding:
    """Say whether a local replica is ready, and if not, what Ray says about it."""
    if observed.refusal is not None:
        return Finding("False", observed.refusal.reason, str(observed.refusal))
    if observed.app is None:
        return Finding("Unknown", conditions.RAY_UNREACHABLE, observed.app_error)
    wanted = observed.deployment.spec.local.replicas.min
    if observed.apply_error:
        return Finding("True" if observed.app.running else "False", conditions.RAY_NOT_WRITABLE, observed.apply_error)
    if observed.app.running >= wanted and observed.app.status is AppStatus.RUNNING:
        return Finding("True", conditions.REPLICAS_READY, f"{observed.app.running} of {wanted} replicas are ready")
    if observed.app.running > 0:
        return Finding(
            "True", conditions.SOME_REPLICAS_READY, _with_ray_words(_count(observed.app, wanted), observed.app)
        )
    return _none_ready(observed.app, wanted)


def _none_ready(app: AppState, wanted: int) -> Finding:
    match app.status:
        case AppStatus.DEPLOY_FAILED:
            return Finding("False", conditions.DEPLOY_FAILED, _with_ray_words("Ray gave up", app))
        case AppStatus.UNHEALTHY:
            return Finding("False", conditions.UNHEALTHY, _with_ray_words(_count(app, wanted), app))
        case AppStatus.DEPLOYING | AppStatus.RUNNING:
            return Finding("False", conditions.STARTING, _with_ray_words(_count(app, wanted), app))
        case AppStatus.ABSENT | AppStatus.NOT_STARTED | AppStatus.DELETING:
            return Finding("False", conditions.NOT_DEPLOYED, "the Ray cluster does not run the application yet")


def cloud_reachable(observed: Observed) -> Finding | None:
    """Say whether any request could leave, and if not, what keeps each endpoint from it; None = not known yet."""
    cloud = observed.deployment.spec.cloud
    if not cloud.endpoints or not cloud.when:
        return Finding("False", conditions.NO_CLOUD, "the spec sends no request to a cloud")
    use = cloud_use(observed)
    told = "; ".join(obstacle.message for obstacle in use.obstacles.values())
    if use.usable:
        return Finding("True", conditions.ENDPOINT_AVAILABLE, "; ".join(filter(None, [", ".join(use.usable), told])))
    if use.unknown:
        return None
    first = next(iter(use.obstacles.values()))
    return Finding("False", first.reason, told)


def ready(observed: Observed, findings: Findings) -> Finding:
    """Say whether requests are answered as the spec promises."""
    for check in _CHECKS:
        finding = check(observed, findings)
        if finding is not None:
            return finding
    return Finding("False", findings.local.reason, findings.local.message)


def stalled(observed: Observed, findings: Findings) -> Finding | None:
    """Return why the spec cannot be rolled out without somebody's help; None = nothing stands in its way."""
    for check in (_is_refused, _is_in_conflict, _is_rejected, _gave_up):
        finding = check(observed, findings)
        if finding is not None:
            return Finding("True", finding.reason, finding.message)
    return None


def rolled_out(observed: Observed, findings: Findings) -> bool:
    """Tell whether everything that this generation asks for is in effect."""
    return findings.routes.true and settled(observed)


def settled(observed: Observed) -> bool:
    """Tell whether the Ray cluster has what it should have, and nothing left to do."""
    app = observed.app
    return (
        app is not None
        and not observed.rolling
        and not observed.apply_error
        and app.status is AppStatus.RUNNING
        and app.target is not None
        and app.running >= observed.deployment.spec.local.replicas.min
        and app.starting == 0
    )


def _is_refused(observed: Observed, findings: Findings) -> Finding | None:
    """Never to come up as it is written."""
    return findings.local if observed.refusal is not None else None


def _is_in_conflict(observed: Observed, _: Findings) -> Finding | None:
    """Some clients ask for a name that leads elsewhere."""
    if not observed.names.taken:
        return None
    told = ", ".join(f"{name} (kept by {keeper})" for name, keeper in sorted(observed.names.taken.items()))
    return Finding("False", conditions.NAME_CONFLICT, f"an older ModelDeployment has the name: {told}")


def _is_rejected(_: Observed, findings: Findings) -> Finding | None:
    return findings.routes if findings.routes.reason == conditions.REJECTED else None


def _gave_up(observed: Observed, _: Findings) -> Finding | None:
    if observed.app is None or observed.app.status is not AppStatus.DEPLOY_FAILED:
        return None
    return Finding("False", conditions.DEPLOY_FAILED, _with_ray_words("Ray gave up", observed.app))


def _has_no_routes(_: Observed, findings: Findings) -> Finding | None:
    """Nobody can reach it, however well it runs."""
    return None if findings.routes.true else Finding("False", findings.routes.reason, findings.routes.message)


def _answers_locally(_: Observed, findings: Findings) -> Finding | None:
    return Finding("True", conditions.LOCAL_ANSWERS, findings.local.message) if findings.local.true else None


def _has_last_known(observed: Observed, findings: Findings) -> Finding | None:
    """Ray is silent; the replicas that it last told of answer on, as far as anyone knows."""
    if findings.local.status == "Unknown" and observed.deployment.status.local.targets:
        return Finding("True", conditions.LAST_KNOWN_REPLICAS, findings.local.message)
    return None


def _is_bridged(observed: Observed, findings: Findings) -> Finding | None:
    if When.BRIDGE in observed.deployment.spec.cloud.when and findings.cloud is not None and findings.cloud.true:
        return Finding("True", conditions.BRIDGED, f"a cloud endpoint answers: {findings.local.message}")
    return None


_CHECKS: tuple[Callable[[Observed, Findings], Finding | None], ...] = (
    _is_refused,
    _is_in_conflict,
    _has_no_routes,
    _answers_locally,
    _has_last_known,
    _is_bridged,
)


def _count(app: AppState, wanted: int) -> str:
    return f"{app.running} of {wanted} replicas are ready, {app.starting} starting"


def _with_ray_words(text: str, app: AppState) -> str:
    """Return ``text`` with what Ray says, once."""
    said = dict.fromkeys(filter(None, [*app.failures[-1:], app.message]))
    return ": ".join([text, *said])
