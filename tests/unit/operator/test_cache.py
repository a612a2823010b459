"""What is known after events and lists in any order: a list finds what was missed and never undoes what is newer."""

import pytest
from support.builders import a_cloud_endpoint
from tandem_operator.cache import Cache, Kind, key_of

E = Kind.ENDPOINT


def an_endpoint(name="a", version=1, uid="u1"):
    return a_cloud_endpoint(name, metadata={"uid": uid, "resourceVersion": str(version)})


def listed(cache, *objects, version):
    cache.relist_begins(E)
    return cache.relist(E, list(objects), version)


def names(changes):
    return sorted((change.key.name, change.before is not None, change.after is not None) for change in changes)


def test_a_list_tells_what_was_deleted_while_nobody_watched():
    cache = Cache()
    cache.see(E, an_endpoint("gone", 5))
    cache.see(E, an_endpoint("stays", 6))
    assert names(listed(cache, an_endpoint("stays", 6), version=9)) == [("gone", True, False)]
    assert cache.get(key_of(E, an_endpoint("gone"))) is None


def test_a_list_tells_what_came_and_what_changed():
    cache = Cache()
    cache.see(E, an_endpoint("old", 5))
    changes = listed(cache, an_endpoint("old", 7), an_endpoint("new", 8), version=9)
    assert names(changes) == [("new", False, True), ("old", True, True)]


def test_a_list_that_says_what_is_known_changes_nothing():
    cache = Cache()
    cache.see(E, an_endpoint("a", 5))
    assert listed(cache, an_endpoint("a", 5), version=9) == []


def test_what_was_created_after_the_list_was_made_stays():
    cache = Cache()
    cache.see(E, an_endpoint("late", 12))
    assert listed(cache, version=9) == []
    assert cache.get(key_of(E, an_endpoint("late"))) is not None


def test_what_was_deleted_while_the_list_was_under_way_stays_deleted():
    cache = Cache()
    cache.see(E, an_endpoint("a", 5))
    cache.relist_begins(E)
    cache.gone(E, an_endpoint("a", 10))
    assert cache.relist(E, [an_endpoint("a", 5)], 9) == []
    assert cache.get(key_of(E, an_endpoint("a"))) is None


def test_an_object_that_came_back_while_the_list_was_under_way_is_kept():
    cache = Cache()
    cache.see(E, an_endpoint("a", 5, uid="first"))
    cache.relist_begins(E)
    cache.gone(E, an_endpoint("a", 10, uid="first"))
    cache.see(E, an_endpoint("a", 11, uid="second"))
    cache.relist(E, [an_endpoint("a", 5, uid="first")], 9)
    assert cache.get(key_of(E, an_endpoint("a")))["metadata"]["uid"] == "second"


def test_an_older_event_is_ignored():
    cache = Cache()
    cache.see(E, an_endpoint("a", 5))
    assert cache.see(E, an_endpoint("a", 4)) is None
    assert cache.see(E, an_endpoint("a", 5)) is None
    assert cache.see(E, an_endpoint("a", 6)) is not None


def test_a_deletion_of_a_namesake_that_is_long_gone_is_ignored():
    cache = Cache()
    cache.see(E, an_endpoint("a", 20, uid="second"))
    assert cache.gone(E, an_endpoint("a", 10, uid="first")) is None
    assert cache.get(key_of(E, an_endpoint("a"))) is not None


def test_a_recreated_object_is_a_change_although_its_version_is_unread():
    cache = Cache()
    cache.see(E, an_endpoint("a", 20, uid="first"))
    change = cache.see(E, an_endpoint("a", 25, uid="second"))
    assert (change.before["metadata"]["uid"], change.after["metadata"]["uid"]) == ("first", "second")


def test_after_a_restore_from_a_backup_the_list_is_the_truth_although_versions_went_back():
    cache = Cache()
    listed(cache, an_endpoint("kept", 90), an_endpoint("lost", 91), version=100)
    changes = listed(cache, an_endpoint("kept", 40), version=50)
    assert names(changes) == [("kept", True, True), ("lost", True, False)]


@pytest.mark.parametrize("text", ["", "abc"])
def test_a_version_that_is_no_number_does_not_stop_us(text):
    cache = Cache()
    raw = an_endpoint("a")
    raw["metadata"]["resourceVersion"] = text
    assert cache.see(E, raw) is not None
