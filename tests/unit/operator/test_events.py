"""Events tell of transitions, once."""

from datetime import UTC, datetime

from support.builders import a_cloud_endpoint, a_model_deployment, from_server
from tandem_operator import conditions, events
from tandem_operator.conditions import Finding

NOW = datetime(2026, 5, 1, tzinfo=UTC)


def a_list(**findings):
    found = ()
    for type_, (status, reason) in findings.items():
        found = conditions.set_condition(found, type_, Finding(status, reason), generation=1, now=NOW)
    return found


def told(before, after):
    return [(note.type, note.reason) for note in events.transitions(before, after)]


def test_nothing_is_told_of_what_did_not_turn():
    same = a_list(Ready=("True", "LocalAnswers"), LocalAvailable=("True", "ReplicasReady"))
    assert told(same, same) == []


def test_a_message_alone_is_no_transition():
    before = conditions.set_condition((), "Ready", Finding("True", "LocalAnswers", "1 of 2"), generation=1, now=NOW)
    after = conditions.set_condition((), "Ready", Finding("True", "LocalAnswers", "2 of 2"), generation=1, now=NOW)
    assert told(before, after) == []


def test_a_turn_is_told_with_its_reason():
    before, after = a_list(LocalAvailable=("True", "ReplicasReady")), a_list(LocalAvailable=("False", "Unhealthy"))
    assert told(before, after) == [("Warning", "Unhealthy")]
    assert told(after, before) == [("Normal", "ReplicasReady")]


def test_another_reason_for_the_same_trouble_is_told():
    before, after = a_list(LocalAvailable=("False", "Starting")), a_list(LocalAvailable=("False", "DeployFailed"))
    assert told(before, after) == [("Warning", "DeployFailed")]


def test_another_reason_for_being_well_is_not_told():
    before, after = a_list(Ready=("True", "Bridged")), a_list(Ready=("True", "LocalAnswers"))
    assert told(before, after) == []


def test_what_is_on_its_way_is_no_warning():
    assert told((), a_list(Ready=("False", "Starting"), LocalAvailable=("False", "Starting"))) == [
        ("Normal", "Starting")
    ]


def test_roll_outs_are_not_told_and_stalls_are_warnings():
    assert told((), a_list(Reconciling=("True", "RollingOut"), Stalled=("True", "DeployFailed"))) == [
        ("Warning", "DeployFailed")
    ]


def test_what_several_conditions_say_is_told_once_by_the_first():
    after = a_list(Ready=("False", "UnknownRayCluster"), Stalled=("True", "UnknownRayCluster"))
    (note,) = events.transitions((), after)
    assert note.message.startswith("Ready")


def test_an_event_is_about_its_object_and_lies_in_its_namespace():
    note = events.Note("Normal", "Ready", "x" * 3000)
    event = events.make_event(from_server(a_model_deployment("chat", namespace="team")), note, now=NOW)
    assert event["metadata"] == {"generateName": "chat.", "namespace": "team"}
    assert event["involvedObject"]["namespace"] == "team"
    assert len(event["message"]) == 1024


def test_an_event_about_a_cluster_scoped_object_lies_in_default():
    note = events.Note("Normal", "Ready", "")
    event = events.make_event(from_server(a_cloud_endpoint("eu")), note, now=NOW)
    assert event["metadata"]["namespace"] == "default"
    assert "namespace" not in event["involvedObject"]
