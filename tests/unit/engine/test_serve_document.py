"""What is written into Ray Serve's document, and when."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.builders import a_model_deployment
from tandem_contract.documents import EngineConfig, LiveConfig
from tandem_contract.engine_args import problems
from tandem_operator.api.v1alpha1 import ModelDeployment
from tandem_operator.engines.serve_details import ServeDetails
from tandem_operator.engines.serve_document import (
    Action,
    App,
    app_document,
    attempt,
    carried,
    is_deployed,
    merged,
    next_step,
    refused_app,
    surges,
    surprises,
    unwritable,
    without,
)

NAME = "tandem_01234567_default_hello"
HTTP = {"http_host": "10.0.0.1", "http_port": 8000}


def an_app(*, model_names: tuple[str, ...] = ("hello",), **spec: Any) -> App:
    deployment = ModelDeployment.model_validate(a_model_deployment(spec=spec))
    return app_document(
        deployment,
        app=NAME,
        import_path="module:build",
        model_names=model_names,
        token="t0k3n",
        overflow=True,
        cloud=True,
    )


def an_answer(*apps: App, target: int | None = 1, status: str = "RUNNING", **rest: Any) -> ServeDetails:
    """Return what Ray says once it runs ``apps``."""
    replicas = [{"replica_id": "r", "state": "RUNNING"}]
    deployment = {"status": "HEALTHY", "target_num_replicas": target, "replicas": replicas}
    return ServeDetails.model_validate(
        {
            "controller_info": {"actor_id": "a"},
            "applications": {
                app["name"]: {
                    "status": status,
                    "source": "declarative",
                    "deployed_app_config": app,
                    "deployments": {} if target is None else {"replica": deployment},
                }
                for app in apps
            },
        }
        | rest
    )


def deployed(app: App, replicas: int = 1) -> App:
    """Return ``app`` as it is written the first time."""
    step = next_step(None, app, replicas, retry=False, cramped=False)
    assert step.app is not None
    return step.app


def step_of(answer: ServeDetails, app: App, replicas: int = 1, *, retry: bool = False, cramped: bool = False) -> Action:
    return next_step(answer.applications.get(NAME), app, replicas, retry=retry, cramped=cramped).action


def test_the_application_carries_the_contracts_documents() -> None:
    app = an_app(
        model={"source": "hf://org/name", "revision": "a" * 40, "maxModelLen": 512, "quantization": "awq"},
        local={"engineArgs": {"max-num-seqs": "64"}},
        slo={"timeToFirstTokenMilliseconds": 700},
    )
    engine, live = EngineConfig(**app["args"]), LiveConfig(**app["deployments"][0]["user_config"])
    assert (engine.deployment, engine.prefix, engine.source) == ("default/hello", f"/{NAME}", "hf://org/name")
    assert (engine.revision, engine.max_model_len, engine.quantization) == ("a" * 40, 512, "awq")
    assert engine.engine_args == {"max-num-seqs": "64"}
    assert (live.names, live.token, live.time_to_first_token_milliseconds) == (("hello",), "t0k3n", 700)
    assert (live.overflow, live.cloud) == (True, True)
    assert (app["name"], app["route_prefix"], app["import_path"]) == (NAME, f"/{NAME}", "module:build")
    assert app["external_scaler_enabled"] is True
    assert "autoscaling_config" not in app["deployments"][0]


@pytest.mark.parametrize(
    ("resources", "options"),
    [
        ({"cpu": "4", "memory": "16Gi", "gpus": "1"}, {"num_cpus": 4, "num_gpus": 1, "memory": 16 * 2**30}),
        ({"cpu": "500m", "memory": "512Mi", "gpus": "0"}, {"num_cpus": 0.5, "num_gpus": 0, "memory": 2**29}),
        ({"cpu": "0.25", "memory": "1Ti", "gpus": "0.5"}, {"num_cpus": 0.25, "num_gpus": 0.5, "memory": 2**40}),
    ],
)
def test_resources_become_what_ray_reserves(resources: dict[str, str], options: dict[str, float]) -> None:
    assert an_app(local={"resources": resources})["deployments"][0]["ray_actor_options"] == options


@pytest.mark.parametrize(
    ("gpus", "utilization"),
    [("0.5", "0.45"), ("0.25", "0.225"), ("0.333", "0.2997"), ("0.99", "0.891"), ("0.001", "0.0009")],
)
def test_replicas_that_share_a_gpu_fit_on_it(gpus: str, utilization: str) -> None:
    flags = an_app(local={"resources": {"gpus": gpus}, "engineArgs": {"seed": "1"}})["args"]["engine_args"]
    assert flags == {"seed": "1", "gpu-memory-utilization": utilization}
    assert problems(flags) == ()
    assert float(utilization) * (1 // float(gpus)) < 1


@pytest.mark.parametrize("gpus", ["0", "1", "2"])
def test_whole_gpus_and_the_cpu_are_used_as_the_spec_says(gpus: str) -> None:
    for flags in ({}, {"gpu-memory-utilization": "0.8"}):
        assert an_app(local={"resources": {"gpus": gpus}, "engineArgs": flags})["args"]["engine_args"] == flags


def test_a_first_write_starts_what_is_wanted_and_surges() -> None:
    app = deployed(an_app(), replicas=3)
    assert (app["deployments"][0]["num_replicas"], app["deployments"][0]["max_surge_percent"]) == (3, 100)
    assert attempt(app) == 0


def test_what_is_deployed_is_left_alone_however_ray_writes_it_down() -> None:
    app = deployed(an_app())
    as_ray_tells = {**dict(reversed(app.items())), "logging_config": {"log_level": "INFO"}}
    assert step_of(an_answer(as_ray_tells), an_app()) is Action.NOTHING


def test_another_number_of_replicas_is_no_new_document() -> None:
    assert step_of(an_answer(deployed(an_app()), target=1), an_app(), replicas=2) is Action.SCALE
    assert step_of(an_answer(deployed(an_app(), replicas=1), target=2), an_app(), replicas=2) is Action.NOTHING


def test_while_ray_builds_nothing_is_scaled() -> None:
    assert step_of(an_answer(deployed(an_app()), target=None), an_app(), replicas=2) is Action.NOTHING


@pytest.mark.parametrize(
    "changed",
    [
        an_app(model_names=("other",)),
        an_app(slo={"timeToFirstTokenMilliseconds": 1}),
        an_app(model={"maxModelLen": 2}),
        an_app(local={"resources": {"cpu": "2"}}),
        {**an_app(), "import_path": "other:build"},
    ],
    ids=["names", "objective", "model", "resources", "code"],
)
def test_every_change_of_the_document_is_written(changed: App) -> None:
    answer = an_answer(deployed(an_app()))
    assert step_of(answer, changed) is Action.PUT
    assert step_of(answer, changed, replicas=0) is Action.SCALE, "one that goes to sleep needs no roll before"


@pytest.mark.parametrize("target", [0, None])
def test_at_zero_a_new_document_waits(target: int | None) -> None:
    answer = an_answer(deployed(an_app()), target=target)
    assert step_of(answer, an_app(model={"maxModelLen": 2}), replicas=0) is Action.WAIT_FOR_WAKE
    assert step_of(answer, an_app(model={"maxModelLen": 2}), replicas=1) is Action.PUT
    assert step_of(ServeDetails(applications={}), an_app(), replicas=0) is Action.WAIT_FOR_WAKE


def test_a_retry_counts_the_attempts_and_changes_nothing_else() -> None:
    once = next_step(an_answer(deployed(an_app())).applications[NAME], an_app(), 1, retry=True, cramped=False).app
    assert once is not None
    twice = next_step(an_answer(once).applications[NAME], an_app(), 1, retry=True, cramped=False).app
    assert twice is not None
    assert [attempt(app) for app in (once, twice)] == [1, 2]
    assert {**twice, "runtime_env": {}} == deployed(an_app())
    assert is_deployed(an_answer(twice).applications[NAME], an_app())


def test_attempts_are_forgotten_with_the_next_spec_but_not_by_a_new_name() -> None:
    failed = carried(an_app(), deployed(an_app()), retry=True)
    assert attempt(carried(an_app(model={"maxModelLen": 2}), failed)) == 0
    assert attempt(carried(an_app(model_names=("other",)), failed)) == 1


def test_a_roll_without_room_stops_surging_until_the_next_one() -> None:
    step = next_step(an_answer(deployed(an_app())).applications[NAME], an_app(), 1, retry=False, cramped=True)
    assert step.action is Action.PUT
    assert not surges(step.app)
    assert step_of(an_answer(step.app or {}), an_app()) is Action.NOTHING, "surge alone is never put back"
    assert surges(carried(an_app(model={"maxModelLen": 2}), step.app))


def test_the_document_keeps_what_is_beside_the_applications() -> None:
    rest = {"http_options": {"host": "127.0.0.1", "port": 9}, "grpc_options": {"port": 9000}, "target_capacity": 50.0}
    document = merged(an_answer(**rest), deployed(an_app()), **HTTP)
    assert document == {**rest, "applications": [deployed(an_app())]}
    assert merged(ServeDetails(applications={}), deployed(an_app()), **HTTP) == {
        "http_options": {"host": "10.0.0.1", "port": 8000},
        "applications": [deployed(an_app())],
    }


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(), each, max_size=3),
    max_leaves=8,
)
FOREIGN = st.dictionaries(st.text(min_size=1), st.dictionaries(st.text(), JSON, max_size=4), max_size=4)


@given(FOREIGN)
def test_whatever_others_wrote_comes_back_as_it_was(foreign: dict[str, dict[str, Any]]) -> None:
    theirs = [{**config, "name": name} for name, config in foreign.items()]
    before = an_answer(*copy.deepcopy(theirs), deployed(an_app()))
    edited = merged(before, deployed(an_app(model={"maxModelLen": 2})), **HTTP)["applications"]
    assert [app for app in edited if app["name"] != NAME] == theirs
    assert [app["args"]["max_model_len"] for app in edited if app["name"] == NAME] == [2]
    assert without(before, frozenset({NAME}), **HTTP)["applications"] == theirs


def test_hidden_values_and_unknown_documents_are_never_written() -> None:
    theirs = {"name": "theirs", "args": {"deep": [{"env_vars": {"S": "<redacted>"}}]}}
    before = an_answer(theirs)
    assert "hides values" in unwritable(before, merged(before, deployed(an_app()), **HTTP), frozenset({NAME}))
    unknown = ServeDetails.model_validate(
        {"applications": {"theirs": {"status": "RUNNING", "source": "declarative", "deployed_app_config": None}}}
    )
    assert "does not say what application theirs" in unwritable(unknown, {"applications": []}, frozenset({NAME}))
    assert unwritable(unknown, {"applications": []}, frozenset({"theirs"})) == ""
    leaving = ServeDetails.model_validate(
        {"applications": {"theirs": {"status": "DELETING", "source": "declarative", "deployed_app_config": None}}}
    )
    assert unwritable(leaving, {"applications": []}, frozenset({NAME})) == ""


def test_other_writers_are_told_by_what_they_leave() -> None:
    theirs, ours = {"name": "theirs", "args": {"v": 1}}, deployed(an_app())
    before, written = an_answer(theirs), {"applications": [theirs, ours]}
    assert surprises(before, written, an_answer(theirs, ours)) == ()
    assert surprises(before, written, an_answer(theirs)) == (
        f"another writer removed application {NAME} at the same moment",
    )
    changed = {**theirs, "args": {"v": 2}}
    assert surprises(before, written, an_answer(changed, ours)) == (
        "another writer changed application theirs at the same moment",
    )
    added = {"name": "added"}
    assert surprises(before, written, an_answer(theirs, ours, added)) == (
        "another writer added application added at the same moment",
    )


def test_a_refusal_names_the_application_by_its_place() -> None:
    document = {"applications": [{"name": "theirs"}, {"name": NAME}]}
    assert refused_app(document, "1 error\napplications.1.deployments.0.x\n  bad") == NAME
    assert refused_app(document, "1 error\napplications\n  two with the same prefix") == ""
