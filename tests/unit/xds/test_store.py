import asyncio

from support.xds_client import cluster
from tandem_contract.xds import Key, Store, from_dict
from tandem_contract.xds.types import CLUSTER

A1, A2 = from_dict(cluster("a")), from_dict(cluster("a", seconds=2))
B = from_dict(cluster("b"))


def test_what_is_put_can_be_read_by_type_owner_and_key() -> None:
    store = Store()
    assert store.put("one", [A1, B])
    assert dict(store.resources(CLUSTER)) == {"a": A1, "b": B}
    assert dict(store.owned_by("one")) == {A1.key: A1, B.key: B}
    assert (store.get(A1.key), store.owner_of(A1.key), store.owners()) == (A1, "one", {"one"})


def test_putting_the_same_again_is_no_event() -> None:
    store = Store()
    store.put("one", [A1, B])
    watch = store.watch()
    assert not store.put("one", [from_dict(cluster("a")), B])
    assert watch.take() == {}


def test_only_what_changed_is_told() -> None:
    store = Store()
    store.put("one", [A1, B])
    watch = store.watch()
    assert store.put("one", [A2, B])
    assert watch.take() == {A1.key: "one"}


def test_what_an_owner_no_longer_puts_is_gone() -> None:
    store = Store()
    store.put("one", [A1, B])
    watch = store.watch()
    assert store.put("one", [A1])
    assert watch.take() == {B.key: "one"}
    assert store.get(B.key) is None


def test_dropping_twice_is_no_event() -> None:
    store = Store()
    store.put("one", [A1])
    assert store.drop("one")
    assert not store.drop("one")
    assert store.owners() == frozenset()


def test_a_name_moves_to_the_owner_that_put_it_last_and_stays_when_the_other_leaves() -> None:
    store = Store()
    store.put("one", [A1])
    store.put("two", [A2])
    assert store.owner_of(A1.key) == "two"
    assert not store.drop("one")
    assert store.get(A1.key) == A2


def test_moving_with_equal_content_is_told_so_that_the_new_owner_is_asked_about() -> None:
    store = Store()
    store.put("one", [A1])
    watch = store.watch()
    store.put("two", [A1])
    assert watch.take() == {A1.key: "two"}


def test_a_watch_that_was_given_back_hears_nothing() -> None:
    store = Store()
    watch = store.watch()
    store.unwatch(watch)
    store.put("one", [A1])
    assert watch.take() == {}


async def test_changes_of_one_turn_come_together() -> None:
    store = Store()
    watch = store.watch()
    waiting = asyncio.create_task(watch.changes())
    await asyncio.sleep(0)
    store.put("one", [A1])
    store.put("two", [B])
    assert await waiting == {Key(CLUSTER, "a"): "one", Key(CLUSTER, "b"): "two"}
