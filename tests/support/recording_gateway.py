"""A gateway of few words, for tests of the operator: takes everything, acknowledges it, and remembers it.

It looks for the leader among the addresses that it is given, with the certificate from the operator's own Secret, as
an agent does. What it was told stays when the operator goes.
"""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self

import grpc
from envoy.config.core.v3 import base_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.service.discovery.v3 import ads_pb2_grpc, discovery_pb2
from google.rpc import status_pb2
from tandem_contract.identity import OPERATOR_NAME
from tandem_contract.xds.types import ALL, CREDENTIAL, DEPLOYMENT_POLICY, ENDPOINT_POLICY, ENDPOINTS, FRESHNESS
from tandem_lab.control_plane import ControlPlane

from support.loop_thread import LoopThread

_RETRY_SECONDS: Final = 0.2


class RecordingGateway:
    """``held`` is what it has now: type URL → name → resource."""

    def __init__(self, control_plane: ControlPlane, ports: Sequence[int], *, node: str = "recording-gateway") -> None:
        self._control_plane = control_plane
        self._ports = list(ports)
        self._node = node
        self._versions: dict[tuple[str, str], str] = {}
        self.held: dict[str, dict[str, bytes]] = {type_url: {} for type_url in ALL}
        self.refuses: str = ""
        """Name (or its beginning) of resources that it does not accept."""

        self.streams: list[int] = []
        """Ports of the operators that let it in, in order."""

        self.removed: list[tuple[str, str]] = []
        """Type URL and name of all that was taken from it, in order: what came back later is in it too."""

        self.turned_away: int = 0
        """How often an operator did not let it in, or was not there, or ended a conversation."""

    def policy(self, deployment: str) -> dict[str, Any] | None:
        """Return the guard's policy for ``namespace/name``."""
        return self._document(DEPLOYMENT_POLICY, deployment)

    def endpoint_policy(self, endpoint: str) -> dict[str, Any] | None:
        return self._document(ENDPOINT_POLICY, endpoint)

    def credential(self, endpoint: str) -> str | None:
        found = self._document(CREDENTIAL, endpoint)
        return found["authorization"] if found else None

    def addresses(self, cluster: str) -> int:
        """Return how many replicas a local cluster has."""
        held = self.held[ENDPOINTS].get(cluster, b"")
        assignment = endpoint_pb2.ClusterLoadAssignment.FromString(held)
        return sum(len(locality.lb_endpoints) for locality in assignment.endpoints)

    def has(self, type_url: str, name: str) -> bool:
        return name in self.held[type_url]

    def snapshot(self) -> Mapping[tuple[str, str], str]:
        """Return the version of everything that it holds, but the heartbeat."""
        now = dict(self._versions)  # at once: it is called from other threads
        return {key: version for key, version in now.items() if key[0] != FRESHNESS}

    def _document(self, type_url: str, name: str) -> dict[str, Any] | None:
        value = self.held[type_url].get(name)
        return None if value is None else dict(json.loads(value))

    def __enter__(self) -> Self:
        self._thread = LoopThread()
        self._thread.__enter__()
        self._thread.run(self._begin())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.__exit__(kind, error, trace)

    async def _begin(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            for port in self._ports:
                try:
                    await self._converse(port)
                except (grpc.aio.AioRpcError, OSError, KeyError, ValueError):
                    self.turned_away += 1
            await asyncio.sleep(_RETRY_SECONDS)

    def _credentials(self) -> grpc.ChannelCredentials:
        found = self._control_plane.run_kubectl(
            "get", "secret", "tandem-gateway-tls", "-n", "tandem-system", "-o", "json"
        )
        data = {key: base64.b64decode(value) for key, value in json.loads(found.stdout or "{}")["data"].items()}
        return grpc.ssl_channel_credentials(data["ca.crt"], data["tls.key"], data["tls.crt"])

    async def _converse(self, port: int) -> None:
        credentials = await asyncio.to_thread(self._credentials)
        options = (("grpc.ssl_target_name_override", OPERATOR_NAME), ("grpc.use_local_subchannel_pool", 1))
        async with grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials, options=options) as channel:
            replies: asyncio.Queue[Any] = asyncio.Queue()
            for type_url in ALL:
                replies.put_nowait(self._subscription(type_url))
            stream = ads_pb2_grpc.AggregatedDiscoveryServiceStub(channel).DeltaAggregatedResources(_from(replies))
            let_in = False
            async for response in stream:
                if not let_in:
                    self.streams.append(port)
                    let_in = True
                replies.put_nowait(self._take(response))

    def _subscription(self, type_url: str) -> Any:
        known = {name: version for (kind, name), version in self._versions.items() if kind == type_url}
        return discovery_pb2.DeltaDiscoveryRequest(
            node=base_pb2.Node(id=self._node),
            type_url=type_url,
            resource_names_subscribe=["*"],
            initial_resource_versions=known,
        )

    def _take(self, response: Any) -> Any:
        """Take a response over and return what to answer."""
        answer = discovery_pb2.DeltaDiscoveryRequest(type_url=response.type_url, response_nonce=response.nonce)
        refused = [r.name for r in response.resources if self.refuses and r.name.startswith(self.refuses)]
        if refused:
            answer.error_detail.CopyFrom(status_pb2.Status(code=3, message=f"{refused[0]} is not to my taste"))
            return answer
        for resource in response.resources:
            self.held[response.type_url][resource.name] = resource.resource.value
            self._versions[response.type_url, resource.name] = resource.version
        for name in response.removed_resources:
            self.removed.append((response.type_url, name))
            self.held[response.type_url].pop(name, None)
            self._versions.pop((response.type_url, name), None)
        return answer


async def _from(queue: "asyncio.Queue[Any]") -> AsyncIterator[Any]:
    while True:
        yield await queue.get()
