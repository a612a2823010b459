"""An xDS client without a network: drives a ``Session`` as Envoy or an agent would, and says what arrived."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from envoy.service.discovery.v3 import discovery_pb2
from tandem_contract.xds import Store
from tandem_contract.xds.session import Session
from tandem_contract.xds.types import CLUSTER, ENDPOINTS


def cluster(name: str, *, seconds: int = 1, eds: bool = False) -> dict[str, Any]:
    """Return a cluster; ``seconds`` is something to change in it."""
    kind = {"type": "EDS", "eds_cluster_config": {"eds_config": {"ads": {}}}} if eds else {"type": "STATIC"}
    return {"@type": CLUSTER, "name": name, "connect_timeout": f"{seconds}s", **kind}


def endpoints(name: str, *ports: int) -> dict[str, Any]:
    """Return the endpoints of an EDS cluster, on loopback."""
    sockets = [{"socket_address": {"address": "127.0.0.1", "port_value": port}} for port in ports]
    return {
        "@type": ENDPOINTS,
        "cluster_name": name,
        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}} for address in sockets]}],
    }


class Client:
    """Accepts every message but those that ``refuses`` finds a fault with, of which it keeps nothing.

    ``got`` is what it was sent, message by message; ``has`` the versions that it holds.
    """

    def __init__(
        self, store: Store, types: Iterable[str], *, refuses: Callable[[Any], str | None] | None = None
    ) -> None:
        self.session = Session(store, tuple(types))
        self.has: dict[tuple[str, str], str] = {}
        self.got: list[Any] = []
        self._watch = store.watch()
        self._refuses = refuses or (lambda _: None)

    def ask(
        self, type_url: str, *names: str, has: Mapping[str, str] | None = None, drop: Iterable[str] = ()
    ) -> "Client":
        """Send a subscription."""
        self.session.receive(
            discovery_pb2.DeltaDiscoveryRequest(
                node={"id": "client"},
                type_url=type_url,
                resource_names_subscribe=names,
                resource_names_unsubscribe=drop,
                initial_resource_versions=has or {},
            )
        )
        return self

    def pump(self, *, answer: bool = True) -> list[Any]:
        """Take everything that is on its way, and answer it; return the messages."""
        arrived = []
        self.session.mark(self._watch.take())
        while (response := self.session.next_response()) is not None:
            arrived.append(response)
            if not self._refuses(response):
                self._keep(response)
            if answer:
                self.session.receive(self._answer(response))
        self.got += arrived
        return arrived

    def names(self, responses: Iterable[Any]) -> list[str]:
        """Return the names of all resources in some messages, ``-name`` for a removal."""
        return [
            name
            for response in responses
            for name in [*(r.name for r in response.resources), *(f"-{n}" for n in response.removed_resources)]
        ]

    def _keep(self, response: Any) -> None:
        self.has.update({(response.type_url, r.name): r.version for r in response.resources})
        for name in response.removed_resources:
            self.has.pop((response.type_url, name), None)

    def _answer(self, response: Any) -> Any:
        request = discovery_pb2.DeltaDiscoveryRequest(type_url=response.type_url, response_nonce=response.nonce)
        if message := self._refuses(response):
            request.error_detail.message = message
        return request
