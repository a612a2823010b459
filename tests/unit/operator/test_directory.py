"""Who must be looked at when something changes."""

import pytest
from support.builders import a_cloud_endpoint, a_model_deployment, from_server
from tandem_operator.api.v1alpha1 import ModelDeployment
from tandem_operator.cache import Change, Key, Kind
from tandem_operator.directory import Directory
from tandem_operator.references import references


def deployment(name, *, endpoints=(), names=(), generation=1, namespace="default", **metadata):
    spec = {"cloud": {"endpoints": [{"name": endpoint, "model": "m"} for endpoint in endpoints]}}
    if names:
        spec["model"] = {"names": list(names)}
    raw = a_model_deployment(name, namespace=namespace, spec=spec)
    return from_server(raw, uid=f"{namespace}-{name}", generation=generation, **metadata)


def endpoint(name, *, generation=1, **metadata):
    return from_server(a_cloud_endpoint(name), uid=name, generation=generation, **metadata)


def namespace(name, labels):
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def d(name, namespace="default"):
    return Key(Kind.DEPLOYMENT, namespace, name)


def e(name):
    return Key(Kind.ENDPOINT, "", name)


@pytest.fixture
def directory():
    found = Directory()
    found.take(Change(e("eu"), None, endpoint("eu")))
    found.take(Change(d("chat"), None, deployment("chat", endpoints=["eu"], names=["shared"])))
    return found


def test_a_new_claim_wakes_those_who_claim_the_name_too_and_the_endpoints_that_are_named(directory):
    woken = directory.take(Change(d("other"), None, deployment("other", names=["shared"], endpoints=["us"])))
    assert woken == {d("other"), d("chat"), e("us")}


def test_a_status_wakes_nobody_else(directory):
    before = deployment("chat", endpoints=["eu"], names=["shared"])
    assert directory.take(Change(d("chat"), before, before | {"status": {}})) == {d("chat")}


def test_a_name_that_a_status_begins_to_have_wakes_those_who_claim_it(directory):
    directory.take(Change(d("other"), None, deployment("other", names=["shared"])))
    before = deployment("chat", endpoints=["eu"], names=["shared"])
    after = before | {"status": {"names": ["shared", "default/chat"]}}
    assert directory.take(Change(d("chat"), before, after)) == {d("chat"), d("other")}
    assert directory.take(Change(d("chat"), after, after)) == {d("chat")}


def test_a_deletion_that_begins_wakes_the_heirs_of_its_names(directory):
    directory.take(Change(d("other"), None, deployment("other", names=["shared"])))
    before = deployment("chat", endpoints=["eu"], names=["shared"])
    after = deployment("chat", endpoints=["eu"], names=["shared"], deletionTimestamp="2026-01-01T00:00:00Z")
    assert directory.take(Change(d("chat"), before, after)) == {d("chat"), d("other"), e("eu")}


def test_an_endpoint_that_is_no_longer_named_learns_of_it(directory):
    before = deployment("chat", endpoints=["eu"], names=["shared"])
    assert e("eu") in directory.take(Change(d("chat"), before, deployment("chat", generation=2)))
    assert directory.users("eu") == []


def test_an_edited_endpoint_wakes_its_users(directory):
    assert directory.take(Change(e("eu"), endpoint("eu"), endpoint("eu", generation=2))) == {e("eu"), d("chat")}


def test_the_status_of_an_endpoint_wakes_no_user(directory):
    assert directory.take(Change(e("eu"), endpoint("eu"), endpoint("eu") | {"status": {}})) == {e("eu")}


def test_new_labels_of_a_namespace_wake_its_deployments_and_the_endpoints_that_they_name(directory):
    key = Key(Kind.NAMESPACE, "", "default")
    woken = directory.take(Change(key, None, namespace("default", {"team": "a"})))
    assert woken == {d("chat"), e("eu")}
    assert directory.take(Change(key, None, namespace("default", {"team": "a"}))) == set()
    assert directory.namespaces["default"] == {"team": "a"}


def test_one_that_does_not_parse_claims_nothing_and_is_looked_at(directory):
    bad = deployment("bad", names=["shared"]) | {"spec": {"model": {"source": "ftp://x"}}}
    assert directory.take(Change(d("bad"), None, bad)) == {d("bad")}
    assert [o.metadata.name for o in directory.deployments()] == ["chat"]


def test_what_is_gone_is_forgotten(directory):
    before = deployment("chat", endpoints=["eu"], names=["shared"])
    directory.take(Change(d("chat"), before, None))
    directory.take(Change(e("eu"), endpoint("eu"), None))
    assert directory.users("eu") == []
    assert list(directory.deployments()) == []
    assert dict(directory.endpoints) == {}


def test_one_that_is_no_longer_understood_keeps_its_names_and_its_use_of_endpoints(directory):
    before = deployment("chat", endpoints=["eu"], names=["shared"])
    after = deployment("chat", endpoints=["eu"], names=["shared"], generation=2)
    after["spec"]["fromTheFuture"] = True
    after["status"] = {"names": ["shared", "default/chat"]}
    directory.take(Change(d("chat"), before, after))
    assert [each.metadata.name for each in directory.deployments()] == []
    assert directory.users("eu") == ["default/chat"]
    younger = ModelDeployment.model_validate(deployment("younger", names=["shared"]))
    assert [each.metadata.name for each in directory.claimants(references(younger))["shared"]] == ["chat"]
