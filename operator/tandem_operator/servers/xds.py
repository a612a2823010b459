"""The operator's delta-ADS server: what is published to gateways, and what they made of it.

The reconcilers put and drop by owner (``endpoint/<name>``, ``deployment/<namespace>/<name>``) and ask ``programmed``,
through ``publish``. ``leading`` makes one for each term: it puts ``gateway`` and ``freshness``, starts it, opens it
once everything that exists has been put, and stops it when the term ends. Only clients with a certificate of the
internal CA are let in; a new certificate serves the next connection, and streams that run are left alone.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import grpc
from tandem_contract.documents import Document
from tandem_contract.xds import (
    SERVER_OPTIONS,
    DeltaServer,
    Programmed,
    Resource,
    Store,
    from_dict,
    from_document,
    identify,
)
from tandem_contract.xds.types import ALL, FRESHNESS

from tandem_operator.pki import ServerTls

FRESHNESS_OWNER: Final = "freshness"


class Publisher:
    """Lives in one event loop. ``changed`` gets the owners whose ``programmed`` may have changed; it must not block."""

    def __init__(self, *, changed: Callable[[frozenset[str]], None]) -> None:
        self._store = Store()
        self._changed = changed
        self._served = DeltaServer(self._store, ALL, counts_from=FRESHNESS, changed=self._report)
        self._server: grpc.aio.Server | None = None
        self._tls: ServerTls | None = None

    async def start(self, address: str, port: int, tls: ServerTls) -> int:
        """Listen, refusing every stream until ``open``; return the port, which the system chooses for 0."""
        self._tls = tls  # read again by gRPC, in a thread of its own, before each handshake
        credentials = grpc.dynamic_ssl_server_credentials(
            _configuration(tls), lambda: _configuration(self._tls or tls), require_client_authentication=True
        )
        self._server = grpc.aio.server(options=SERVER_OPTIONS)
        self._served.add_to(self._server)
        bound = self._server.add_secure_port(f"{address}:{port}", credentials)
        await self._server.start()
        return int(bound)

    async def stop(self, grace_seconds: float = 1) -> None:
        self.refuse("the operator is stopping")
        if self._server is not None:
            await self._server.stop(grace_seconds)

    def use(self, tls: ServerTls) -> None:
        """Present (and trust) these certificates from the next connection on."""
        self._tls = tls

    def open(self) -> None:
        """Serve gateways. What is not published by now will be removed from them."""
        self._served.open()

    def refuse(self, reason: str) -> None:
        """End every stream; gateways keep what they have and look for the leader."""
        self._served.refuse(reason)

    def put(self, owner: str, messages: Iterable[Mapping[str, Any]] = (), documents: Iterable[Document] = ()) -> bool:
        """Publish exactly this for ``owner``; return whether it differs from before.

        ``messages`` are Envoy resources as plain dicts with ``@type``; ``InvalidResource`` when a field does not exist,
        and then nothing has changed.
        """
        resources = [*(self._resource(message) for message in messages), *(from_document(d) for d in documents)]
        return self._store.put(owner, resources)

    def _resource(self, message: Mapping[str, Any]) -> Resource:
        """Return what is published already where it is the same: most of what is put again is."""
        key, version = identify(message)
        published = self._store.get(key)
        return published if published is not None and published.version == version else from_dict(message)

    def drop(self, owner: str) -> bool:
        """Withdraw everything of ``owner``; ``programmed`` is YES again when every gateway has let it go."""
        return self._store.drop(owner)

    def programmed(self, owner: str) -> Programmed:
        """Return whether every connected gateway's Envoy and guard have accepted what ``owner`` publishes now."""
        return self._served.verdict(owner)

    @property
    def gateways(self) -> tuple[str, ...]:
        """Node names of the gateways that are connected."""
        return self._served.clients

    def _report(self, owners: frozenset[str]) -> None:
        if told := owners - {FRESHNESS_OWNER}:
            self._changed(told)


def _configuration(tls: ServerTls) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(tls.key_pem, tls.certificate_pem)], tls.client_ca_pem)
