"""One client's side of the delta protocol: what it asked for, what it was sent, what it accepted.

``DeltaServer`` feeds it requests and changes and sends what ``next_response`` returns. No sockets are here, no clock.
Refused batches are halved and sent again until the one resource that is wrong is known by name.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from envoy.service.discovery.v3 import discovery_pb2

from tandem_contract.xds.resources import Key, Resource
from tandem_contract.xds.store import Store
from tandem_contract.xds.types import CLUSTER, ENDPOINTS

WILDCARD: Final = "*"
MAX_RESPONSE_BYTES: Final = 8 * 1024 * 1024
_UNKNOWN_VERSION: Final = ""


class State(StrEnum):
    """How far what was published has come."""

    NO_GATEWAY = "NoGateway"
    PENDING = "Pending"
    REJECTED = "Rejected"
    YES = "Yes"


@dataclass(frozen=True, slots=True)
class Programmed:
    """Whether every connected client has accepted what an owner publishes now, removals included."""

    state: State
    message: str = ""
    """Of a rejection: the client's own words."""

    client: str = ""
    """Of a rejection: the node name of who refused."""


@dataclass(slots=True)
class _Subscription:
    wildcard: bool = False
    names: set[str] = field(default_factory=set)
    sent: dict[str, str | None] = field(default_factory=dict)
    """Version that the client has or is about to get; None = it was told that there is none."""
    due: dict[str, None] = field(default_factory=dict)
    """Names to look at, oldest first."""
    unknown: set[str] = field(default_factory=set)
    """What the client has and a store that is not complete does not know: left alone until it is."""

    unanswered: bool = False
    """Whether the client waits to hear that there is nothing: Envoy asks for listeners when it knows its clusters."""

    def wants(self, name: str) -> bool:
        return self.wildcard or name in self.names


@dataclass(frozen=True, slots=True)
class _Rejection:
    version: str
    message: str


@dataclass(frozen=True, slots=True)
class _Sent:
    type_url: str
    versions: Mapping[str, str | None]


class Session:
    """The state of one stream, for the types in ``types`` and in their order.

    Of a store that is not ``complete``, what it lacks may still exist: nothing is removed for that alone.
    """

    def __init__(self, store: Store, types: Sequence[str], *, complete: bool = True) -> None:
        self.node = ""
        self._store = store
        self._complete = complete
        self._types = types
        self._subscriptions: dict[str, _Subscription] = {}
        self._in_flight: dict[str, _Sent] = {}
        self._again: list[_Sent] = []
        self._accepted: dict[Key, str] = {}
        self._rejected: dict[Key, _Rejection] = {}
        self._leaving: dict[Key, str] = {}
        self._leaving_of: Counter[str] = Counter()
        self._nonce = 0

    def knows(self, type_url: str) -> bool:
        """Whether the client has asked for a type."""
        return type_url in self._subscriptions

    def receive(self, request: Any) -> frozenset[str]:
        """Take in a request; return the owners whose verdict may have changed."""
        self.node = request.node.id or self.node
        if request.type_url not in self._types:
            return frozenset()
        owners = self._settle(request)
        subscription = self._subscriptions.get(request.type_url)
        if subscription is None:
            owners |= self._subscribe_first(request)
        else:
            self._subscribe(request.type_url, subscription, request)
        return owners

    def complete(self) -> None:
        """Take the store for the whole truth from now on: what it does not know is removed."""
        self._complete = True
        for subscription in self._subscriptions.values():
            subscription.due.update(dict.fromkeys(subscription.unknown))
            subscription.unknown.clear()

    def mark(self, changes: Mapping[Key, str]) -> None:
        """Take note of keys that changed in the store, each with the owner that changed it."""
        for key, owner in changes.items():
            subscription = self._subscriptions.get(key.type_url)
            if subscription is None:
                continue
            subscription.due[key.name] = None
            self._left(key)
            if self._store.get(key) is not None:
                continue  # a rejection holds for its version, which may come back unchanged and is not sent again then
            self._rejected.pop(key, None)
            if subscription.sent.get(key.name) is not None:
                self._leaving[key] = owner
                self._leaving_of[owner] += 1

    def next_response(self) -> Any | None:
        """Return the next message to send, or None when the client has or is getting everything."""
        while self._again:
            again = self._again.pop(0)
            subscription = self._subscriptions[again.type_url]
            if response := self._respond(again.type_url, subscription, again.versions):
                return response
        for type_url in self._types:
            wanted = self._subscriptions.get(type_url)
            while wanted is not None and (wanted.due or wanted.unanswered):
                if response := self._respond(type_url, wanted, tuple(wanted.due)):
                    return response
        return None

    def verdict(self, owner: str) -> Programmed:
        """Return what this client made of ``owner``'s resources."""
        pending = self._leaving_of[owner] > 0
        for key, resource in self._store.owned_by(owner).items():
            if key.type_url not in self._types or self._accepted.get(key) == resource.version:
                continue
            rejection = self._rejected.get(key)
            if rejection is not None and rejection.version == resource.version:
                return Programmed(State.REJECTED, rejection.message, self.node)
            pending = True
        return Programmed(State.PENDING if pending else State.YES)

    def _settle(self, request: Any) -> frozenset[str]:
        """Book the acknowledgement or refusal that a request carries."""
        sent = self._in_flight.pop(request.response_nonce, None)
        if sent is None:
            return frozenset()
        owners = {self._owner_of(Key(sent.type_url, name)) for name in sent.versions}
        if request.HasField("error_detail") and not self._reject(sent, request.error_detail.message):
            return frozenset()
        if not request.HasField("error_detail"):
            self._accept(sent)
        return frozenset(owner for owner in owners if owner is not None)

    def _owner_of(self, key: Key) -> str | None:
        return self._leaving.get(key) or self._store.owner_of(key)

    def _left(self, key: Key) -> None:
        """Forget that a removed resource is still with the client."""
        owner = self._leaving.pop(key, None)
        if owner is not None:
            self._leaving_of[owner] -= 1
            if not self._leaving_of[owner]:
                del self._leaving_of[owner]

    def _accept(self, sent: _Sent) -> None:
        for name, version in sent.versions.items():
            key = Key(sent.type_url, name)
            self._rejected.pop(key, None)
            if version is not None:
                self._accepted[key] = version
                continue
            self._accepted.pop(key, None)
            if self._store.get(key) is None:
                self._left(key)

    def _reject(self, sent: _Sent, message: str) -> bool:
        """Book a refusal; return False while it is not known which resource is meant."""
        subscription = self._subscriptions[sent.type_url]
        items = list(sent.versions.items())
        if not items:
            return True
        if len(items) > 1:
            for part in (items[: len(items) // 2], items[len(items) // 2 :]):
                subscription.sent.update((name, _UNKNOWN_VERSION) for name, _ in part if subscription.wants(name))
                self._again.append(_Sent(sent.type_url, dict(part)))
            return False
        ((name, version),) = items
        if version is None:  # a removal cannot be refused
            self._accept(sent)
        else:
            self._rejected[Key(sent.type_url, name)] = _Rejection(version, message)
        return True

    def _subscribe_first(self, request: Any) -> frozenset[str]:
        """Book the first request of a type: what the client wants, and what it still has from an earlier stream.

        Return the owners of what it has: nothing more will be said about what is still the same.
        """
        names = set(request.resource_names_subscribe)
        has: dict[str, str | None] = dict(request.initial_resource_versions)
        subscription = _Subscription(wildcard=WILDCARD in names or not names, names=names - {WILDCARD}, sent=has)
        self._subscriptions[request.type_url] = subscription
        published = self._store.resources(request.type_url)
        wanted: Iterable[str] = published if subscription.wildcard else subscription.names
        subscription.due = dict.fromkeys([*wanted, *has])
        if not self._complete:
            subscription.unknown = {name for name in has if name not in published}
            for name in subscription.unknown:
                del subscription.due[name]
        subscription.unanswered = subscription.wildcard and not has
        owners = set()
        for name, version in request.initial_resource_versions.items():
            key = Key(request.type_url, name)
            self._accepted[key] = version
            owners.add(self._store.owner_of(key))
        return frozenset(owner for owner in owners if owner is not None)

    def _subscribe(self, type_url: str, subscription: _Subscription, request: Any) -> None:
        for name in request.resource_names_subscribe:
            if name == WILDCARD:
                subscription.wildcard = True
                subscription.due.update(dict.fromkeys(self._store.resources(type_url)))
                continue
            subscription.names.add(name)
            subscription.sent.pop(name, None)  # who asks again gets it again
            subscription.due[name] = None
        for name in request.resource_names_unsubscribe:
            self._unsubscribe(type_url, subscription, name)

    def _unsubscribe(self, type_url: str, subscription: _Subscription, name: str) -> None:
        if name == WILDCARD:
            subscription.wildcard = False
            return
        subscription.names.discard(name)
        if not subscription.wildcard:
            subscription.sent.pop(name, None)
            self._accepted.pop(Key(type_url, name), None)
            self._left(Key(type_url, name))

    def _respond(self, type_url: str, subscription: _Subscription, names: Iterable[str]) -> Any | None:
        """Return one message about the first of ``names`` that the client lacks, at most ``MAX_RESPONSE_BYTES``."""
        versions: dict[str, str | None] = {}
        resources: list[Resource] = []
        size = 0
        for name in names:
            resource = self._store.get(Key(type_url, name))
            if resource is not None and size and size + resource.body.ByteSize() > MAX_RESPONSE_BYTES:
                break
            subscription.due.pop(name, None)
            if resource is not None and subscription.wants(name) and subscription.sent.get(name) != resource.version:
                size += resource.body.ByteSize()
                resources.append(resource)
                versions[name] = resource.version
            elif resource is None and self._must_hear_of_absence(subscription, name):
                versions[name] = None
        if not versions and not subscription.unanswered:
            return None
        subscription.unanswered = False
        self._book(type_url, subscription, versions, resources)
        self._nonce += 1
        nonce = str(self._nonce)
        self._in_flight[nonce] = _Sent(type_url, versions)
        return discovery_pb2.DeltaDiscoveryResponse(
            type_url=type_url,
            nonce=nonce,
            resources=[discovery_pb2.Resource(name=r.key.name, version=r.version, resource=r.body) for r in resources],
            removed_resources=[name for name, version in versions.items() if version is None],
        )

    def _must_hear_of_absence(self, subscription: _Subscription, name: str) -> bool:
        if name in subscription.sent:
            return subscription.sent[name] is not None
        return name in subscription.names

    def _book(
        self,
        type_url: str,
        subscription: _Subscription,
        versions: Mapping[str, str | None],
        resources: Iterable[Resource],
    ) -> None:
        for name, version in versions.items():
            if version is None and name not in subscription.names:
                subscription.sent.pop(name, None)
            else:
                subscription.sent[name] = version
        if type_url == CLUSTER:
            for resource in resources:
                self._send_endpoints_again(resource)

    def _send_endpoints_again(self, cluster: Resource) -> None:
        """Envoy waits about 15 s for the endpoints of a cluster that came again, unless they come again too."""
        subscription = self._subscriptions.get(ENDPOINTS)
        if cluster.endpoints is None or subscription is None or not subscription.wants(cluster.endpoints):
            return
        if cluster.endpoints in subscription.sent:
            subscription.sent[cluster.endpoints] = _UNKNOWN_VERSION
        subscription.due[cluster.endpoints] = None
