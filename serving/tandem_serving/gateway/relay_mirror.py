"""What the operator sent, what Envoy made of it, what to answer upstream. No sockets; ``relay`` moves the messages.

Every resource that arrives is published to Envoy at once, and answered upstream only when Envoy has spoken. What Envoy
refuses is replaced by the last version that it took: ``good`` is that, and what goes to disk. Tandem's own documents
are accepted or refused here. Owners in this store are the resources themselves, one each.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import grpc
import structlog
from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf.message import DecodeError
from tandem_contract.xds import Key, Programmed, Resource, State, Store, from_wire
from tandem_contract.xds.types import ALL, ENVOY, FRESHNESS, NEVER_ON_DISK

from tandem_serving.gateway.relay_policy import PolicyReader

FRESHNESS_NAME: Final = "operator"
_LONGEST_MESSAGE: Final = 4000
_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Answer:
    """One response from upstream that was not answered yet."""

    type_url: str
    nonce: str
    waiting: dict[Key, str | None]
    """Versions that Envoy has not spoken about; None = a removal."""

    errors: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Counts:
    """What Envoy and the documents' reader made of resources so far."""

    accepted: int = 0
    rejected: int = 0


class Mirror:
    """``verdict`` tells what Envoy made of one owner's resource: ``DeltaServer.verdict``."""

    def __init__(self, store: Store, verdict: Callable[[str], Programmed]) -> None:
        self.good: dict[Key, Resource] = {}
        self.unsaved = False
        """Whether ``good`` differs from what was last taken to disk; the one who saves clears it."""

        self.counts = Counts()
        self.synced = False
        """Whether the operator's whole snapshot has arrived on this stream."""

        self.policy = PolicyReader()
        self._store = store
        self._verdict = verdict
        self._answers: list[_Answer] = []

    def restore(self, resources: Iterable[Resource], *, now_seconds: float, monotonic_seconds: float) -> None:
        """Begin from a snapshot that was written when all of it was good."""
        for resource in resources:
            if error := self._take(resource, now_seconds, monotonic_seconds):
                _log.warning("document_ignored", type=resource.key.type_url, name=resource.key.name, why=error)
            else:
                self.good[resource.key] = resource

    def hello(self, node_id: str) -> Iterator[Any]:
        """Yield the requests that begin a stream: everything, and what is here already.

        The heartbeat comes last and by name, so that its answer (or its absence) ends the snapshot.
        """
        self._answers.clear()
        self.synced = False
        node = {"id": node_id, "cluster": "tandem-gateway"}
        for type_url in ALL:
            held = {} if type_url == FRESHNESS else self._store.resources(type_url)
            yield discovery_pb2.DeltaDiscoveryRequest(
                node=node,
                type_url=type_url,
                resource_names_subscribe=[FRESHNESS_NAME if type_url == FRESHNESS else "*"],
                initial_resource_versions={name: resource.version for name, resource in held.items()},
            )

    def apply(self, response: Any, *, now_seconds: float, monotonic_seconds: float) -> None:
        """Take over one response from upstream."""
        type_url = response.type_url
        answer = _Answer(type_url, response.nonce, {})
        for wire in response.resources:
            key = Key(type_url, wire.name)
            try:
                error = self._take(from_wire(key, wire.version, wire.resource), now_seconds, monotonic_seconds)
            except DecodeError:
                error = "it cannot be decoded"
            if error is None:
                answer.waiting[key] = wire.version
            else:
                self._refuse(answer, key, error)
        for name in response.removed_resources:
            key = Key(type_url, name)
            self._store.drop(owner_of(key))
            self.policy.forget(key)
            answer.waiting[key] = None
        self._answers.append(answer)
        self.synced = self.synced or type_url == FRESHNESS
        self.settle(answer.waiting.copy())

    def settle(self, keys: Iterable[Key]) -> None:
        """Look again at resources about which Envoy may have spoken."""
        wanted = set(keys)
        for answer in self._answers:
            for key in wanted & answer.waiting.keys():
                self._settle(answer, key)

    def replies(self) -> Iterator[Any]:
        """Yield the acknowledgements and refusals that are due upstream, each once."""
        due = [answer for answer in self._answers if not answer.waiting]
        self._answers = [answer for answer in self._answers if answer.waiting]
        for answer in due:
            reply = discovery_pb2.DeltaDiscoveryRequest(type_url=answer.type_url, response_nonce=answer.nonce)
            if answer.errors:
                reply.error_detail.code = grpc.StatusCode.INVALID_ARGUMENT.value[0]
                reply.error_detail.message = _refusal(answer.errors)
            yield reply

    def _take(self, resource: Resource, now_seconds: float, monotonic_seconds: float) -> str | None:
        """Publish one resource, or return why it cannot be read; then what it replaces is withdrawn as well."""
        key = resource.key
        try:
            self.policy.take(resource, now_seconds=now_seconds, monotonic_seconds=monotonic_seconds)
        except ValueError as error:
            self._store.drop(owner_of(key))
            return str(error)
        self._store.put(owner_of(key), [resource])
        return None

    def _settle(self, answer: _Answer, key: Key) -> None:
        """Book what is known about one resource of an answer."""
        version = answer.waiting[key]
        current = self._store.get(key)
        if (current.version if current else None) != version:  # a later response speaks about it
            del answer.waiting[key]
            return
        verdict = self._verdict(owner_of(key)) if key.type_url in ENVOY else Programmed(State.YES)
        if verdict.state is State.REJECTED:
            self._refuse(answer, key, verdict.message)
        elif verdict.state is State.YES:
            del answer.waiting[key]
            self.counts.accepted += 1
            self._remember(key, current)

    def _refuse(self, answer: _Answer, key: Key, error: str) -> None:
        """Book a refusal and go back to the last good version; a document that cannot be read has none."""
        _log.error("resource_refused", type=key.type_url, name=key.name, why=error)
        self.counts.rejected += 1
        answer.waiting.pop(key, None)
        answer.errors[key.name] = error
        if key.type_url not in ENVOY:
            self._remember(key, None)
        elif key in self.good:
            self._store.put(owner_of(key), [self.good[key]])
        else:
            self._store.drop(owner_of(key))

    def _remember(self, key: Key, resource: Resource | None) -> None:
        """Keep what was accepted last; None = its removal."""
        if key.type_url in NEVER_ON_DISK:
            return
        before = self.good.pop(key, None)
        if resource is not None:
            self.good[key] = resource
        if (before.version if before else None) != (resource.version if resource else None):
            self.unsaved = True


def owner_of(key: Key) -> str:
    """Return the owner of a resource in the agent's store: itself."""
    return f"{key.type_url} {key.name}"


def key_of(owner: str) -> Key:
    type_url, _, name = owner.partition(" ")
    return Key(type_url, name)


def _refusal(errors: dict[str, str]) -> str:
    return "; ".join(f"{name}: {error}" for name, error in errors.items())[:_LONGEST_MESSAGE]
