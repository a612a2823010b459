"""What one ModelDeployment refers to: names that it claims, endpoints that it names. Pure.

Used by ``directory`` and ``naming``. One whose spec this version does not understand exists all the same. Its names and
its use of endpoints count as they were last understood, or as far as they can be read, so that nobody loses or gains
anything by it.
"""

from dataclasses import dataclass

from tandem_operator.api.v1alpha1 import ModelDeployment, ModelDeploymentStatus, ObjectMeta, Raw
from tandem_operator.parsing import parse_status


@dataclass(frozen=True, slots=True)
class References:
    """Of one deployment."""

    metadata: ObjectMeta
    names: tuple[str, ...] = ()
    """Bare model names that it claims; one that is being deleted claims none."""

    held: frozenset[str] = frozenset()
    """Names that its status says it has."""

    endpoints: tuple[str, ...] = ()


def references(deployment: ModelDeployment) -> References:
    """Return what a spec says."""
    metadata, spec = deployment.metadata, deployment.spec
    leaving = metadata.deletion_timestamp is not None
    names = () if leaving else tuple(dict.fromkeys(spec.model.names or (metadata.name,)))
    endpoints = tuple(choice.name for choice in spec.cloud.endpoints)
    return References(metadata, names, frozenset(deployment.status.names), endpoints)


def last_known(raw: Raw) -> References:
    """Return what is known of an object that is not understood: names that it was granted, endpoints that it names."""
    metadata = ObjectMeta.model_validate(raw["metadata"])
    if metadata.deletion_timestamp is not None:
        return References(metadata)
    granted = parse_status(ModelDeploymentStatus, raw).names
    bare = tuple(name for name in granted if "/" not in name)
    return References(metadata, bare, frozenset(granted), _endpoints(raw))


def _endpoints(raw: Raw) -> tuple[str, ...]:
    try:
        return tuple(str(choice["name"]) for choice in raw["spec"]["cloud"]["endpoints"])
    except (KeyError, TypeError):
        return ()
