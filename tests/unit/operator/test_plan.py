"""The plan for one ModelDeployment."""

import pytest
from support.builders import a_cloud_endpoint, a_model_deployment, from_server
from tandem_contract.data_class import DataClass
from tandem_operator import conditions
from tandem_operator.api.v1alpha1 import CloudEndpoint, ModelDeployment, ModelDeploymentStatus, ObjectMeta, Target
from tandem_operator.errors import Reject
from tandem_operator.observed import AppState, AppStatus, Names, Observed
from tandem_operator.plan import keep_home, make_plan, redirect_token

KNOWN = {"replica": "r1", "address": "10.0.0.1", "port": 30001}


def a_plan(*, app=None, clouds=("eu", "us"), existing=("eu",), when=None, refusal=None, local=None, **seen):
    cloud = {"endpoints": [{"name": name, "model": "gpt-5-mini"} for name in clouds]}
    if when is not None:
        cloud["when"] = when
    status = {"local": {"targets": [KNOWN]}, **seen.pop("status", {})}
    raw = from_server(
        a_model_deployment("chat", spec={"cloud": cloud, **({"local": local} if local else {})}, status=status)
    )
    seen = {"credentials": dict.fromkeys(existing, True), "namespace_labels": {}, **seen}
    observed = Observed(
        deployment=ModelDeployment.model_validate(raw),
        names=Names(("chat", "default/chat")),
        app=app,
        endpoints={name: CloudEndpoint.model_validate(from_server(a_cloud_endpoint(name))) for name in existing},
        refusal=refusal,
        **seen,
    )
    return make_plan(observed, app="tandem_x_default_chat", import_path="m:build", redirect_key=b"key")


def test_routes_policy_and_replica_agree_on_names_prefix_and_token():
    plan = a_plan()
    live = plan.app["deployments"][0]["user_config"]
    assert plan.routed.names == plan.policy.names == tuple(live["names"]) == ("chat", "default/chat")
    assert plan.routed.prefix == plan.policy.prefix == plan.app["route_prefix"] == "/tandem_x_default_chat"
    assert plan.policy.token == live["token"]


def test_only_endpoints_that_exist_are_routed_to_in_the_order_of_the_spec():
    assert a_plan().routed.clouds == ("eu",)
    assert a_plan(existing=("us", "eu")).routed.clouds == ("eu", "us")
    assert [choice.endpoint for choice in a_plan().policy.clouds] == ["eu"]


@pytest.mark.parametrize(
    ("when", "existing", "overflows", "fails_over", "cloud"),
    [
        (None, ("eu",), True, True, True),
        (["Overflow"], ("eu",), True, False, True),
        (["Failover"], ("eu",), False, True, True),
        (["Bridge"], ("eu",), False, True, True),
        ([], ("eu",), False, False, False),
        (None, (), False, False, False),
    ],
)
def test_what_may_leave(when, existing, overflows, fails_over, cloud):
    plan = a_plan(when=when, existing=existing)
    live = plan.app["deployments"][0]["user_config"]
    assert (plan.routed.overflows, plan.routed.fails_over) == (overflows, fails_over)
    assert (live["overflow"], live["cloud"]) == (overflows, cloud)


def reachable(status):
    condition = {"type": "CloudReachable", "status": status, "reason": "R", "message": "", "observedGeneration": 1}
    return {"conditions": [{**condition, "lastTransitionTime": "2026-01-01T00:00:00Z"}]}


@pytest.mark.parametrize(
    ("seen", "clouds"),
    [
        pytest.param({"credentials": {"eu": True}}, ("eu",), id="it has a key"),
        pytest.param({"credentials": {"eu": False}}, (), id="it has none"),
        pytest.param({"credentials": {"eu": False}, "status": reachable("True")}, (), id="it lost it"),
        pytest.param({"credentials": {}}, (), id="nobody has looked yet"),
        pytest.param({"credentials": {}, "status": reachable("False")}, (), id="it had none, says the last leader"),
        pytest.param({"credentials": {}, "status": reachable("True")}, ("eu",), id="it had one, says the last leader"),
        pytest.param({"namespace_labels": None, "status": reachable("True")}, ("eu",), id="labels are not known yet"),
        pytest.param({"namespace_labels": None}, (), id="labels were never known"),
    ],
)
def test_where_no_request_may_go_nothing_is_routed_and_the_replica_knows(seen, clouds):
    plan = a_plan(**seen)
    live = plan.app["deployments"][0]["user_config"]
    assert plan.routed.clouds == clouds
    assert {plan.routed.overflows, plan.routed.fails_over, live["overflow"], live["cloud"]} == {bool(clouds)}


def test_the_last_known_is_overruled_by_what_can_never_work():
    plan = a_plan(credentials={}, status=reachable("True"), clouds=("us",))
    assert plan.routed.clouds == ()


def test_a_silent_ray_leaves_the_last_known_replicas_in_the_routes():
    assert a_plan(app=None).routed.targets == (Target(**KNOWN),)
    moved = Target(replica="r2", address="10.0.0.2", port=30002)
    assert a_plan(app=AppState(AppStatus.RUNNING, target=1, targets=(moved,))).routed.targets == (moved,)


def test_without_a_ray_cluster_there_is_no_app_but_there_are_routes():
    plan = a_plan(refusal=Reject(conditions.UNKNOWN_RAY_CLUSTER, "none"))
    assert plan.app is None
    assert plan.routed.clouds == ("eu",)


@pytest.mark.parametrize(("replicas", "wanted"), [({}, 1), ({"min": 1, "max": 5}, 1), ({"min": 3, "max": 5}, 3)])
def test_as_many_replicas_are_wanted_as_the_spec_says(replicas, wanted):
    assert a_plan(local={"replicas": replicas}).replicas == wanted


def test_tokens_differ_by_deployment_and_by_operator_and_are_not_printed():
    assert redirect_token(b"key", "uid-1") == redirect_token(b"key", "uid-1")
    assert len({redirect_token(key, uid) for key in (b"a", b"b") for uid in ("1", "2")}) == 4
    plan = a_plan()
    assert plan.policy.token not in repr(plan)


def test_a_spec_that_is_not_understood_keeps_its_last_known_replicas_and_sends_nothing_away():
    raw = from_server(a_model_deployment("chat"))
    status = ModelDeploymentStatus.model_validate({"names": ["chat", "default/chat"], "local": {"targets": [KNOWN]}})
    meta = ObjectMeta.model_validate(raw["metadata"])
    routed, policy = keep_home(meta, status, app="tandem_x_default_chat", redirect_key=b"key")
    assert (routed.names, routed.prefix) == (("chat", "default/chat"), "/tandem_x_default_chat")
    assert routed.targets == (Target.model_validate(KNOWN),)
    assert (routed.clouds, routed.fails_over, routed.overflows) == ((), False, False)
    assert (policy.clouds, policy.when, policy.data_class) == ((), (), DataClass.RESTRICTED)
    assert policy.token == redirect_token(b"key", meta.uid)  # a replica may still send a request back
