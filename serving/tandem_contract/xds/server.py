"""Delta ADS over gRPC: one servicer for the operator (to agents) and for the agent (to Envoy).

It carries a store to whoever is connected and knows what each client accepted. Until ``open`` and after ``refuse``
no stream is served, so that nobody takes the half-filled store of a fresh or unseated operator for the truth:
what it lacks would be removed everywhere. Fill the store first, then open.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any, Final

import grpc
import structlog
from envoy.service.discovery.v3 import ads_pb2_grpc

from tandem_contract.xds.session import Programmed, Session, State
from tandem_contract.xds.store import Store, Watch
from tandem_contract.xds.tasks import until_first_ends

MAX_MESSAGE_BYTES: Final = 64 * 1024 * 1024
LOCAL_OPTIONS: Final = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
)
"""For a stream to Envoy over a Unix socket. No pings: an Envoy that takes in thousands of clusters answers none for
many seconds, and one that is gone closes its socket."""

PEER_OPTIONS: Final = (
    *LOCAL_OPTIONS,
    # a peer that is frozen or gone is noticed within 20 s; keepalive_timeout_ms alone leaves it at 69 s
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.ping_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
)
"""For both ends of a stream between operator and agent."""

SERVER_OPTIONS: Final = (
    *PEER_OPTIONS,
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),  # else the peer's pings end the stream: "too many pings"
    ("grpc.so_reuseport", 0),
)

_ACCEPTED: Final = ("tandem-xds", "accepted")
"""Header that tells a client at once that it has found the leader."""

_log = structlog.get_logger(__name__)


async def until_accepted(stream: Any) -> None:
    """On a client's stream that nothing was written to: return when the server took it in, raise its refusal.

    Who writes before races with a refusal, and may be told "internal error" instead of the server's words.
    """
    if _ACCEPTED not in tuple(await stream.initial_metadata() or ()):  # its own `in` looks for names alone
        await stream.read()


class DeltaServer:
    """Serves a ``Store`` to any number of clients; lives in the store's event loop.

    A client counts from when it asks for ``counts_from``, the type that it asks for last. ``changed`` is called in that
    loop with the owners whose verdict may have changed; it must not block.
    """

    def __init__(
        self, store: Store, types: Sequence[str], *, counts_from: str, changed: Callable[[frozenset[str]], None]
    ) -> None:
        self._store = store
        self._types = types
        self._counts_from = counts_from
        self._changed = changed
        self._sessions: dict[Session, Watch] = {}
        self._complete = False
        self._refusal: str | None = "not ready yet"
        self._refused = asyncio.Event()

    def add_to(self, server: grpc.aio.Server) -> None:
        ads_pb2_grpc.add_AggregatedDiscoveryServiceServicer_to_server(self, server)

    def open(self, *, complete: bool = True) -> None:
        """Serve from now on. Until the store is ``complete``, clients keep what they have and it lacks."""
        self._refusal = None
        self._complete = complete
        for session, watch in self._sessions.items():
            if complete:
                session.complete()
                watch.wake()

    def refuse(self, reason: str) -> None:
        """End every stream and answer UNAVAILABLE with ``reason`` until ``open``."""
        self._refusal = reason
        self._refused.set()
        self._refused = asyncio.Event()

    @property
    def clients(self) -> tuple[str, ...]:
        """Names of the clients that are being served."""
        return tuple(sorted(session.node for session in self._counted()))

    def verdict(self, owner: str) -> Programmed:
        """Return whether all clients have accepted what ``owner`` publishes now; the worst of them counts."""
        verdicts = {v.state: v for v in (s.verdict(owner) for s in self._counted())}
        for state in (State.REJECTED, State.PENDING, State.YES):
            if state in verdicts:
                return verdicts[state]
        return Programmed(State.NO_GATEWAY)

    def _counted(self) -> Iterator[Session]:
        return (session for session in self._sessions if session.knows(self._counts_from))

    async def DeltaAggregatedResources(self, requests: AsyncIterator[Any], context: Any) -> None:  # noqa: N802  gRPC's name
        """Serve one stream until the client leaves or ``refuse`` is called."""
        if self._refusal is None:
            await self._serve(requests, context)
        if self._refusal is not None:
            await context.abort(grpc.StatusCode.UNAVAILABLE, self._refusal)

    async def StreamAggregatedResources(self, requests: AsyncIterator[Any], context: Any) -> None:  # noqa: N802  gRPC's name
        """Refuse the protocol's other variant."""
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "only delta xDS is served")

    async def _serve(self, requests: AsyncIterator[Any], context: Any) -> None:
        session = Session(self._store, self._types, complete=self._complete)
        watch = self._sessions[session] = self._store.watch()
        try:
            await context.send_initial_metadata((_ACCEPTED,))
            await until_first_ends(
                self._read(requests, session, watch), self._write(context, session, watch), self._refused.wait()
            )
        finally:
            self._store.unwatch(watch)
            del self._sessions[session]
            if session.knows(self._counts_from):
                _log.info("xds_client_left", client=session.node)
                self._changed(self._store.owners())

    async def _read(self, requests: AsyncIterator[Any], session: Session, watch: Watch) -> None:
        async for request in requests:
            known = session.knows(self._counts_from)
            owners = session.receive(request)
            watch.wake()
            if request.HasField("error_detail"):
                _log.warning(
                    "xds_refused", client=session.node, type=request.type_url, why=request.error_detail.message
                )
            if session.knows(self._counts_from) and not known:
                _log.info("xds_client_joined", client=session.node)
                owners = self._store.owners()
            if owners:
                self._changed(owners)

    async def _write(self, context: Any, session: Session, watch: Watch) -> None:
        while True:
            session.mark(await watch.changes())
            while (response := session.next_response()) is not None:
                await context.write(response)
