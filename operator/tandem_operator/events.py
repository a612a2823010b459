"""Kubernetes Events from two lists of conditions: one for each transition, none for a second look. Pure."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final, NamedTuple

from tandem_operator import conditions
from tandem_operator.api.v1alpha1 import Condition, Raw

COMPONENT: Final = "tandem-operator"

_QUIET: Final = frozenset({conditions.RECONCILING})
"""Comes and goes with every edit; what it led to is told by the others."""

_BAD_WHEN_TRUE: Final = frozenset({conditions.STALLED})

_EXPECTED: Final = frozenset(
    {
        conditions.STARTING,
        conditions.NOT_DEPLOYED,
        conditions.NO_CLOUD,
        conditions.PENDING,
        conditions.DELETING,
    }
)
"""Reasons for which a condition is not met on the way to where it should be: nothing to warn of."""


class Note(NamedTuple):
    """What an Event says."""

    type: str
    """``Normal`` or ``Warning``."""

    reason: str
    message: str


def transitions(before: Iterable[Condition], after: Iterable[Condition]) -> list[Note]:
    """Return a note for each condition that turned: another status, or another reason for a bad one.

    What several conditions say with one reason is told once.
    """
    known = {condition.type: condition for condition in before}
    turned = [
        condition
        for condition in after
        if condition.type not in _QUIET and _turned(known.get(condition.type), condition)
    ]
    notes = [_note(condition) for condition in turned]
    return list({note.reason: note for note in reversed(notes)}.values())[::-1]


def make_event(about: Raw, note: Note, *, now: datetime, default_namespace: str = "default") -> Raw:
    """Return the Event object; the API server completes its name."""
    metadata = about["metadata"]
    stamp = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    namespace = metadata.get("namespace") or default_namespace
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": f"{metadata['name']}.", "namespace": namespace},
        "involvedObject": {
            "apiVersion": about["apiVersion"],
            "kind": about["kind"],
            "name": metadata["name"],
            "uid": metadata["uid"],
            **({"namespace": metadata["namespace"]} if metadata.get("namespace") else {}),
        },
        "type": note.type,
        "reason": note.reason,
        "message": note.message[:1024],
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "firstTimestamp": stamp,
        "lastTimestamp": stamp,
        "count": 1,
    }


def _turned(before: Condition | None, after: Condition) -> bool:
    if before is None:
        return after.status == "True" or after.type == conditions.READY
    return before.status != after.status or (not _is_good(after) and before.reason != after.reason)


def _note(condition: Condition) -> Note:
    kind = "Normal" if _is_good(condition) or condition.reason in _EXPECTED else "Warning"
    return Note(kind, condition.reason, f"{condition.type} is {condition.status}: {condition.message}".rstrip(": "))


def _is_good(condition: Condition) -> bool:
    return (condition.status == "True") is not (condition.type in _BAD_WHEN_TRUE)
