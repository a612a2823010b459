"""Who gets which bare model name. Pure; asked by ``reconcile_deployment`` with those that claim one.

The older deployment keeps a name. An API server tells ages in whole seconds: of two from the same one, that keeps it
whose status says so already, then the one with the smaller uid. So every reader of the same objects comes to the same
answer, and no name moves to somebody who came later, once the status is written. ``namespace/name`` always leads to
its deployment and cannot be claimed: a name has no ``/``.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from tandem_operator import names
from tandem_operator.observed import Names
from tandem_operator.references import References

_NEVER = datetime.max.replace(tzinfo=UTC)


def grant(own: References, others: Mapping[str, Iterable[References]]) -> Names:
    """Return what one deployment gets; ``others`` maps each name to the other deployments that claim it."""
    metadata = own.metadata
    keepers = {name: _eldest(name, [own, *others.get(name, ())]).metadata for name in own.names}
    key = names.key(metadata.namespace, metadata.name)
    granted = [name for name, keeper in keepers.items() if keeper.uid == metadata.uid]
    taken = {
        name: names.key(keeper.namespace, keeper.name) for name, keeper in keepers.items() if keeper.uid != metadata.uid
    }
    return Names(granted=(*granted, key), taken=taken)


def _eldest(name: str, claimants: Iterable[References]) -> References:
    def seniority(claimant: References) -> tuple[datetime, bool, str]:
        metadata = claimant.metadata
        return metadata.creation_timestamp or _NEVER, name not in claimant.held, metadata.uid

    return min(claimants, key=seniority)
