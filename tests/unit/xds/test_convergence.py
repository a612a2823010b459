"""Whatever is put, dropped, refused and cut off in between: in the end a client has what the store has."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from support.xds_client import Client, cluster, endpoints
from tandem_contract.xds import State, Store, from_dict
from tandem_contract.xds.types import CLUSTER, ENDPOINTS, ENVOY

OWNERS = ("one", "two", "three")
BAD_SECONDS = 66
"""A cluster with this time-out is what the client refuses."""

a_resource = st.one_of(
    st.builds(cluster, st.sampled_from("abcd"), seconds=st.sampled_from([1, 2, BAD_SECONDS]), eds=st.booleans()),
    st.builds(endpoints, st.sampled_from("abcd"), st.integers(1, 3)),
)
a_step = st.one_of(
    st.tuples(st.just("put"), st.sampled_from(OWNERS), st.lists(a_resource, max_size=4)),
    st.tuples(st.just("pump"), st.just(""), st.just([])),
    st.tuples(st.just("reconnect"), st.just(""), st.just([])),
)


def bad(body: Any) -> bool:
    return body.type_url == CLUSTER and bytes([8, BAD_SECONDS]) in body.value


def connect(store: Store, has: dict[tuple[str, str], str]) -> Client:
    client = Client(store, ENVOY, refuses=lambda r: "bad" if any(bad(x.resource) for x in r.resources) else None)
    client.has = dict(has)
    for type_url in (CLUSTER, ENDPOINTS):
        client.ask(type_url, "*", has={name: version for (kind, name), version in has.items() if kind == type_url})
    return client


@settings(deadline=None, max_examples=200)
@given(st.lists(a_step, max_size=20))
def test_a_client_ends_with_what_the_store_has_and_knows_what_it_refused(steps: list[Any]) -> None:
    store = Store()
    client = connect(store, {})
    for kind, owner, messages in steps:
        match kind:
            case "put":
                store.put(owner, [from_dict(message) for message in messages])
            case "pump":
                client.pump()
            case "reconnect":
                client = connect(store, client.has)
    client.pump()
    good = {(r.key.type_url, r.key.name): r.version for r in store if not bad(r.body)}
    refused = {(r.key.type_url, r.key.name): r.version for r in store if bad(r.body)}
    assert {key: version for key, version in client.has.items() if key not in refused} == good
    assert not refused.items() & client.has.items()
    for owner in OWNERS:
        wrong = any(bad(resource.body) for resource in store.owned_by(owner).values())
        assert client.session.verdict(owner).state is (State.REJECTED if wrong else State.YES)
