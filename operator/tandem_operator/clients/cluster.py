"""The Kubernetes API in raw JSON. Used by the reconcilers, ``election`` and ``internal_secrets``; decides nothing.

Every write of an object goes through the fence: it says how many seconds this process may still believe that it
leads, the request may not take longer, and without any left nothing is sent. Only the Lease itself is exempt.
What is applied names the uid that it is meant for, so a write never lands on (or creates) a namesake.
"""

import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final, NamedTuple

import aiohttp
from kubernetes.aio import client, config

from tandem_operator import names
from tandem_operator.api.v1alpha1 import Raw
from tandem_operator.cache import Kind
from tandem_operator.errors import Retry
from tandem_operator.metrics import Metrics

_READ_SECONDS: Final = 10.0
_LIST_SECONDS: Final = 60.0
_WRITE_SECONDS: Final = 10.0


class Conflict(Retry):
    """Somebody else wrote first, or the object is not the one that was read: read again and decide anew."""


class Forbidden(Retry):
    """The operator's ServiceAccount lacks a right, or an API server that has just started does not know of it yet."""


class NotLeader(Retry):
    """Nothing was sent: another process may lead by now, and it will."""


class Resource(NamedTuple):
    """Where objects of one kind live in the API."""

    base: str
    plural: str
    namespaced: bool = True

    def path(self, namespace: str, name: str = "", subresource: str = "") -> str:
        parts = [self.base, *(("namespaces", namespace) if self.namespaced and namespace else ()), self.plural]
        return "/".join([*parts, *(part for part in (name, subresource) if part)])


_TANDEM: Final = f"/apis/{names.GROUP}/v1alpha1"
DEPLOYMENTS: Final = Resource(_TANDEM, "modeldeployments")
ENDPOINTS: Final = Resource(_TANDEM, "cloudendpoints", namespaced=False)
NAMESPACES: Final = Resource("/api/v1", "namespaces", namespaced=False)
SECRETS: Final = Resource("/api/v1", "secrets")
EVENTS: Final = Resource("/api/v1", "events")
LEASES: Final = Resource("/apis/coordination.k8s.io/v1", "leases")

RESOURCE_OF: Final[Mapping[Kind, Resource]] = {
    Kind.DEPLOYMENT: DEPLOYMENTS,
    Kind.ENDPOINT: ENDPOINTS,
    Kind.NAMESPACE: NAMESPACES,
}


class Listing(NamedTuple):
    items: list[Raw]
    version: int
    """Resource version of the list."""


async def connect(identity: str) -> client.ApiClient:
    """Return a client with the rights of this pod's ServiceAccount, or of ``KUBECONFIG`` outside a cluster.

    ``identity`` tells the operator's replicas apart in the API server's audit log.
    """
    settings = client.Configuration()
    settings.client_session_kwargs = {"trust_env": False}  # the API server is never behind the proxy of the cloud path
    try:
        config.load_incluster_config(client_configuration=settings)
    except config.ConfigException:
        await config.load_kube_config(client_configuration=settings)
    api = client.ApiClient(settings)
    api.user_agent = f"tandem-operator ({identity})"
    return api


class Cluster:
    """One API server; ``fence`` returns the seconds for which writing is safe, 0 = not at all."""

    def __init__(self, api: client.ApiClient, metrics: Metrics, *, fence: Callable[[], float]) -> None:
        self._api = api
        self._metrics = metrics
        self._fence = fence

    async def get(self, resource: Resource, namespace: str, name: str) -> Raw | None:
        """Return an object as it is now, not as a cache has it; None = it does not exist."""
        status, body = await self._request("GET", resource.path(namespace, name), seconds=_READ_SECONDS)
        return None if status == HTTPStatus.NOT_FOUND else _checked(status, body)

    async def list_all(self, kind: Kind) -> Listing:
        """Return all objects of one kind, complete or not at all."""
        status, body = await self._request("GET", RESOURCE_OF[kind].path(""), seconds=_LIST_SECONDS)
        listing = _checked(status, body)
        return Listing(listing["items"], int(listing["metadata"]["resourceVersion"]))

    async def apply_status(self, resource: Resource, raw: Raw, status: Mapping[str, Any]) -> Raw:
        """Set the whole status of the object that ``raw`` is, and return the object as it is then."""
        return await self._apply(resource, raw, {"status": status}, subresource="status")

    async def apply_finalizers(self, resource: Resource, raw: Raw, finalizers: list[str]) -> Raw:
        """Set which finalizers of the object that ``raw`` is are ours, and return the object as it is then."""
        return await self._apply(resource, raw, {"metadata": {"finalizers": finalizers}})

    async def remove_finalizer(self, resource: Resource, raw: Raw, finalizer: str) -> None:
        """Take a finalizer off exactly the object that was read; ``Conflict`` when it changed since.

        Not by server-side apply: an entry that a user's manifest lists too would stay, and deletion would never end.
        """
        metadata = raw["metadata"]
        body = {
            "metadata": {
                "uid": metadata["uid"],
                "resourceVersion": metadata["resourceVersion"],
                "finalizers": [entry for entry in metadata.get("finalizers", []) if entry != finalizer],
            }
        }
        path = resource.path(metadata.get("namespace", ""), metadata["name"])
        await self._write("PATCH", resource, path, body, "application/merge-patch+json")

    async def create(self, resource: Resource, body: Raw) -> Raw:
        """Create an object; ``Conflict`` when it exists."""
        path = resource.path(body["metadata"].get("namespace", ""))
        return await self._write("POST", resource, path, body, "application/json")

    async def replace(self, resource: Resource, body: Raw) -> Raw:
        """Replace an object, ``resourceVersion`` as it was read; ``Conflict`` when it changed since."""
        metadata = body["metadata"]
        path = resource.path(metadata.get("namespace", ""), metadata["name"])
        return await self._write("PUT", resource, path, body, "application/json")

    async def write_lease(self, body: Raw, *, seconds: float) -> Raw:
        """Create the Lease, or replace the version that ``body`` names; ``Conflict`` when another was faster."""
        metadata = body["metadata"]
        exists = "resourceVersion" in metadata
        path = LEASES.path(metadata["namespace"], metadata["name"] if exists else "")
        status, answer = await self._request("PUT" if exists else "POST", path, body=body, seconds=seconds)
        return _checked(status, answer)

    async def _apply(self, resource: Resource, raw: Raw, fields: Raw, *, subresource: str = "") -> Raw:
        metadata = raw["metadata"]
        namespace, name = metadata.get("namespace", ""), metadata["name"]
        identity = {key: metadata[key] for key in ("name", "namespace", "uid") if key in metadata}
        body = {
            **fields,
            "apiVersion": raw["apiVersion"],
            "kind": raw["kind"],
            "metadata": {**fields.get("metadata", {}), **identity},
        }
        path = f"{resource.path(namespace, name, subresource)}?fieldManager={names.FIELD_MANAGER}&force=true"
        return await self._write("PATCH", resource, path, body, "application/apply-patch+yaml")

    async def _write(self, method: str, resource: Resource, path: str, body: Raw, content_type: str) -> Raw:
        seconds = self._fence()
        if seconds <= 0:
            raise NotLeader(f"{method} {path} was not sent: this process does not lead")
        self._metrics.writes.labels(method, resource.plural).inc()
        status, answer = await self._request(
            method, path, body=body, content_type=content_type, seconds=min(_WRITE_SECONDS, seconds)
        )
        return _checked(status, answer)

    async def _request(
        self, method: str, path: str, *, seconds: float, body: Raw | None = None, content_type: str = "application/json"
    ) -> tuple[int, Any]:
        """Send one request; whatever keeps it from an answer in JSON is a ``Retry``."""
        headers = {"Content-Type": content_type, "Accept": "application/json", "User-Agent": self._api.user_agent}
        try:
            await self._api.update_params_for_auth(headers, [], ["BearerToken"], path, method, body)
            answer = await self._api.rest_client.request(
                method,
                self._api.configuration.host + path,
                headers=headers,
                body=body,
                _request_timeout=aiohttp.ClientTimeout(total=seconds),
            )
            return answer.status, json.loads(await answer.read() or b"{}")
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise Retry(f"{method} {path}: {type(error).__name__} {error}") from error


def _checked(status: int, body: Any) -> Raw:
    """Return the object in an answer; anything else is tried again, with what a newer read says then."""
    if 200 <= status < 300:
        return dict(body)
    message = f"the API server answered {status}: {body.get('message', '') if isinstance(body, Mapping) else body}"
    if status == HTTPStatus.CONFLICT:
        raise Conflict(message)
    if status == HTTPStatus.FORBIDDEN:
        raise Forbidden(message)
    raise Retry(message)
