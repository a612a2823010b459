"""Ray is asked once for all; only deployments for which the answer changed are woken."""

import asyncio
from contextlib import asynccontextmanager, suppress

from support.builders import a_model_deployment, from_server
from support.wait import eventually_async
from tandem_operator.api.v1alpha1 import ModelDeployment
from tandem_operator.cache import Key, Kind
from tandem_operator.errors import Hold
from tandem_operator.observed import AppState, AppStatus
from tandem_operator.polling import poll
from tandem_operator.sightings import Sightings

RUNNING = AppState(AppStatus.RUNNING, target=1, running=1)


class Engine:
    """Says what it is told; an exception is raised."""

    def __init__(self, **states):
        self.states = states
        self.asked = 0

    async def observe(self, app):
        self.asked += 1
        state = self.states[app.rpartition("_")[2]]
        if isinstance(state, Exception):
            raise state
        return state


def deployment(name, cluster="lab"):
    return ModelDeployment.model_validate(
        from_server(a_model_deployment(name, spec={"local": {"ray": {"external": cluster}}}))
    )


@asynccontextmanager
async def polling(engines, *deployments, sightings=None):
    woken = []
    sightings = sightings or Sightings()
    task = asyncio.create_task(
        poll(
            engines,
            lambda: deployments,
            cluster_uid="uid",
            every_seconds=0.001,
            sightings=sightings,
            enqueue=woken.append,
        )
    )
    yield woken
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def key(name):
    return Key(Kind.DEPLOYMENT, "default", name)


async def rounds(engine, count=3):
    before = engine.asked
    await eventually_async(lambda: engine.asked >= before + 2 * count, within_seconds=10, every=0.001)


async def test_only_a_change_wakes_and_only_the_one_that_changed():
    engine = Engine(a=RUNNING, b=RUNNING)
    async with polling({"lab": engine}, deployment("a"), deployment("b")) as woken:
        await rounds(engine)
        assert woken == []
        engine.states["b"] = AppState(AppStatus.UNHEALTHY)
        await eventually_async(lambda: woken == [key("b")], within_seconds=10, every=0.001)
        await rounds(engine)
        assert woken == [key("b")]


async def test_silence_and_its_end_wake():
    engine = Engine(a=RUNNING)
    async with polling({"lab": engine}, deployment("a")) as woken:
        await rounds(engine)
        engine.states["a"] = Hold("no answer")
        await eventually_async(lambda: woken == [key("a")], within_seconds=10, every=0.001)
        engine.states["a"] = RUNNING
        await eventually_async(lambda: woken == [key("a")] * 2, within_seconds=10, every=0.001)


async def test_an_answer_that_nobody_foresaw_about_one_application_keeps_the_others_awake():
    engine = Engine(a=ValueError("a port of 0"), b=RUNNING)
    async with polling({"lab": engine}, deployment("a"), deployment("b")) as woken:
        await rounds(engine)
        engine.states["b"] = AppState(AppStatus.UNHEALTHY)
        await eventually_async(lambda: woken == [key("b")], within_seconds=10, every=0.001)


async def test_the_first_look_wakes_those_whose_last_reconcile_saw_something_else():
    sightings = Sightings()
    sightings.note(key("a"), None)
    sightings.note(key("b"), RUNNING)
    engine = Engine(a=RUNNING, b=RUNNING, new=RUNNING)
    async with polling({"lab": engine}, *map(deployment, ("a", "b", "new")), sightings=sightings) as woken:
        await rounds(engine)
        assert woken == [key("a")]


async def test_a_cluster_is_asked_about_its_own_deployments_alone():
    lab, other = Engine(a=RUNNING), Engine(b=RUNNING)
    async with polling({"lab": lab, "other": other}, deployment("a"), deployment("b", "other")) as woken:
        await rounds(lab)
        await rounds(other)
        other.states["b"] = AppState(AppStatus.UNHEALTHY)
        await eventually_async(lambda: woken == [key("b")], within_seconds=10, every=0.001)
