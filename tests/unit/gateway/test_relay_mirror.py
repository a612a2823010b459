"""The agent between an operator (a ``Session``) and an Envoy (a ``Session`` as well), without a socket."""

import json
from typing import Any

from support.xds_client import Client, cluster, endpoints
from tandem_contract.data_class import DataClass
from tandem_contract.documents import Credential, DeploymentPolicy, Freshness
from tandem_contract.xds import Programmed, State, Store, from_dict, from_document
from tandem_contract.xds.session import Session
from tandem_contract.xds.types import ALL, CLUSTER, CREDENTIAL, DEPLOYMENT_POLICY, ENDPOINTS, ENVOY
from tandem_serving.gateway.relay_mirror import Mirror, key_of, owner_of

POLICY = DeploymentPolicy(
    deployment="a/b", names=("a/b",), created_seconds=1, prefix="/x", token="t", data_class=DataClass.PUBLIC
)


class House:
    """An operator's store, an agent, and an Envoy that may be absent."""

    def __init__(self, *, envoy: bool = True) -> None:
        self.published = Store()
        self._watch = self.published.watch()
        self.store = Store()
        self.envoy: Client | None = None
        self.fault = ""
        self.mirror = Mirror(self.store, self._verdict)
        if envoy:
            self.start_envoy()
        self.connect()

    def start_envoy(self) -> None:
        self.envoy = Client(self.store, ENVOY, refuses=self._refuses).ask(CLUSTER).ask(ENDPOINTS, "*")

    def connect(self) -> None:
        self.operator = Session(self.published, ALL)
        for request in self.mirror.hello("gw"):
            self.operator.receive(request)
        self.run()

    def put(self, owner: str, *messages: dict[str, Any], documents: Any = ()) -> None:
        resources = [*(from_dict(message) for message in messages), *(from_document(d) for d in documents)]
        self.published.put(owner, resources)
        self.run()

    def run(self) -> None:
        """Let messages flow until everybody is silent."""
        moved = True
        while moved:
            moved = False
            self.operator.mark(self._watch.take())
            while (response := self.operator.next_response()) is not None:
                moved = True
                self.mirror.apply(response, now_seconds=0, monotonic_seconds=0)
            if self.envoy is not None:
                moved |= bool(self.envoy.pump())
                self.mirror.settle(resource.key for resource in list(self.store))
                self.mirror.settle(set(self.mirror.good))
            for reply in self.mirror.replies():
                moved = True
                self.operator.receive(reply)

    def verdict(self, owner: str) -> Programmed:
        return self.operator.verdict(owner)

    def _refuses(self, response: Any) -> str | None:
        names = [resource.name for resource in response.resources if resource.resource.value.count(b"\x08\x42")]
        return "66 seconds are too many" if names else None

    def _verdict(self, owner: str) -> Programmed:
        return self.envoy.session.verdict(owner) if self.envoy else Programmed(State.NO_GATEWAY)


BAD = 66


def test_what_the_operator_puts_reaches_envoy_and_the_answer_comes_back() -> None:
    house = House()
    house.put("one", cluster("a", eds=True), endpoints("a", 1))
    assert house.envoy is not None
    assert {name for _, name in house.envoy.has} == {"a"}
    assert house.verdict("one").state is State.YES


def test_without_envoy_nothing_is_acknowledged() -> None:
    house = House(envoy=False)
    house.put("one", cluster("a"))
    assert house.verdict("one").state is State.PENDING
    house.start_envoy()
    house.run()
    assert house.verdict("one").state is State.YES


def test_policy_needs_no_envoy() -> None:
    house = House(envoy=False)
    house.put("one", documents=[POLICY])
    assert house.verdict("one").state is State.YES
    assert house.mirror.policy.view().deployments == {"a/b": POLICY}


def test_what_envoy_refuses_is_refused_upstream_with_its_words() -> None:
    house = House()
    house.put("one", cluster("a", seconds=BAD))
    verdict = house.verdict("one")
    assert verdict.state is State.REJECTED
    assert verdict.message == "a: 66 seconds are too many"
    assert verdict.client == "gw"


def test_one_owners_bad_resource_is_nobody_elses() -> None:
    house = House()
    for i in range(20):
        house.published.put(f"owner{i}", [from_dict(cluster(f"c{i}", seconds=BAD if i == 7 else 1))])
    house.run()
    states = {f"owner{i}": house.verdict(f"owner{i}").state for i in range(20)}
    assert states.pop("owner7") is State.REJECTED
    assert set(states.values()) == {State.YES}


def test_the_last_good_version_stays_in_force_and_on_disk() -> None:
    house = House()
    house.put("one", cluster("a"))
    good = from_dict(cluster("a"))
    house.put("one", cluster("a", seconds=BAD))
    assert house.verdict("one").state is State.REJECTED
    assert house.mirror.good[good.key].version == good.version
    house.start_envoy()  # a fresh Envoy gets what the last one ran on
    house.run()
    assert house.envoy is not None
    assert house.envoy.has[good.key] == good.version


def test_a_bad_first_version_is_not_kept_at_all() -> None:
    house = House()
    house.put("one", cluster("a", seconds=BAD))
    assert house.mirror.good == {}
    assert list(house.store) == []


def test_after_a_refusal_the_next_version_is_taken() -> None:
    house = House()
    house.put("one", cluster("a", seconds=BAD))
    house.put("one", cluster("a", seconds=3))
    assert house.verdict("one").state is State.YES


def test_a_removal_reaches_envoy_and_leaves_the_disk() -> None:
    house = House()
    house.put("one", cluster("a"))
    house.mirror.unsaved = False
    house.put("one")
    assert house.envoy is not None
    assert house.envoy.has == {}
    assert house.mirror.good == {}
    assert house.mirror.unsaved
    assert house.verdict("one").state is State.YES


def test_what_was_removed_while_the_link_was_cut_goes_at_reconnect() -> None:
    house = House()
    house.put("one", cluster("a"))
    house.put("two", cluster("b"), documents=[POLICY])
    fresh = Store()
    fresh.put("one", [from_dict(cluster("a"))])
    house.published, house._watch = fresh, fresh.watch()
    house.connect()
    assert house.envoy is not None
    assert {name for _, name in house.envoy.has} == {"a"}
    assert house.mirror.policy.view().deployments == {}


def test_at_reconnect_nothing_that_is_here_already_is_sent_again() -> None:
    house = House()
    house.put("one", cluster("a"), documents=[POLICY])
    house.operator = Session(house.published, ALL)
    for request in house.mirror.hello("gw"):
        house.operator.receive(request)
    sent = []
    while (response := house.operator.next_response()) is not None:
        sent.append(response)
    assert [resource for response in sent for resource in response.resources] == []
    assert [name for response in sent for name in response.removed_resources] == ["operator"]
    assert house.verdict("one").state is State.YES


def test_the_heartbeat_or_its_absence_ends_the_snapshot() -> None:
    house = House()
    assert house.mirror.synced
    list(house.mirror.hello("gw"))
    assert not house.mirror.synced
    house.connect()
    house.put("freshness", documents=[Freshness(observed_seconds=1)])
    house.connect()
    assert house.mirror.synced


def test_a_credential_is_used_and_not_kept_for_the_disk() -> None:
    house = House()
    key = Credential(endpoint="openai", destination="d", authorization="Bearer sk-secret")
    house.put("endpoint/openai", documents=[key])
    assert house.mirror.policy.view().credentials == {"openai": key}
    assert not any(found.type_url == CREDENTIAL for found in house.mirror.good)
    assert not house.mirror.unsaved
    assert house.verdict("endpoint/openai").state is State.YES


def test_a_document_that_cannot_be_read_is_refused_upstream_and_denies() -> None:
    house = House()
    house.put("one", documents=[POLICY])
    resource = from_document(POLICY)
    resource.body.value = json.dumps({**json.loads(resource.body.value), "budget": "9"}).encode()
    changed = type(resource)(resource.key, "another", resource.body)
    house.published.put("one", [changed])
    house.run()
    verdict = house.verdict("one")
    assert verdict.state is State.REJECTED
    assert "budget" in verdict.message
    assert house.mirror.policy.view().deployments == {}
    assert resource.key not in house.mirror.good


def test_bytes_that_are_no_cluster_are_refused_and_not_passed_on() -> None:
    house = House()
    house.put("two", cluster("b"))
    resource = from_dict(cluster("a"))
    resource.body.value = b"\xff\xff"
    house.published.put("one", [resource])
    house.run()
    assert house.verdict("one").state is State.REJECTED
    assert house.envoy is not None
    assert {name for _, name in house.envoy.has} == {"b"}


def test_a_restart_from_disk_serves_the_good_and_the_policy() -> None:
    house = House()
    house.put("one", cluster("a"), documents=[POLICY])
    store = Store()
    again = Mirror(store, lambda _: Programmed(State.NO_GATEWAY))
    again.restore(house.mirror.good.values(), now_seconds=0, monotonic_seconds=0)
    assert {resource.key.name for resource in store} == {"a", "a/b"}
    assert again.policy.view().deployments == {"a/b": POLICY}
    assert again.policy.view().fresh_at is None
    assert not again.unsaved


def test_owners_are_resources() -> None:
    key = from_document(POLICY).key
    assert key_of(owner_of(key)) == key
    assert key.type_url == DEPLOYMENT_POLICY
