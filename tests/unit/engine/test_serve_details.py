"""What Ray Serve's answers mean. The shapes are those that Ray 2.60 gave."""

from typing import Any

import pytest
from tandem_operator.api.v1alpha1 import Target
from tandem_operator.engines.serve_details import (
    MAX_MESSAGE_CHARACTERS,
    ServeDetails,
    app_state,
    foreign,
    lacks_direct_ingress,
    orphans,
    ray_message,
    waits_for_resources,
)
from tandem_operator.observed import AppState, AppStatus

APP = "tandem_01234567_default_hello"
PROXY = {"ip": "10.0.0.1", "port": 8000, "instance_id": "", "name": "SERVE_PROXY_ACTOR-f56be47af29a"}
STARTING, RUNNING = {"replica_id": "s", "state": "STARTING"}, {"replica_id": "r", "state": "RUNNING"}


def an_answer(
    *targets: dict[str, Any],
    target: int | None = 1,
    replicas: tuple[dict[str, Any], ...] = (RUNNING,),
    status: str = "RUNNING",
    **more: Any,
) -> ServeDetails:
    deployment = {"target_num_replicas": target, "replicas": list(replicas), "message": more.pop("why", "")}
    app = {"status": status, "deployments": {} if target is None else {"replica": deployment}, **more}
    group = {"protocol": "HTTP", "app_name": APP, "route_prefix": f"/{APP}", "targets": list(targets)}
    return ServeDetails.model_validate({"applications": {APP: app}, "target_groups": [group]})


def a_target(replica: str, app: str = APP, port: int = 30000) -> dict[str, Any]:
    return {"ip": "10.0.0.7", "port": port, "name": f"SERVE_REPLICA::{app}#replica#{replica}"}


def test_targets_are_this_applications_replicas_in_one_order() -> None:
    state = app_state(an_answer(a_target("b", port=30001), PROXY, a_target("a"), a_target("c", app=f"{APP}-2")), APP)
    assert state.targets == (
        Target(replica=f"SERVE_REPLICA::{APP}#replica#a", address="10.0.0.7", port=30000),
        Target(replica=f"SERVE_REPLICA::{APP}#replica#b", address="10.0.0.7", port=30001),
    )


@pytest.mark.parametrize(
    ("answer", "targets"),
    [
        pytest.param(an_answer(PROXY), None, id="only the proxy"),
        pytest.param(an_answer(), None, id="an empty group"),
        pytest.param(an_answer(PROXY, target=None), None, id="no deployment while Ray builds"),
        pytest.param(an_answer(PROXY, replicas=(STARTING,)), None, id="none ready yet"),
        pytest.param(an_answer(PROXY, target=0), None, id="told to stop, one still runs"),
        pytest.param(an_answer(PROXY, target=0, replicas=()), (), id="told to stop, and stopped"),
        pytest.param(
            an_answer(PROXY, target=0, replicas=({"state": "STOPPING"},)), (), id="told to stop, the last one drains"
        ),
        pytest.param(ServeDetails(applications={}), None, id="an application that Ray does not know"),
    ],
)
def test_nothing_found_is_unknown_unless_zero_is_certain(
    answer: ServeDetails, targets: tuple[Target, ...] | None
) -> None:
    assert app_state(answer, APP).targets == targets


def test_ready_and_starting_are_counted_apart() -> None:
    more = [{"state": state} for state in ("PENDING_MIGRATION", "UPDATING", "RECOVERING", "STOPPING", "STOPPED")]
    state = app_state(an_answer(target=3, replicas=(RUNNING, STARTING, *more)), APP)
    assert (state.target, state.running, state.starting) == (3, 2, 3)


def test_an_application_that_ray_does_not_know_is_absent() -> None:
    assert app_state(ServeDetails(applications={}), APP) == AppState(status=AppStatus.ABSENT)


START_FAILURE = """A replica failed to start with exception. Retrying 2 more time(s). Error:
\x1b[36mray::ServeReplica:f:replica.initialize_and_get_metadata()\x1b[39m (pid=30375, ip=127.0.0.1)
  File "/lib/concurrent/futures/_base.py", line 449, in result
    return self.__get_result()
           ^^^^^^^^^^^^^^^^^^^
RuntimeError: Traceback (most recent call last):
  File "/app.py", line 12, in __init__
    if args.get("fail"): raise RuntimeError("no config.json")
                         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
RuntimeError: no config.json"""

PYDANTIC = """Traceback (most recent call last):
  File "/app.py", line 12, in __init__
    ModelConfig(**args)
pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig
  Value error, /models/x is not a folder
    For further information visit https://errors.pydantic.dev"""

UNSCHEDULABLE = (
    "Deployment 'replica' in application 'a' has 1 replicas that have taken more than 30s to be scheduled. This may "
    'be due to waiting for the cluster to auto-scale. Resources required for each replica: {"CPU": 100.0}'
)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param(START_FAILURE, "RuntimeError: no config.json", id="a constructor that failed"),
        pytest.param(
            PYDANTIC,
            "pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig\n"
            "  Value error, /models/x is not a folder\n    For further information visit https://errors.pydantic.dev",
            id="an exception of several lines",
        ),
        pytest.param(UNSCHEDULABLE, UNSCHEDULABLE, id="a message without a traceback"),
        pytest.param("", "", id="nothing"),
    ],
)
def test_rays_message_is_cut_down_to_what_helps(text: str, told: str) -> None:
    assert ray_message(text) == told


def test_a_long_message_keeps_its_beginning_and_its_end() -> None:
    told = ray_message("ValueError: " + "x" * 5000 + " the cause")
    assert len(told) <= MAX_MESSAGE_CHARACTERS
    assert told.startswith("ValueError: ")
    assert told.endswith(" the cause")


def test_a_failed_start_is_told_before_ray_gives_up() -> None:
    answer = an_answer(PROXY, replicas=(STARTING,), status="DEPLOYING", why=START_FAILURE)
    state = app_state(answer, APP)
    assert (state.status, state.message) == (AppStatus.DEPLOYING, "RuntimeError: no config.json")
    assert state.failures == ("RuntimeError: no config.json",)


def test_the_deployments_words_win_over_the_applications() -> None:
    answer = an_answer(status="DEPLOY_FAILED", message="Failed to update the deployments ['replica'].", why="why")
    assert app_state(answer, APP).message == "why"
    built = an_answer(target=None, status="DEPLOY_FAILED", message=PYDANTIC)
    assert "not a folder" in app_state(built, APP).message


def test_waiting_for_room_is_no_failure() -> None:
    answer = an_answer(PROXY, replicas=(STARTING,), status="DEPLOYING", why=UNSCHEDULABLE)
    assert waits_for_resources(answer.applications[APP])
    assert app_state(answer, APP).failures == ()
    assert not waits_for_resources(an_answer().applications[APP])


def test_running_replicas_without_ports_mean_that_direct_ingress_is_off() -> None:
    assert lacks_direct_ingress(an_answer(PROXY), APP)
    assert not lacks_direct_ingress(an_answer(a_target("a")), APP)
    assert not lacks_direct_ingress(an_answer(PROXY, status="DEPLOYING"), APP)
    assert not lacks_direct_ingress(an_answer(PROXY, replicas=(STARTING,)), APP)
    assert not lacks_direct_ingress(ServeDetails(applications={}), APP)


def test_orphans_are_this_clusters_and_wanted_by_nobody() -> None:
    uid = "01234567-89ab-cdef"
    apps = [APP, "tandem_01234567_default_lost", "tandem_01234568_default_lost", "tandem_0123456_x", "theirs"]
    answer = ServeDetails.model_validate({"applications": {app: {"status": "RUNNING"} for app in apps}})
    assert orphans(answer, [APP], uid) == ("tandem_01234567_default_lost",)
    assert foreign(answer, uid) == ("tandem_01234568_default_lost", "tandem_0123456_x", "theirs")
