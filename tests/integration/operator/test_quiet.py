"""What is at rest costs nothing: no write over many resyncs and restarts, no Event twice, no right unused."""

import itertools
from typing import NamedTuple

import yaml
from support.operator_world import SETTLE_SECONDS, USER, audited, writes
from support.wait import eventually


def resyncs(world):
    return world.operator.metric("tandem_reconcile_total")


def wait_for_resyncs(world, count):
    before = eventually(lambda: resyncs(world), SETTLE_SECONDS)
    eventually(lambda: (resyncs(world) or 0) >= before + count, SETTLE_SECONDS)


def until_quiet(world, control_plane):
    """Wait until all is written that was set off: the Events of a status come after it."""

    def is_quiet():
        since = len(control_plane.audit_events())
        wait_for_resyncs(world, 5)
        return not writes(audited(control_plane, since))

    eventually(is_quiet, SETTLE_SECONDS)


def test_quiet_objects_cost_no_writes_over_resyncs_and_a_restart(world, control_plane):
    world.create_secret("quiet", api_key="sk-quiet")
    cloud = {"endpoints": [{"name": "quiet", "model": "gpt-5-mini"}]}
    world.apply(world.endpoint("quiet"), world.deployment("calm", cloud=cloud), world.deployment("still"))
    for name in ("calm", "still"):
        world.until_settled(name)
    until_quiet(world, control_plane)
    since = len(control_plane.audit_events())
    versions = {name: world.get(name)["metadata"]["resourceVersion"] for name in ("calm", "still")}
    wait_for_resyncs(world, 30)
    assert writes(audited(control_plane, since)) == []
    let_in = len(world.gateway.streams)
    world.operator.restart()
    eventually(lambda: len(world.gateway.streams) > let_in, SETTLE_SECONDS)
    eventually(lambda: (resyncs(world) or 0) >= 20, SETTLE_SECONDS)
    assert writes(audited(control_plane, since)) == []
    assert {name: world.get(name)["metadata"]["resourceVersion"] for name in versions} == versions


def test_events_are_told_once_for_each_transition(world, control_plane):
    def told():
        events = control_plane.get_json("events", "-n", world.namespace)["items"]
        return sorted((e["reason"], e["message"]) for e in events if e["involvedObject"]["name"] == "told")

    world.apply(world.deployment("told"))
    world.until_settled("told")
    wait_for_resyncs(world, 10)
    eventually(lambda: {"ReplicasReady", "Programmed"} <= {reason for reason, _ in told()}, SETTLE_SECONDS)
    events = told()
    assert len(events) == len(set(events)), events


def test_the_operator_asks_for_nothing_that_it_may_not_do_and_uses_all_that_it_may(world, control_plane, repository):
    control_plane.kubectl("delete", "mdep", "told", "-n", world.namespace, "--ignore-not-found", "--timeout=150s")
    events = [event for event in control_plane.audit_events() if event["user"]["username"] == USER]
    asked = {_asked(event) for event in events if "objectRef" in event}
    used = {
        _asked(event)
        for event in events
        if "objectRef" in event and event.get("responseStatus", {}).get("code", 999) < 300
    }
    granted = set(_granted(repository))
    # A 403 for what is granted is the API server's: for a moment after its start, and in a namespace that ends.
    assert [each for each in asked if not any(right.covers(each) for right in granted)] == []
    # Certificates are written again when they end, in weeks, or were spoiled, which no test of this file does.
    unused = {right for right in granted if not any(right.covers(each) for each in used)}
    assert {right[:3] for right in unused} <= {("", "secrets", "update")}
    assert {right.name for right in unused} <= {"tandem-internal", "tandem-gateway-tls"}


class Right(NamedTuple):
    """One verb on one resource; ``namespace`` and ``name`` are empty when any will do."""

    group: str
    resource: str
    verb: str
    namespace: str
    name: str

    def covers(self, asked):
        return self[:3] == asked[:3] and self.namespace in {"", asked.namespace} and self.name in {"", asked.name}


def _asked(event):
    about = event["objectRef"]
    resource = "/".join(filter(None, [about["resource"], about.get("subresource")]))
    return Right(about.get("apiGroup", ""), resource, event["verb"], about.get("namespace", ""), about.get("name", ""))


def _granted(repository):
    for document in yaml.safe_load_all((repository / "deploy" / "20-operator-rbac.yaml").read_text()):
        namespace = document["metadata"].get("namespace", "")
        for rule in document.get("rules", []):
            for group, resource, verb in itertools.product(rule["apiGroups"], rule["resources"], rule["verbs"]):
                assert "*" not in (group, resource, verb)
                for name in rule.get("resourceNames", [""]):
                    yield Right(group, resource, verb, namespace, name)
