"""Who may lead, from a Lease and a clock. Pure; ``election`` reads and writes the Lease.

As in client-go: clocks of two machines are never compared. A follower notes on its own monotonic clock when it saw
the Lease change, and takes it when it stayed the same for its whole duration.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from tandem_operator.api.v1alpha1 import Raw

LONGEST_RETRY: Final = 1.2
"""Waits between attempts are up to so many times the time that is set, which spreads candidates."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How long things may take, in seconds."""

    duration_seconds: float = 15.0
    """A Lease that did not change for this long is free."""

    deadline_seconds: float = 10.0
    """A leader that could not renew for this long does not write any more; below the duration."""

    retry_seconds: float = 2.0
    """Between two attempts, up to ``LONGEST_RETRY`` times as long."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """A Lease as it was last seen to change."""

    lease: Raw | None
    """None = there is none."""

    at: float
    """When it was first seen so, in seconds of this process's monotonic clock."""


def sight(before: Sighting | None, lease: Raw | None, now: float) -> Sighting:
    """Return the sighting after a read: only a changed Lease starts the time anew."""
    if before is not None and _record(before.lease) == _record(lease):
        return Sighting(lease, before.at)
    return Sighting(lease, now)


def holder(lease: Raw | None) -> str:
    """Return the identity that holds a Lease, empty when nobody does."""
    return str(_record(lease).get("holderIdentity") or "")


def may_take(sighting: Sighting, me: str, now: float) -> bool:
    """Tell whether ``me`` may write its name on the Lease now."""
    record = _record(sighting.lease)
    duration = float(record.get("leaseDurationSeconds") or 0)
    return holder(sighting.lease) in ("", me) or now >= sighting.at + duration


def taken(sighting: Sighting, me: str, terms: Terms, *, namespace: str, name: str, wall: datetime) -> Raw:
    """Return the Lease as ``me`` writes it to take or renew it; ``wall`` is for people who read it."""
    record = _record(sighting.lease)
    renewed = holder(sighting.lease) == me
    stamp = wall.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    transitions = int(record.get("leaseTransitions") or 0)
    spec = {
        "holderIdentity": me,
        "leaseDurationSeconds": math.ceil(terms.duration_seconds),  # followers go by this: never below the deadline
        "acquireTime": record.get("acquireTime", stamp) if renewed else stamp,
        "renewTime": stamp,
        "leaseTransitions": transitions if renewed or sighting.lease is None else transitions + 1,
    }
    return _lease(sighting.lease, spec, namespace=namespace, name=name)


def released(lease: Raw, *, wall: datetime) -> Raw:
    """Return the Lease as its holder writes it when it ends: free at once."""
    metadata = lease["metadata"]
    spec = {
        **_record(lease),
        "holderIdentity": "",
        "leaseDurationSeconds": 1,
        "renewTime": wall.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
    }
    return _lease(lease, spec, namespace=metadata["namespace"], name=metadata["name"])


def writable_seconds(renewed_at: float | None, terms: Terms, now: float) -> float:
    """Return for how long a leader may still write; ``renewed_at`` is when it *sent* its last good renewal."""
    return 0.0 if renewed_at is None else max(0.0, renewed_at + terms.deadline_seconds - now)


def _record(lease: Raw | None) -> Mapping[str, Any]:
    return (lease or {}).get("spec") or {}


def _lease(lease: Raw | None, spec: Mapping[str, Any], *, namespace: str, name: str) -> Raw:
    metadata: dict[str, Any] = {"namespace": namespace, "name": name}
    if lease is not None:
        metadata["resourceVersion"] = lease["metadata"]["resourceVersion"]
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": dict(spec)}
