"""The delta protocol, message by message."""

from typing import Any

from envoy.service.discovery.v3 import discovery_pb2
from support.xds_client import Client, cluster, endpoints
from tandem_contract.documents import Freshness
from tandem_contract.xds import State, Store, from_dict, from_document, session
from tandem_contract.xds.types import ALL, CLUSTER, ENDPOINTS, ENVOY, FRESHNESS, LISTENER


def a_store(*messages: dict[str, Any], owner: str = "one") -> Store:
    store = Store()
    store.put(owner, [from_dict(message) for message in messages])
    return store


def put(store: Store, *messages: dict[str, Any], owner: str = "one") -> None:
    store.put(owner, [from_dict(message) for message in messages])


def test_an_empty_first_request_means_everything() -> None:
    client = Client(a_store(cluster("a"), cluster("b")), ENVOY).ask(CLUSTER)
    assert client.names(client.pump()) == ["a", "b"]


def test_a_star_means_everything_for_any_type() -> None:
    client = Client(a_store(endpoints("a", 1), endpoints("b", 1)), ENVOY).ask(ENDPOINTS, "*")
    assert client.names(client.pump()) == ["a", "b"]


def test_named_resources_come_alone() -> None:
    client = Client(a_store(endpoints("a", 1), endpoints("b", 1)), ENVOY).ask(ENDPOINTS, "b")
    assert client.names(client.pump()) == ["b"]


def test_a_named_resource_that_does_not_exist_is_said_to_be_absent_once() -> None:
    client = Client(Store(), ENVOY).ask(ENDPOINTS, "a")
    assert client.names(client.pump()) == ["-a"]
    assert client.pump() == []


def test_a_named_resource_that_appears_later_is_sent() -> None:
    store = Store()
    client = Client(store, ENVOY).ask(ENDPOINTS, "a")
    client.pump()
    put(store, endpoints("a", 1))
    assert client.names(client.pump()) == ["a"]


def test_types_come_in_the_order_that_makes_before_it_breaks() -> None:
    listener = {"@type": LISTENER, "name": "gateway"}
    store = a_store(listener, endpoints("a", 1), cluster("a", eds=True))
    client = Client(store, ENVOY).ask(LISTENER).ask(ENDPOINTS, "a").ask(CLUSTER)
    assert [response.type_url for response in client.pump()] == [CLUSTER, ENDPOINTS, LISTENER]


def test_a_type_that_is_not_served_here_is_never_sent() -> None:
    store = Store()
    store.put("freshness", [from_document(Freshness(observed_seconds=1))])
    assert Client(store, ENVOY).ask(FRESHNESS).pump() == []
    assert len(Client(store, ALL).ask(FRESHNESS).pump()) == 1


def test_a_change_sends_what_changed_and_nothing_else() -> None:
    store = a_store(cluster("a"), cluster("b"))
    client = Client(store, ENVOY).ask(CLUSTER)
    client.pump()
    put(store, cluster("a", seconds=2), cluster("b"))
    assert client.names(client.pump()) == ["a"]


def test_one_change_among_a_thousand_deployments_sends_one_resource_set() -> None:
    store = Store()
    for i in range(1000):
        put(store, cluster(f"local|{i}", eds=True), cluster(f"model|{i}"), endpoints(f"local|{i}", 1), owner=str(i))
    client = Client(store, ENVOY).ask(CLUSTER).ask(ENDPOINTS, *(f"local|{i}" for i in range(1000)))
    client.pump()
    put(store, cluster("local|7", eds=True), cluster("model|7", seconds=9), endpoints("local|7", 2), owner="7")
    assert client.names(client.pump()) == ["model|7", "local|7"]
    assert client.session.verdict("7").state is State.YES


def test_a_removed_resource_is_removed() -> None:
    store = a_store(cluster("a"), cluster("b"))
    client = Client(store, ENVOY).ask(CLUSTER)
    client.pump()
    put(store, cluster("b"))
    assert client.names(client.pump()) == ["-a"]


def test_a_cluster_that_comes_again_brings_its_endpoints_again() -> None:
    store = a_store(cluster("a", eds=True), endpoints("a", 1))
    client = Client(store, ENVOY).ask(CLUSTER).ask(ENDPOINTS, "a")
    client.pump()
    put(store, cluster("a", eds=True, seconds=2), endpoints("a", 1))
    responses = client.pump()
    assert [response.type_url for response in responses] == [CLUSTER, ENDPOINTS]
    assert client.names(responses) == ["a", "a"]


def test_new_endpoints_do_not_bring_their_cluster_again() -> None:
    store = a_store(cluster("a", eds=True), endpoints("a", 1))
    client = Client(store, ENVOY).ask(CLUSTER).ask(ENDPOINTS, "a")
    client.pump()
    put(store, cluster("a", eds=True), endpoints("a", 2))
    assert [response.type_url for response in client.pump()] == [ENDPOINTS]


def test_who_asks_again_gets_it_again() -> None:
    client = Client(a_store(endpoints("a", 1)), ENVOY).ask(ENDPOINTS, "a")
    client.pump()
    client.ask(ENDPOINTS, "a")
    assert client.names(client.pump()) == ["a"]


def test_who_no_longer_asks_hears_no_more() -> None:
    store = a_store(endpoints("a", 1))
    client = Client(store, ENVOY).ask(ENDPOINTS, "a")
    client.pump()
    client.ask(ENDPOINTS, drop=["a"])
    put(store, endpoints("a", 2))
    assert client.pump() == []


def test_a_client_that_comes_back_gets_the_difference_and_loses_what_is_gone() -> None:
    same, changed = from_dict(cluster("same")), from_dict(cluster("changed"))
    store = a_store(cluster("same"), cluster("changed", seconds=2), cluster("new"))
    has = {"same": same.version, "changed": changed.version, "deleted": "0123"}
    client = Client(store, ENVOY).ask(CLUSTER, "*", has=has)
    assert sorted(client.names(client.pump())) == ["-deleted", "changed", "new"]


def test_a_client_that_comes_back_with_everything_has_accepted_everything() -> None:
    resource = from_dict(cluster("a"))
    client = Client(a_store(cluster("a")), ENVOY).ask(CLUSTER, "*", has={"a": resource.version})
    assert client.pump() == []
    assert client.session.verdict("one").state is State.YES


def test_owners_hear_of_what_a_client_brings_along_unchanged() -> None:
    resource = from_dict(cluster("a"))
    request = discovery_pb2.DeltaDiscoveryRequest(type_url=CLUSTER, initial_resource_versions={"a": resource.version})
    assert session.Session(a_store(cluster("a")), ENVOY).receive(request) == {"one"}


def test_a_verdict_waits_for_the_answer() -> None:
    client = Client(a_store(cluster("a")), ENVOY).ask(CLUSTER)
    (response,) = client.pump(answer=False)
    assert client.session.verdict("one").state is State.PENDING
    client.session.receive(client._answer(response))
    assert client.session.verdict("one").state is State.YES


def test_an_answer_to_an_old_version_is_no_answer_to_the_new_one() -> None:
    store = a_store(cluster("a"))
    client = Client(store, ENVOY).ask(CLUSTER)
    (old,) = client.pump(answer=False)
    put(store, cluster("a", seconds=2))
    (new,) = client.pump(answer=False)
    client.session.receive(client._answer(old))
    assert client.session.verdict("one").state is State.PENDING
    client.session.receive(client._answer(new))
    assert client.session.verdict("one").state is State.YES


def test_a_removal_is_pending_until_it_is_answered() -> None:
    store = a_store(cluster("a"), cluster("b"))
    client = Client(store, ENVOY).ask(CLUSTER)
    client.pump()
    store.drop("one")
    (response,) = client.pump(answer=False)
    assert client.session.verdict("one").state is State.PENDING
    assert client.session.receive(client._answer(response)) == {"one"}
    assert client.session.verdict("one").state is State.YES


def test_a_resource_that_was_removed_and_put_again_before_the_answer_is_not_lost() -> None:
    store = a_store(cluster("a"))
    client = Client(store, ENVOY).ask(CLUSTER)
    client.pump()
    store.drop("one")
    (removal,) = client.pump(answer=False)
    put(store, cluster("a"))
    client.session.receive(client._answer(removal))
    assert client.session.verdict("one").state is State.PENDING
    assert client.names(client.pump()) == ["a"]
    assert client.session.verdict("one").state is State.YES


def test_a_refusal_names_its_owner_alone_and_the_others_stand() -> None:
    store = Store()
    for i in range(100):
        put(store, cluster(f"c{i}"), owner=f"owner{i}")

    def refuses(response: Any) -> str | None:
        return "c42 is bad" if "c42" in [resource.name for resource in response.resources] else None

    client = Client(store, ENVOY, refuses=refuses).ask(CLUSTER)
    client.pump()
    verdicts = {f"owner{i}": client.session.verdict(f"owner{i}") for i in range(100)}
    refused = verdicts.pop("owner42")
    assert (refused.state, refused.message, refused.client) == (State.REJECTED, "c42 is bad", "client")
    assert {verdict.state for verdict in verdicts.values()} == {State.YES}
    assert len(client.got) < 20  # halves, not one by one


def test_a_refused_version_is_not_sent_again_and_the_next_one_is() -> None:
    store = a_store(cluster("a"))
    client = Client(store, ENVOY, refuses=lambda _: "no").ask(CLUSTER)
    client.pump()
    assert client.pump() == []
    client._refuses = lambda _: None
    put(store, cluster("a", seconds=2))
    assert client.names(client.pump()) == ["a"]
    assert client.session.verdict("one").state is State.YES


def test_removals_in_a_refused_message_still_happen() -> None:
    store = a_store(cluster("a"))
    client = Client(store, ENVOY).ask(CLUSTER)
    client.pump()
    client._refuses = lambda response: "bad" if response.resources else None
    put(store, cluster("b"))
    client.pump()
    assert client.session.verdict("one").state is State.REJECTED
    store.drop("one")
    client.pump()
    assert client.session.verdict("one").state is State.YES
    assert client.has == {}


def test_large_snapshots_travel_in_several_messages(monkeypatch: Any) -> None:
    monkeypatch.setattr(session, "MAX_RESPONSE_BYTES", 1000)
    client = Client(a_store(*(cluster(f"cluster-with-a-name-{i:04}") for i in range(100))), ENVOY).ask(CLUSTER)
    responses = client.pump()
    assert len(responses) > 3
    assert len(client.has) == 100
    assert all(response.ByteSize() < 10_000 for response in responses)


def test_an_owner_with_nothing_on_a_served_type_is_settled() -> None:
    store = Store()
    store.put("freshness", [from_document(Freshness(observed_seconds=1))])
    assert Client(store, ENVOY).session.verdict("freshness").state is State.YES


def test_a_moved_name_is_asked_about_under_its_new_owner() -> None:
    store = a_store(cluster("a"))
    client = Client(store, ENVOY).ask(CLUSTER)
    client.pump()
    put(store, cluster("a", seconds=2), owner="two")
    assert client.session.verdict("two").state is State.PENDING
    assert client.session.verdict("one").state is State.YES
    client.pump()
    assert client.session.verdict("two").state is State.YES


def test_who_asks_for_everything_hears_that_there_is_nothing() -> None:
    client = Client(a_store(), ENVOY).ask(CLUSTER, "*")

    (nothing,) = client.pump()  # Envoy asks for listeners only when it knows its clusters, be they none
    assert (list(nothing.resources), list(nothing.removed_resources)) == ([], [])
    assert client.pump() == []


def test_a_refused_version_that_comes_back_unsent_is_still_refused() -> None:
    store = a_store(cluster("a"))
    client = Client(store, ENVOY, refuses=lambda _: "no").ask(CLUSTER)
    client.pump()
    put(store, cluster("a", seconds=2))
    put(store, cluster("a"))
    assert client.pump() == []
    assert client.session.verdict("one").state is State.REJECTED


def test_a_store_that_is_not_complete_removes_nothing_until_it_is() -> None:
    store = a_store(cluster("a"), endpoints("a", 1))
    client = Client(store, ENVOY)
    client.session = session.Session(store, ENVOY, complete=False)
    client.ask(CLUSTER, "*", has={"a": from_dict(cluster("a")).version, "newer": "0123"})
    client.ask(ENDPOINTS, "a", "newer", has={"newer": "0123"})
    assert client.names(client.pump()) == ["a"]
    put(store, cluster("a", seconds=2), endpoints("a", 1))
    assert client.names(client.pump()) == ["a"]
    client.session.complete()
    assert client.names(client.pump()) == ["-newer", "-newer"]


def test_what_an_incomplete_store_learns_later_is_not_removed() -> None:
    store = a_store(cluster("a"))
    client = Client(store, ENVOY)
    client.session = session.Session(store, ENVOY, complete=False)
    client.ask(CLUSTER, "*", has={"b": "0123"})
    client.pump()
    put(store, cluster("b"), owner="two")
    assert client.names(client.pump()) == ["b"]
    client.session.complete()
    assert client.pump() == []


def test_what_was_removed_and_comes_back_the_same_is_asked_about_again() -> None:
    store = a_store(cluster("a"))
    client = Client(store, ENVOY).ask(CLUSTER)
    client.pump()
    store.drop("one")
    client.pump()
    put(store, cluster("a"))
    client.pump(answer=False)
    assert client.session.verdict("one").state is State.PENDING


def test_after_a_refusal_the_next_version_is_pending_and_not_yet_refused() -> None:
    store = a_store(cluster("a"))
    client = Client(store, ENVOY, refuses=lambda _: "no").ask(CLUSTER)
    client.pump()
    put(store, cluster("a", seconds=2))
    client.pump(answer=False)
    assert client.session.verdict("one").state is State.PENDING
