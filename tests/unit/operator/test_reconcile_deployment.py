"""One reconcile after the other against an API server, a Ray cluster and gateways that answer as they are told."""

import asyncio
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import pytest
from pydantic import ValidationError
from support.builders import a_model_deployment, from_server
from tandem_contract.xds import Programmed, State
from tandem_operator.api.v1alpha1 import ModelDeployment
from tandem_operator.cache import Change, Key, Kind
from tandem_operator.config import OperatorConfig
from tandem_operator.directory import Directory
from tandem_operator.engines.serve_document import Action
from tandem_operator.engines.serve_engine import Applied
from tandem_operator.errors import Hold, Retry
from tandem_operator.observed import AppState, AppStatus
from tandem_operator.publish import Publishing
from tandem_operator.reconcile_deployment import DeploymentReconciler, Term
from tandem_operator.recorder import Recorder
from tandem_operator.sightings import Sightings

CHAT = Key(Kind.DEPLOYMENT, "default", "chat")
TARGET = {"replica": "r1", "address": "10.0.0.1", "port": 30001}
RUNNING = AppState(AppStatus.RUNNING, target=1, running=1)


@dataclass
class ApiServer:
    """Holds one object."""

    raw: dict[str, Any]

    async def get(self, *_):
        return deepcopy(self.raw)

    async def apply_status(self, _, raw, status):
        self.raw = {**raw, "status": deepcopy(status)}
        return deepcopy(self.raw)

    async def apply_finalizers(self, _, raw, finalizers):
        self.raw = {**raw, "metadata": {**raw["metadata"], "finalizers": finalizers}}
        return deepcopy(self.raw)

    async def create(self, *_):
        return {}

    def condition(self, type_):
        return next((c["status"], c["reason"]) for c in self.raw["status"]["conditions"] if c["type"] == type_)


@dataclass
class Ray:
    """``state`` and ``outcome`` are what it answers; an exception is raised."""

    state: AppState | Exception = RUNNING
    outcome: Applied | Exception = field(default_factory=lambda: Applied(Action.NOTHING))

    async def observe(self, _):
        return _answer(self.state)

    async def apply(self, *_):
        return _answer(self.outcome)


def _answer(told):
    if isinstance(told, Exception):
        raise told
    return told


class Publisher:
    """All gateways have everything; ``put_last`` is what they got by owner."""

    def __init__(self):
        self.put_last = {}

    def put(self, owner, messages, documents):
        self.put_last[owner] = list(messages), list(documents)
        return True

    def programmed(self, _):
        return Programmed(State.YES)


class House:
    def __init__(self, raw, *others, ray=None, namespaces=("default",)):
        self.api, self.ray, self.publisher, self.sightings = ApiServer(raw), ray or Ray(), Publisher(), Sightings()
        directory = Directory()
        for each in (raw, *others):
            key = Key(Kind.DEPLOYMENT, each["metadata"]["namespace"], each["metadata"]["name"])
            directory.take(Change(key, None, each))
        cluster = {"url": "http://ray:8265", "token_file": "token", "namespaces": namespaces}
        self.reconciler = DeploymentReconciler(
            cluster=self.api,
            directory=directory,
            publishing=Publishing(self.publisher, decided=lambda _: None),
            recorder=Recorder(self.api),
            engines={"lab": self.ray},
            config=OperatorConfig(ray_clusters={"lab": cluster}, poll_seconds=3),
            term=Term("uid-of-kube-system", b"key"),
            sightings=self.sightings,
            usable_endpoints=dict,
        )

    def reconcile(self):
        return asyncio.run(self.reconciler.reconcile(CHAT))

    def policy(self):
        (policy,) = self.publisher.put_last["deployment/default/chat"][1]
        return policy


def chat(name="chat", *, names=("chat",), status=None, **metadata):
    raw = a_model_deployment(name, spec={"model": {"names": list(names)}}, status=status or {"names": ["chat"]})
    return from_server(raw, uid=f"uid-{name}", **metadata)


def known(**more):
    return {"names": ["chat", "default/chat"], "local": {"ready": 1, "targets": [TARGET]}, **more}


@pytest.mark.parametrize(
    "state",
    [
        Hold("no answer"),
        AppState(AppStatus.DEPLOY_FAILED, target=1),
        AppState(AppStatus.DEPLOYING, target=1, starting=1),
        AppState(AppStatus.UNHEALTHY, target=1),
        RUNNING,
    ],
    ids=lambda state: getattr(state, "status", "silent"),
)
def test_a_state_that_lasts_is_not_asked_for_again_and_the_poll_knows_what_was_seen(state):
    house = House(chat(), ray=Ray(state))
    assert house.reconcile() is None
    seen = None if isinstance(state, Hold) else state
    assert not house.sightings.note(CHAT, seen)
    assert house.sightings.note(CHAT, AppState(AppStatus.RUNNING, target=7))


def test_what_was_just_written_is_looked_at_again_soon():
    house = House(chat(), ray=Ray(outcome=Applied(Action.PUT)))
    assert house.reconcile() == 3
    assert house.api.condition("Reconciling") == ("True", "RollingOut")


def test_what_waits_for_others_writes_is_rolling_out_and_comes_again_when_it_is_told():
    house = House(chat(), ray=Ray(outcome=Applied(Action.PUT, 50.0, waits=True)))
    assert house.reconcile() == 50.0
    assert house.api.condition("Reconciling") == ("True", "RollingOut")


def test_a_failed_application_is_tried_again_when_the_engine_says_so():
    house = House(chat(), ray=Ray(AppState(AppStatus.DEPLOY_FAILED, target=1), Applied(Action.NOTHING, 60.0)))
    assert house.reconcile() == 60.0


@pytest.mark.parametrize("error", [Hold("Serve is running, but does not say what"), Retry("the write timed out")])
def test_a_write_that_failed_is_said_and_left_to_the_back_off(error):
    house = House(chat(), ray=Ray(outcome=error))
    with pytest.raises(Retry, match=str(error)):
        house.reconcile()
    assert house.api.condition("LocalAvailable") == ("True", "RayNotWritable")


def test_one_that_is_not_understood_gives_a_name_up_to_one_that_is_older():
    raw = chat(status=known(), creationTimestamp="2026-01-02T00:00:00Z")
    raw["spec"]["fromTheFuture"] = True
    with pytest.raises(ValidationError):
        ModelDeployment.model_validate(raw)
    house = House(raw)
    house.reconcile()
    assert house.policy().names == ("chat", "default/chat")

    contested = House(raw, chat("older", status={}, creationTimestamp="2026-01-01T00:00:00Z"))
    contested.reconcile()
    assert contested.policy().names == ("default/chat",)
    assert contested.api.raw["status"]["names"] == ["default/chat"]


def test_one_whose_namespace_may_not_use_the_cluster_any_more_is_routed_as_before_and_writes_nothing():
    house = House(chat(status=known()), ray=Ray(AssertionError("was asked")), namespaces=("somebody-else",))
    assert house.reconcile() is None
    assert house.api.condition("Ready") == ("False", "RayClusterNotAllowed")
    assert house.api.raw["status"]["local"]["targets"] == [TARGET]
    assert TARGET["address"] in str(house.publisher.put_last["deployment/default/chat"][0])
