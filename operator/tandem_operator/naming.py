"""Who gets which bare model name. Pure; asked by ``reconcile`` with the deployments that claim one.

The older deployment keeps a name, then the one with the smaller uid, so that every reader of the same objects comes
to the same answer. ``namespace/name`` always leads to its deployment and cannot be claimed: a name has no ``/``.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from tandem_operator import names
from tandem_operator.api.v1alpha1 import ModelDeployment, ObjectMeta
from tandem_operator.observed import Names

_NEVER = datetime.max.replace(tzinfo=UTC)


def claimed(deployment: ModelDeployment) -> tuple[str, ...]:
    """Return the bare names that a deployment asks for; one that is being deleted asks for none."""
    if deployment.metadata.deletion_timestamp is not None:
        return ()
    return tuple(dict.fromkeys(deployment.spec.model.names or (deployment.metadata.name,)))


def grant(deployment: ModelDeployment, others: Mapping[str, Iterable[ObjectMeta]]) -> Names:
    """Return what ``deployment`` gets; ``others`` maps each name to the other deployments that claim it."""
    metadata = deployment.metadata
    keepers = {name: min([metadata, *others.get(name, ())], key=_seniority) for name in claimed(deployment)}
    own = names.key(metadata.namespace, metadata.name)
    granted = [name for name, keeper in keepers.items() if keeper.uid == metadata.uid]
    taken = {
        name: names.key(keeper.namespace, keeper.name) for name, keeper in keepers.items() if keeper.uid != metadata.uid
    }
    return Names(granted=(*granted, own), taken=taken)


def _seniority(metadata: ObjectMeta) -> tuple[datetime, str]:
    return metadata.creation_timestamp or _NEVER, metadata.uid
