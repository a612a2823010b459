"""Who gets which bare name."""

from itertools import permutations

from support.builders import a_model_deployment, from_server
from tandem_operator import naming
from tandem_operator.api.v1alpha1 import ModelDeployment
from tandem_operator.references import references


def a_deployment(name, *, names=(), uid=None, created="2026-01-01T00:00:00Z", has=(), **metadata):
    status = {"names": [*has, f"default/{name}"]}
    raw = a_model_deployment(name, spec={"model": {"names": list(names)}} if names else None, status=status)
    return ModelDeployment.model_validate(
        from_server(raw, uid=uid or f"uid-{name}", creationTimestamp=created, **metadata)
    )


def granted(deployment, *others):
    own, rivals = references(deployment), [references(other) for other in others]
    return naming.grant(own, {name: [rival for rival in rivals if name in rival.names] for name in own.names})


def test_without_names_a_deployment_has_its_own_and_the_one_with_its_namespace():
    assert granted(a_deployment("chat")).granted == ("chat", "default/chat")


def test_the_older_deployment_keeps_a_name():
    older = a_deployment("older", names=["chat"], created="2026-01-01T00:00:00Z", uid="z")
    younger = a_deployment("younger", names=["chat", "extra"], created="2026-01-02T00:00:00Z", uid="a")
    assert granted(older, younger).granted == ("chat", "default/older")
    assert granted(older, younger).taken == {}
    assert granted(younger, older).granted == ("extra", "default/younger")
    assert granted(younger, older).taken == {"chat": "default/older"}


def test_of_two_of_the_same_age_the_smaller_uid_keeps_it():
    first, second = a_deployment("one", names=["chat"], uid="a"), a_deployment("two", names=["chat"], uid="b")
    assert "chat" in granted(first, second).granted
    assert "chat" not in granted(second, first).granted


def test_of_two_from_the_same_second_the_one_that_has_it_keeps_it():
    first = a_deployment("first", names=["chat"], uid="b", has=["chat"])
    second = a_deployment("second", names=["chat", "other"], uid="a", has=["other"])
    assert granted(first, second).granted == ("chat", "default/first")
    assert granted(second, first).granted == ("other", "default/second")


def test_one_that_is_older_gets_its_name_back_from_one_that_has_it():
    older = a_deployment("older", names=["chat"], uid="b", created="2026-01-01T00:00:00Z")
    younger = a_deployment("younger", names=["chat"], uid="a", created="2026-01-01T00:00:01Z", has=["chat"])
    assert granted(younger, older).taken == {"chat": "default/older"}
    assert "chat" in granted(older, younger).granted


def test_a_name_has_exactly_one_owner_whatever_the_order():
    deployments = [a_deployment(name, names=["chat"], uid=name, created=f"2026-01-0{day}T00:00:00Z")
                   for name, day in (("c", 2), ("a", 2), ("b", 1), ("d", 3))]  # fmt: skip
    for order in permutations(deployments):
        owners = [d.metadata.name for d in order if "chat" in granted(d, *(o for o in order if o is not d)).granted]
        assert owners == ["b"]


def test_a_deployment_that_is_being_deleted_gives_its_names_up():
    leaving = a_deployment("leaving", names=["chat"], deletionTimestamp="2026-01-05T00:00:00Z")
    heir = a_deployment("heir", names=["chat"], created="2026-01-04T00:00:00Z")
    assert granted(heir, leaving).granted == ("chat", "default/heir")
    assert granted(leaving).granted == ("default/leaving",)
