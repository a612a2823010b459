"""One resource on the stream: made from a dict or a document by the operator, from the wire or disk by the agent."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from envoy.config.cluster.v3 import cluster_pb2
from google.protobuf import any_pb2
from pydantic import SecretStr

from tandem_contract.documents import Credential, DeploymentPolicy, Document, EndpointPolicy, Freshness
from tandem_contract.xds import types
from tandem_contract.xds.protos import to_any

_DOCUMENTS: Final[Mapping[str, type[Document]]] = {
    types.DEPLOYMENT_POLICY: DeploymentPolicy,
    types.ENDPOINT_POLICY: EndpointPolicy,
    types.CREDENTIAL: Credential,
    types.FRESHNESS: Freshness,
}


class Key(NamedTuple):
    """Identity of a resource."""

    type_url: str
    name: str


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource and the hash of its content. Equal version = equal content."""

    key: Key
    version: str
    body: any_pb2.Any
    endpoints: str | None = None
    """Of a cluster with EDS: the name of its endpoints, which must be sent again whenever it is."""

    def __repr__(self) -> str:
        return f"Resource({self.key.type_url.rpartition('.')[2]} {self.key.name}@{self.version})"  # never a key's value


def from_dict(message: Mapping[str, Any]) -> Resource:
    """Return the resource of a plain dict with ``@type``; ``InvalidResource`` when a field does not exist."""
    key, version = identify(message)
    return from_wire(key, version, to_any(message))


def identify(message: Mapping[str, Any]) -> tuple[Key, str]:
    """Return key and version of a plain dict, which cost little beside the message itself.

    The version is the hash of the dict, not of the protobuf bytes: those differ between processes.
    """
    name = message.get("name") or message["cluster_name"]
    return Key(message["@type"], name), _hash(json.dumps(message, sort_keys=True).encode())


def from_document(document: Document) -> Resource:
    """Return the resource of a policy document, a credential or the heartbeat; refuses other documents."""
    match document:
        case DeploymentPolicy():
            key = Key(types.DEPLOYMENT_POLICY, document.deployment)
        case EndpointPolicy():
            key = Key(types.ENDPOINT_POLICY, document.endpoint)
        case Credential():
            key = Key(types.CREDENTIAL, document.endpoint)
        case Freshness():
            key = Key(types.FRESHNESS, "operator")
        case _:
            raise TypeError(f"{type(document).__name__} does not travel on the stream")
    content = json.dumps(document.model_dump(), sort_keys=True, default=_reveal).encode()
    return Resource(key, _hash(content), any_pb2.Any(type_url=key.type_url, value=content))


def from_wire(key: Key, version: str, body: any_pb2.Any) -> Resource:
    """Return a resource as another process named it."""
    return Resource(key, version, body, _endpoints_of(body) if key.type_url == types.CLUSTER else None)


def to_document(resource: Resource) -> Document:
    """Return the document that a resource carries; ``pydantic.ValidationError`` when this version cannot read it."""
    return _DOCUMENTS[resource.key.type_url].model_validate_json(resource.body.value)


def _endpoints_of(body: any_pb2.Any) -> str | None:
    cluster = cluster_pb2.Cluster()
    body.Unpack(cluster)
    if cluster.type != cluster_pb2.Cluster.EDS:
        return None
    return str(cluster.eds_cluster_config.service_name or cluster.name)


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _reveal(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    raise TypeError(f"cannot write {type(value).__name__}")
