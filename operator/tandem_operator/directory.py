"""Who refers to whom, kept up to date change by change. Pure; ``observing`` feeds it, reconcilers ask it.

A ModelDeployment that does not parse keeps what it referred to when it last did, see ``references``. A CloudEndpoint
that does not parse is not in here: nothing leaves through it. Either's own reconcile says why.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from tandem_operator.api.v1alpha1 import CloudEndpoint, ModelDeployment, Raw
from tandem_operator.cache import Change, Key, Kind
from tandem_operator.errors import Reject
from tandem_operator.parsing import T, parse
from tandem_operator.references import References, last_known, references


class Directory:
    """Typed objects by key, and the references between them."""

    def __init__(self) -> None:
        self._deployments: dict[Key, ModelDeployment] = {}
        self._references: dict[Key, References] = {}
        self._endpoints: dict[str, CloudEndpoint] = {}
        self._labels: dict[str, Mapping[str, str]] = {}
        self._claims: defaultdict[str, set[Key]] = defaultdict(set)
        self._users: defaultdict[str, set[Key]] = defaultdict(set)
        self._inhabitants: defaultdict[str, set[Key]] = defaultdict(set)

    @property
    def endpoints(self) -> Mapping[str, CloudEndpoint]:
        """The CloudEndpoints that exist, by name."""
        return self._endpoints

    @property
    def namespaces(self) -> Mapping[str, Mapping[str, str]]:
        """Labels of every namespace that exists."""
        return self._labels

    def deployments(self) -> Iterator[ModelDeployment]:
        """Return those whose spec is understood."""
        return iter(self._deployments.values())

    def users(self, endpoint: str) -> list[str]:
        """Return the deployments that name an endpoint, as ``namespace/name``, in order."""
        return sorted(f"{key.namespace}/{key.name}" for key in self._users.get(endpoint, ()))

    def user_keys(self, endpoint: str) -> set[Key]:
        return set(self._users.get(endpoint, ()))

    def claimants(self, own: References) -> dict[str, list[References]]:
        """Return, for each bare name that one deployment claims, the others that claim it too."""
        return {
            name: [self._references[key] for key in self._claims.get(name, ()) if not _is(key, own)]
            for name in own.names
        }

    def take(self, change: Change) -> set[Key]:
        """Take in a change and return the keys that must be looked at because of it, its own among them."""
        match change.key.kind:
            case Kind.DEPLOYMENT:
                return self._take_deployment(change)
            case Kind.ENDPOINT:
                return self._take_endpoint(change)
            case Kind.NAMESPACE:
                return self._take_namespace(change)

    def _take_deployment(self, change: Change) -> set[Key]:
        deployment = _parsed(ModelDeployment, change.after)
        self._deployments.pop(change.key, None)
        if deployment is not None:
            self._deployments[change.key] = deployment
        before, after = self._references.pop(change.key, None), _refers(deployment, change.after)
        for refers in (before, after):
            self._index(change.key, refers, add=refers is after)
        if after is not None:
            self._references[change.key] = after
        if before is not None and after is not None and _same(before, after):
            return {change.key} if before.held == after.held else {change.key, *self._rivals(after)}
        return {change.key, *self._rivals(before, after), *_endpoint_keys(before, after)}

    def _take_endpoint(self, change: Change) -> set[Key]:
        name = change.key.name
        before = self._endpoints.pop(name, None)
        after = _parsed(CloudEndpoint, change.after)
        if after is not None:
            self._endpoints[name] = after
        if (
            before is not None
            and after is not None
            and before.metadata.uid == after.metadata.uid
            and before.metadata.generation == after.metadata.generation
        ):
            return {change.key}
        return {change.key, *self.user_keys(name)}

    def _take_namespace(self, change: Change) -> set[Key]:
        name = change.key.name
        before = self._labels.pop(name, None)
        if change.after is not None:
            self._labels[name] = change.after["metadata"].get("labels") or {}
        if before == self._labels.get(name):
            return set()
        inhabitants = self._inhabitants.get(name, set())
        return inhabitants | set(_endpoint_keys(*(self._references[key] for key in inhabitants)))

    def _index(self, key: Key, refers: References | None, *, add: bool) -> None:
        if refers is None:
            return
        places = [
            *(self._claims[name] for name in refers.names),
            *(self._users[endpoint] for endpoint in refers.endpoints),
            self._inhabitants[key.namespace],
        ]
        for place in places:
            (place.add if add else place.discard)(key)

    def _rivals(self, *references: References | None) -> Iterable[Key]:
        for refers in references:
            if refers is not None:
                for name in refers.names:
                    yield from self._claims.get(name, ())


def _parsed(model: type[T], raw: Raw | None) -> T | None:
    if raw is None:
        return None
    try:
        return parse(model, raw)
    except Reject:
        return None


def _refers(deployment: ModelDeployment | None, raw: Raw | None) -> References | None:
    if deployment is not None:
        return references(deployment)
    return None if raw is None else last_known(raw)


def _same(before: References, after: References) -> bool:
    """Tell whether spec and age are as they were: others see no more than the names that the status says it has."""
    old, new = before.metadata, after.metadata
    if (before.names, before.endpoints) != (after.names, after.endpoints):
        return False
    return (old.uid, old.generation, old.deletion_timestamp) == (new.uid, new.generation, new.deletion_timestamp)


def _endpoint_keys(*references: References | None) -> Iterator[Key]:
    for refers in references:
        if refers is not None:
            yield from (Key(Kind.ENDPOINT, "", endpoint) for endpoint in refers.endpoints)


def _is(key: Key, refers: References) -> bool:
    return (key.namespace, key.name) == (refers.metadata.namespace, refers.metadata.name)
