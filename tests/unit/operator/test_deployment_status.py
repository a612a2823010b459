"""The status as a whole: quiet when nothing turned, honest about what is last known."""

from datetime import UTC, datetime, timedelta

from support.builders import a_model_deployment, from_server
from tandem_operator import conditions, deployment_status
from tandem_operator.api.v1alpha1 import LocalStatus, ModelDeployment, Target
from tandem_operator.conditions import Finding
from tandem_operator.observed import AppState, AppStatus, Names, Observed
from tandem_operator.readiness import Findings, cloud_reachable, local_available

NOW = datetime(2026, 5, 1, 12, 0, 0, 123456, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
R1, R2 = (Target(replica=f"r{n}", address="10.0.0.1", port=30000 + n) for n in (1, 2))
RUNNING = AppState(AppStatus.RUNNING, target=1, running=1, targets=(R1,))
DEPLOYING = AppState(AppStatus.DEPLOYING, target=1, starting=1)
ROUTES = Finding("True", conditions.PROGRAMMED)


def observed(app=RUNNING, *, status=None, generation=1, **rest):
    raw = from_server(a_model_deployment("chat", status=status), generation=generation)
    names = Names(("chat", "default/chat"))
    return Observed(deployment=ModelDeployment.model_validate(raw), names=names, app=app, namespace_labels={}, **rest)


def status_of(world, *, routes=ROUTES, now=NOW):
    findings = Findings(local_available(world), cloud_reachable(world), routes)
    return deployment_status.make_status(world, findings, url="http://gw/v1", now=now)


def dumped(status):
    return status.model_dump(mode="json", by_alias=True)


def by_type(status):
    return {condition.type: condition for condition in status.conditions}


def test_looking_again_at_a_quiet_object_changes_nothing():
    first = dumped(status_of(observed()))
    again = dumped(status_of(observed(status=first), now=LATER))
    assert again == first


def test_a_transition_moves_its_own_time_and_no_other():
    first = status_of(observed())
    after = by_type(status_of(observed(DEPLOYING, status=dumped(first)), now=LATER))
    assert after["LocalAvailable"].last_transition_time == LATER.replace(microsecond=0)
    assert after["RoutesProgrammed"].last_transition_time == NOW.replace(microsecond=0)


def test_every_condition_names_the_generation_that_it_is_about():
    status = status_of(observed(generation=7))
    assert status.observed_generation == 7
    assert {condition.observed_generation for condition in status.conditions} == {7}


def test_reconciling_is_there_from_a_new_spec_until_it_is_in_effect():
    rolling = status_of(observed(DEPLOYING))
    assert by_type(rolling)["Reconciling"].status == "True"
    done = status_of(observed(status=dumped(rolling)))
    assert "Reconciling" not in by_type(done)


def test_a_replica_that_restarts_is_not_a_roll_out():
    done = status_of(observed())
    crashed = status_of(observed(DEPLOYING, status=dumped(done)))
    assert "Reconciling" not in by_type(crashed)


def test_a_roll_out_that_was_interrupted_by_a_restart_of_the_operator_goes_on():
    rolling = dumped(status_of(observed(DEPLOYING)))
    assert "Reconciling" in by_type(status_of(observed(DEPLOYING, status=rolling)))


def test_a_spec_that_cannot_be_rolled_out_is_stalled_and_not_reconciling():
    failed = by_type(status_of(observed(AppState(AppStatus.DEPLOY_FAILED, "no such file"))))
    assert failed["Stalled"].status == "True"
    assert "Reconciling" not in failed
    assert "Stalled" not in by_type(status_of(observed(status=dumped(status_of(observed(DEPLOYING))))))


def test_the_last_known_targets_stay_while_ray_cannot_be_believed():
    known = dumped(status_of(observed()))
    for app in (None, AppState(AppStatus.ABSENT, targets=()), AppState(AppStatus.DEPLOYING, targets=None)):
        assert status_of(observed(app, status=known)).local.targets == (R1,), app


def test_known_targets_replace_the_last_ones_in_a_stable_order():
    known = dumped(status_of(observed()))
    app = AppState(AppStatus.RUNNING, target=2, running=2, targets=(R2, R1))
    assert status_of(observed(app, status=known)).local.targets == (R1, R2)
    asleep = AppState(AppStatus.RUNNING, target=0, targets=())
    assert status_of(observed(asleep, status=known)).local.targets == ()


def test_counts_stay_while_ray_says_nothing_about_replicas():
    before = LocalStatus(ready=2, starting=1)
    silent = AppState(AppStatus.DEPLOYING, target=None)
    kept = deployment_status.with_last_known_counts(silent, before)
    assert (kept.running, kept.starting) == (2, 1)
    told = AppState(AppStatus.DEPLOYING, target=2, running=1)
    assert deployment_status.with_last_known_counts(told, before) == told
    absent = AppState(AppStatus.ABSENT)
    assert deployment_status.with_last_known_counts(absent, before) == absent


def test_a_cloud_that_is_not_known_yet_keeps_its_condition():
    spec = {"cloud": {"endpoints": [{"name": "eu", "model": "m"}]}}
    raw = from_server(a_model_deployment("chat", spec=spec, status=dumped(status_of(observed()))))
    world = Observed(deployment=ModelDeployment.model_validate(raw), names=Names(("chat",)), app=RUNNING)
    findings = Findings(local_available(world), None, ROUTES)
    status = deployment_status.make_status(world, findings, url="", now=LATER)
    assert by_type(status)["CloudReachable"].reason == "NoCloud"


def test_long_messages_are_cut():
    status = status_of(observed(AppState(AppStatus.DEPLOY_FAILED, "x" * 9999)))
    assert len(by_type(status)["LocalAvailable"].message) == deployment_status.MAX_MESSAGE
