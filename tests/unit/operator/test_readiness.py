"""The truth table of a ModelDeployment's conditions."""

import pytest
from support.builders import a_cloud_endpoint, a_model_deployment, from_server
from tandem_operator import conditions, readiness
from tandem_operator.api.v1alpha1 import CloudEndpoint, ModelDeployment
from tandem_operator.conditions import Finding
from tandem_operator.errors import Reject
from tandem_operator.observed import AppState, AppStatus, Names, Observed
from tandem_operator.readiness import Findings

ROUTES = Finding("True", conditions.PROGRAMMED)
RUNNING = AppState(AppStatus.RUNNING, target=1, running=1)
STARTING = AppState(AppStatus.DEPLOYING, target=1, starting=1)
FAILED = AppState(AppStatus.DEPLOY_FAILED, "no such file: /models/x", target=1)
ABSENT = AppState(AppStatus.ABSENT)
TARGET = {"replica": "r", "address": "10.0.0.1", "port": 30000}


def observed(app=RUNNING, *, spec=None, clouds=("eu",), when=("Failover", "Bridge"), status=None, **rest):
    cloud = {"endpoints": [{"name": name, "model": "gpt-5-mini"} for name in clouds], "when": list(when)}
    raw = from_server(a_model_deployment("chat", spec={"cloud": cloud, **(spec or {})}, status=status))
    defaults = {
        "names": Names(("chat", "default/chat")),
        "endpoints": {"eu": CloudEndpoint.model_validate(from_server(a_cloud_endpoint("eu")))},
        "credentials": {"eu": True},
        "namespace_labels": {},
    }
    return Observed(deployment=ModelDeployment.model_validate(raw), app=app, **(defaults | rest))


def found(world, routes=ROUTES):
    return Findings(readiness.local_available(world), readiness.cloud_reachable(world), routes)


def ready(world, routes=ROUTES):
    finding = readiness.ready(world, found(world, routes))
    return finding.status, finding.reason


@pytest.mark.parametrize(
    ("world", "expected"),
    [
        pytest.param(observed(), ("True", "LocalAnswers"), id="a local replica is ready"),
        pytest.param(observed(clouds=()), ("True", "LocalAnswers"), id="local alone is enough"),
        pytest.param(observed(STARTING), ("True", "Bridged"), id="the cloud answers until local is up"),
        pytest.param(observed(ABSENT), ("True", "Bridged"), id="the cloud answers before Ray knows the app"),
        pytest.param(observed(FAILED), ("True", "Bridged"), id="the cloud answers although local will not come"),
        pytest.param(observed(STARTING, clouds=()), ("False", "Starting"), id="nobody answers yet"),
        pytest.param(observed(STARTING, when=["Overflow"]), ("False", "Starting"), id="bridging is not allowed"),
        pytest.param(observed(STARTING, credentials={"eu": False}), ("False", "Starting"), id="the cloud has no key"),
        pytest.param(observed(FAILED, clouds=()), ("False", "DeployFailed"), id="nobody will answer"),
        pytest.param(observed(None, app_error="refused"), ("True", "Bridged"), id="Ray is silent, nothing known"),
        pytest.param(observed(None, clouds=()), ("False", "RayUnreachable"), id="Ray is silent, no cloud either"),
        pytest.param(
            observed(None, clouds=(), status={"local": {"targets": [TARGET]}}),
            ("True", "LastKnownReplicas"),
            id="Ray is silent, replicas were known",
        ),
        pytest.param(
            observed(names=Names(("default/chat",), {"chat": "other/elder"})),
            ("False", "NameConflict"),
            id="an elder has the name",
        ),
        pytest.param(
            observed(None, refusal=Reject(conditions.UNKNOWN_RAY_CLUSTER, "no such cluster")),
            ("False", "UnknownRayCluster"),
            id="the Ray cluster does not exist, bridge or not",
        ),
        pytest.param(
            observed(refusal=Reject(conditions.ENGINE_REFUSED, "cpu")), ("False", "EngineRefused"), id="refused by Ray"
        ),
    ],
)
def test_ready(world, expected):
    assert ready(world) == expected


@pytest.mark.parametrize("reason", [conditions.NO_GATEWAY, conditions.PENDING, conditions.REJECTED])
def test_nothing_is_ready_that_no_gateway_leads_to(reason):
    assert ready(observed(), Finding("False", reason, "why")) == ("False", reason)


@pytest.mark.parametrize(
    ("app", "expected", "told"),
    [
        (AppState(AppStatus.RUNNING, target=2, running=2), ("True", "ReplicasReady"), "2 of 2"),
        (AppState(AppStatus.RUNNING, target=2, running=1, starting=1), ("True", "SomeReplicasReady"), "1 of 2"),
        (AppState(AppStatus.DEPLOYING, target=2, running=2), ("True", "SomeReplicasReady"), "2 of 2"),
        (AppState(AppStatus.DEPLOYING, target=2, starting=2), ("False", "Starting"), "2 starting"),
        (AppState(AppStatus.DEPLOYING, "out of memory", target=2, starting=2), ("False", "Starting"), "out of memory"),
        (AppState(AppStatus.DEPLOY_FAILED, "no such file"), ("False", "DeployFailed"), "no such file"),
        (AppState(AppStatus.UNHEALTHY, "died", target=2), ("False", "Unhealthy"), "died"),
        (AppState(AppStatus.ABSENT), ("False", "NotDeployed"), "not run"),
        (AppState(AppStatus.DELETING), ("False", "NotDeployed"), "not run"),
        (AppState(AppStatus.NOT_STARTED), ("False", "NotDeployed"), "not run"),
    ],
)
def test_local_available_says_what_ray_says(app, expected, told):
    finding = readiness.local_available(observed(app, spec={"local": {"replicas": {"min": 2, "max": 2}}}))
    assert (finding.status, finding.reason) == expected
    assert told in finding.message


def test_what_ray_says_twice_is_told_once():
    app = AppState(AppStatus.DEPLOY_FAILED, "no such file", failures=("no such file",))
    assert readiness.local_available(observed(app)).message.count("no such file") == 1


def test_a_silent_ray_is_unknown_not_false():
    finding = readiness.local_available(observed(None, app_error="Ray cluster lab cannot be reached"))
    assert (finding.status, finding.reason) == ("Unknown", "RayUnreachable")
    assert "lab" in finding.message


def test_a_ray_that_takes_no_writes_is_told_while_replicas_answer():
    world = observed(apply_error="Ray hides values of an application's environment")
    finding = readiness.local_available(world)
    assert (finding.status, finding.reason) == ("True", "RayNotWritable")
    assert not readiness.rolled_out(world, found(world))


@pytest.mark.parametrize(
    ("world", "expected"),
    [
        pytest.param(observed(), ("True", "EndpointAvailable"), id="one could take a request"),
        pytest.param(observed(clouds=()), ("False", "NoCloud"), id="none is named"),
        pytest.param(observed(when=()), ("False", "NoCloud"), id="no reason to leave is allowed"),
        pytest.param(observed(endpoints={}), ("False", "EndpointNotFound"), id="it does not exist"),
        pytest.param(observed(credentials={"eu": False}), ("False", "CredentialsMissing"), id="it has no key"),
        pytest.param(
            observed(spec={"policy": {"dataClass": "Restricted"}}), ("False", "DataClassTooHigh"), id="too sensitive"
        ),
        pytest.param(
            observed(spec={"policy": {"regions": ["fr-par"]}}), ("False", "RegionNotAllowed"), id="in the wrong place"
        ),
        pytest.param(observed(clouds=("us", "eu")), ("True", "EndpointAvailable"), id="the second one could"),
    ],
)
def test_cloud_reachable(world, expected):
    finding = readiness.cloud_reachable(world)
    assert (finding.status, finding.reason) == expected


def test_a_cloud_that_was_not_looked_at_yet_is_not_called_unreachable():
    assert readiness.cloud_reachable(observed(credentials={})) is None
    assert readiness.cloud_reachable(observed(namespace_labels=None)) is None


def test_a_usable_cloud_is_reported_with_what_keeps_the_others():
    finding = readiness.cloud_reachable(observed(clouds=("us", "eu")))
    assert "eu" in finding.message
    assert "CloudEndpoint us does not exist" in finding.message


@pytest.mark.parametrize(
    ("world", "routes", "reason"),
    [
        pytest.param(observed(), ROUTES, None, id="all is well"),
        pytest.param(observed(STARTING), ROUTES, None, id="starting is not stalled"),
        pytest.param(observed(None), ROUTES, None, id="silence is not stalled"),
        pytest.param(observed(FAILED), ROUTES, "DeployFailed", id="Ray gave up, bridged or not"),
        pytest.param(observed(), Finding("False", conditions.REJECTED, "bad"), "Rejected", id="a gateway refused"),
        pytest.param(observed(), Finding("False", conditions.NO_GATEWAY), None, id="no gateway will come"),
        pytest.param(observed(names=Names((), {"a": "b/c"})), ROUTES, "NameConflict", id="a name is taken"),
    ],
)
def test_stalled(world, routes, reason):
    finding = readiness.stalled(world, found(world, routes))
    assert (finding and finding.reason) == reason


@pytest.mark.parametrize(
    ("app", "done"),
    [
        (RUNNING, True),
        (AppState(AppStatus.RUNNING, target=1, running=1, starting=1), False),
        (AppState(AppStatus.RUNNING, target=None, running=1), False),
        (AppState(AppStatus.DEPLOYING, target=1, running=1), False),
        (STARTING, False),
        (ABSENT, False),
        (None, False),
    ],
)
def test_a_roll_out_is_over_when_everything_runs_and_nothing_starts(app, done):
    world = observed(app)
    assert readiness.rolled_out(world, found(world)) is done


def test_what_was_seen_before_a_write_does_not_end_a_roll_out():
    world = observed(rolling=True)
    assert not readiness.rolled_out(world, found(world))
