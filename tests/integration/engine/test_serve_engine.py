"""The rules of design §6 for Ray Serve's document, each against a real Ray."""

import asyncio
import itertools
from typing import Any

import pytest
from support.ray_serve import START_SECONDS, Bench, a_foreign_app, bench, live_config
from support.wait import eventually_async
from tandem_lab.ray_head import LOOPBACK, RayHead
from tandem_operator.engines.serve_document import Action
from tandem_operator.engines.serve_engine import Applied
from tandem_operator.errors import Reject
from tandem_operator.observed import AppState, AppStatus

pytestmark = pytest.mark.timeout(600)  # a head that starts on a busy machine


async def test_a_deployment_becomes_replicas_that_answer_on_ports_of_their_own(serve: Bench) -> None:
    app = serve.app()
    assert (await serve.state(app)).status is AppStatus.ABSENT
    state = await serve.deploy(app, replicas=2)
    assert (state.target, state.running, state.starting, state.message) == (2, 2, 0, "")
    assert state.targets is not None
    assert {target.address for target in state.targets} == {LOOPBACK}
    assert all(target.replica.startswith(f"SERVE_REPLICA::{app['name']}#") for target in state.targets)
    assert len(await serve.pids(app)) == 2

    written = serve.metric("tandem_ray_request_duration_seconds_count", call="put")
    assert await serve.engine.apply(app, 2) == Applied(Action.NOTHING)
    assert serve.metric("tandem_ray_request_duration_seconds_count", call="put") == written


async def test_what_is_not_the_model_changes_without_a_restart_and_keeps_what_was_scaled(serve: Bench) -> None:
    app = serve.app()
    await serve.deploy(app)
    assert (await serve.engine.apply(app, 2)).action is Action.SCALE
    await serve.until(app, ready=2)
    before = await serve.pids(app)

    await serve.engine.apply(serve.app("other"), 1)
    assert (await serve.until(app, ready=2)).target == 2, "an edit of another deployment must not reset what was scaled"

    renamed = serve.app(live={"model_names": ("other",), "overflow": True}, slo={"timeToFirstTokenMilliseconds": 1234})
    assert (await serve.engine.apply(renamed, 2)).action is Action.PUT

    async def live() -> bool:
        state = await serve.state(renamed)
        if state.targets is None or len(state.targets) < 2:  # Ray leaves one out while it is told
            return False
        told = [live_config((await serve.ask(target, renamed))[0]) for target in state.targets]
        wanted = (["other"], True, 1234)
        return all((t["names"], t["overflow"], t["time_to_first_token_milliseconds"]) == wanted for t in told)

    await eventually_async(live, START_SECONDS)
    # One replica is told after the other: the second may have answered with the news while Ray still leaves it out.
    assert (await serve.until(renamed, ready=2)).target == 2
    assert await serve.pids(renamed) == before


async def test_a_new_model_under_load_loses_no_request_and_no_target(serve: Bench) -> None:
    app = serve.app()
    await serve.deploy(app, replicas=2)
    edited = serve.app(model={"maxModelLen": 2})
    known = (await serve.state(app)).targets or ()
    answered: list[str] = []
    seen: list[AppState] = []
    done = asyncio.Event()

    async def client(number: int) -> None:
        """Ask a replica that was known a moment ago, as a gateway does; any error fails the test."""
        for turn in itertools.count(number):
            if done.is_set():
                return
            headers, body = await serve.ask(known[turn % len(known)], app, chunks=5)
            assert body.endswith("chunk 4\nend\n")
            answered.append(headers["x-version"])

    async def watch() -> None:
        nonlocal known
        while not done.is_set():
            seen.append(await serve.state(edited))
            known = seen[-1].targets or known
            await asyncio.sleep(0.1)

    async with asyncio.TaskGroup() as tasks:
        for number in range(6):
            tasks.create_task(client(number))
        tasks.create_task(watch())
        await serve.engine.apply(edited, 2)
        await eventually_async(lambda: answered[-20:] == ["2"] * 20, START_SECONDS)
        done.set()
    assert "1" in answered
    building = [state for state in seen if state.target is None]
    assert building, "after a change of arguments, Ray always has a while without deployments"
    assert {state.targets for state in building} == {None}
    assert all(state.targets != () for state in seen)


async def test_at_zero_an_edit_waits_for_the_wake(serve: Bench) -> None:
    app = serve.app()
    await serve.deploy(app)
    await serve.engine.apply(app, 0)
    asleep = await serve.until(app, ready=0)
    assert (asleep.target, asleep.targets) == (0, ())
    edited = serve.app(model={"maxModelLen": 2})
    assert (await serve.engine.apply(edited, 0)).action is Action.WAIT_FOR_WAKE
    assert (await serve.state(app)).targets == ()
    awake = await serve.deploy(edited, replicas=1)
    assert awake.targets
    assert (await serve.ask(awake.targets[0], edited))[0]["x-version"] == "2"


async def test_a_foreign_application_survives_byte_for_byte(serve: Bench) -> None:
    theirs = a_foreign_app("theirs")
    serve.apps.append("theirs")
    await serve.put_raw([theirs])
    await eventually_async(lambda: _running(serve, "theirs", 1), START_SECONDS)
    await serve.scale_raw("theirs", "replica", 2)
    await eventually_async(lambda: _running(serve, "theirs", 2), START_SECONDS)
    before, replicas = await serve.deployed("theirs"), await _replicas(serve, "theirs")

    app = serve.app()
    await serve.engine.apply(app, 1)
    await serve.engine.apply(serve.app(model={"maxModelLen": 2}), 1)
    await eventually_async(lambda: serve.engine.remove(app["name"]), START_SECONDS)

    assert await serve.deployed("theirs") == before
    assert before is not None
    assert {key: before[key] for key in theirs} == theirs
    assert await _replicas(serve, "theirs") == replicas
    assert serve.metric("tandem_ray_foreign_writes_total") == 0
    assert serve.metric("tandem_ray_foreign_applications") >= 1


async def test_a_foreign_application_that_our_write_removed_is_named(
    serve: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, put = serve.app(), serve.client.put

    async def late(document: dict[str, Any]) -> None:
        """Our write is held up; meanwhile somebody else adds an application."""
        await serve.put_raw([*document["applications"][:-1], a_foreign_app("late")])
        await eventually_async(lambda: _running(serve, "late", 1), START_SECONDS)
        await put(document)

    monkeypatch.setattr(serve.client, "put", late)
    await serve.engine.apply(app, 1)
    assert serve.metric("tandem_ray_foreign_writes_total") == 1
    assert "removed application late, which another writer had added" in (await serve.state(app)).message


async def test_a_foreign_writer_who_drops_our_application_is_told_and_it_comes_back(
    serve: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, put = serve.app(), serve.client.put

    async def overtaken(document: dict[str, Any]) -> None:
        """Somebody else, who had read before us, writes before we look."""
        await put(document)
        await serve.put_raw(document["applications"][:-1])

    monkeypatch.setattr(serve.client, "put", overtaken)
    await serve.engine.apply(app, 1)
    assert serve.metric("tandem_ray_foreign_writes_total") == 1
    assert f"removed application {app['name']} at the same moment" in (await serve.state(app)).message
    monkeypatch.undo()
    await serve.engine.apply(app, 1)

    declared = [each["deployed_app_config"] for each in (await serve.raw())["applications"].values()]
    await serve.put_raw([each for each in declared if each and each["name"] != app["name"]])
    assert (await serve.engine.apply(app, 1)).action is Action.PUT
    assert serve.metric("tandem_ray_foreign_writes_total") == 2
    assert (await serve.state(app)).status is AppStatus.DEPLOYING


async def test_a_model_that_cannot_load_says_why_and_hurts_nobody(ray_head: RayHead) -> None:
    async with bench(ray_head, first_retry_seconds=0.5) as serve:
        good, edited = serve.app("good"), serve.app("edited")
        await serve.engine.apply(good, 1)
        await serve.deploy(edited)
        await serve.until(good, ready=1)
        before = await serve.pids(good), await serve.pids(edited)

        bad = serve.app("bad", model={"source": "file:///behave/fails-to-load"})
        edited = serve.app("edited", model={"source": "file:///behave/fails-to-load"})
        unbuilt = serve.app("unbuilt", model={"source": "file:///behave/fails-to-build"})
        for app in (bad, edited, unbuilt):
            await serve.engine.apply(app, 1)

        why = "RuntimeError: no config.json in file:///behave/fails-to-load"
        early = await eventually_async(lambda: _told(serve, bad, why), START_SECONDS)
        assert (early.status, early.message, early.failures) == (AppStatus.DEPLOYING, why, (why,))
        assert (early.targets, early.running) == (None, 0)

        failed = [await eventually_async(lambda app=app: _failed(serve, app), START_SECONDS) for app in (bad, edited)]
        assert [(each.message, each.running) for each in failed] == [(why, 0), (why, 1)], "the old version serves on"
        broken = await eventually_async(lambda: _failed(serve, unbuilt), START_SECONDS)
        assert broken.message == "RuntimeError: cannot build file:///behave/fails-to-build"
        assert (await serve.pids(good), await serve.pids(edited)) == before

        first = await serve.engine.apply(bad, 1)
        assert (first.action, first.again_seconds) == (Action.NOTHING, 0.5), "the same document waits before a retry"
        await eventually_async(lambda: _applies(serve, bad, Action.PUT), START_SECONDS)
        again = await serve.deployed(bad["name"])
        assert again is not None
        assert again["runtime_env"] == {"env_vars": {"TANDEM_ATTEMPT": "1"}}

        fixed = serve.app("bad")
        assert (await serve.engine.apply(fixed, 1)).action is Action.PUT, "a changed spec needs no waiting"
        assert (await serve.until(fixed, ready=1)).message == ""
        assert (await serve.pids(good), await serve.pids(edited)) == before


async def test_an_application_that_ray_refuses_is_rejected_alone(serve: Bench) -> None:
    good = serve.app("good")
    await serve.engine.apply(good, 1)
    before = await serve.deployed(good["name"])
    bad = serve.app("bad")
    bad["deployments"][0]["max_ongoing_requests"] = -1
    with pytest.raises(Reject, match=r"max_ongoing_requests[^$]*greater than 0") as refused:
        await serve.engine.apply(bad, 1)
    assert refused.value.reason == "EngineRefused"
    assert (await serve.state(bad)).status is AppStatus.ABSENT
    assert await serve.deployed(good["name"]) == before
    assert before is not None


async def test_without_room_for_both_the_old_replica_makes_room(ray_head: RayHead) -> None:
    async with bench(ray_head, patience_seconds=1) as serve:
        app = serve.app(local={"resources": {"cpu": "2500m"}})
        await serve.deploy(app)
        edited = serve.app(model={"maxModelLen": 2}, local={"resources": {"cpu": "2500m"}})
        await serve.engine.apply(edited, 1)
        hopeless = serve.app("hopeless", local={"resources": {"cpu": "1000"}})
        await serve.engine.apply(hopeless, 1)

        state = await eventually_async(lambda: _told(serve, hopeless, "to be scheduled"), START_SECONDS)
        assert '"CPU": 1000' in state.message
        assert (state.starting, state.running, state.failures) == (1, 0, ())

        async def rolled() -> bool:
            await serve.engine.apply(edited, 1)
            state = await serve.state(edited)
            return bool(state.targets) and (await serve.ask(state.targets[0], edited))[0]["x-version"] == "2"

        await eventually_async(rolled, START_SECONDS)
        deployed = await serve.deployed(app["name"])
        assert deployed is not None
        assert deployed["deployments"][0]["max_surge_percent"] == 0


async def test_removing_one_application_leaves_the_others_and_serve_itself(serve: Bench) -> None:
    app, other = serve.app(), serve.app("other")
    await serve.deploy(app)
    await serve.engine.apply(other, 1)
    controller, before = (await serve.raw())["controller_info"]["actor_id"], await serve.deployed(other["name"])
    assert await serve.engine.remove(app["name"]) is False, "its replica still drains"
    assert (await serve.state(app)).status is AppStatus.DELETING

    await serve.deploy(app)
    assert len(await serve.pids(app)) == 1, "one that comes back while it drains is deployed again"

    await eventually_async(lambda: serve.engine.remove(app["name"]), START_SECONDS)
    assert app["name"] not in (await serve.raw())["applications"]
    assert await serve.deployed(other["name"]) == before
    await eventually_async(lambda: serve.engine.remove(other["name"]), START_SECONDS)
    assert (await serve.raw())["controller_info"]["actor_id"] == controller


async def test_sweeping_removes_only_this_clusters_applications_that_nobody_wants(serve: Bench) -> None:
    kept, lost = serve.app("kept"), serve.app("lost")
    await serve.engine.apply(kept, 1)
    await serve.engine.apply(lost, 1)
    foreign = a_foreign_app("tandem_ffffffff_default_lost")
    serve.apps.append(foreign["name"])
    declared = [each["deployed_app_config"] for each in (await serve.raw())["applications"].values()]
    await serve.put_raw([*filter(None, declared), foreign])
    assert await serve.engine.sweep(lambda: [kept["name"]]) == (lost["name"],)
    assert await serve.deployed(lost["name"]) is None
    assert await serve.engine.sweep(lambda: [kept["name"]]) == ()
    assert await serve.deployed(kept["name"]) is not None
    assert await serve.deployed(foreign["name"]) is not None


async def _running(serve: Bench, app: str, count: int) -> bool:
    return len([each for each in await _replicas(serve, app) if each[1] == "RUNNING"]) == count


async def _replicas(serve: Bench, app: str) -> list[tuple[str, str]]:
    deployments = (await serve.raw())["applications"][app]["deployments"]
    replicas = [each for deployment in deployments.values() for each in deployment["replicas"]]
    return sorted((each["replica_id"], each["state"]) for each in replicas)


async def _told(serve: Bench, app: dict[str, Any], message: str) -> AppState | None:
    state = await serve.state(app)
    return state if message in state.message else None


async def _failed(serve: Bench, app: dict[str, Any]) -> AppState | None:
    state = await serve.state(app)
    return state if state.status is AppStatus.DEPLOY_FAILED else None


async def _applies(serve: Bench, app: dict[str, Any], action: Action) -> bool:
    return (await serve.engine.apply(app, 1)).action is action
