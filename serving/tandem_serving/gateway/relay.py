"""The agent's stream to the operator: finds the leader, moves messages between it and the ``Mirror``, saves the good.

Each operator address is tried in turn; one that does not lead refuses. Certificates are read anew for each connection.
Whatever happens here, Envoy and the guard keep what they have.
"""

import asyncio
import random
import socket
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

import grpc
import structlog
from envoy.service.discovery.v3 import ads_pb2_grpc
from tandem_contract.identity import OPERATOR_NAME
from tandem_contract.xds import Key, Resource
from tandem_contract.xds.server import PEER_OPTIONS, until_accepted
from tandem_contract.xds.tasks import until_first_ends

from tandem_serving.gateway import disk
from tandem_serving.gateway.config import GatewayConfig
from tandem_serving.gateway.metrics import RelayMetrics
from tandem_serving.gateway.policy_board import PolicyBoard
from tandem_serving.gateway.relay_mirror import Mirror

CONNECT_SECONDS: Final = 3
"""How long an address may take to accept a connection: a dead pod's answers nothing."""

SYNC_SECONDS: Final = 60
"""How long an operator may take to send its whole snapshot."""

FIRST_PAUSE_SECONDS: Final = 0.2
LONGEST_PAUSE_SECONDS: Final = 10.0
GATHER_SECONDS: Final = 0.1
"""How long changes that belong together are waited for before a write of the snapshot."""

SAVE_PAUSE_SECONDS: Final = 1.0
"""Least time between two writes of the snapshot: many changes cost one."""

_OPTIONS: Final = (
    *PEER_OPTIONS,
    ("grpc.ssl_target_name_override", OPERATOR_NAME),
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),  # a new connection, with the certificates of now
)
_log = structlog.get_logger(__name__)


class Relay:
    """``run`` never ends by itself. ``settled`` is to be called when Envoy may have spoken."""

    def __init__(
        self,
        config: GatewayConfig,
        mirror: Mirror,
        board: PolicyBoard,
        metrics: RelayMetrics,
        *,
        clock: Callable[[], float],
        on_synced: Callable[[], None],
    ) -> None:
        self._config = config
        self._mirror = mirror
        self._board = board
        self._metrics = metrics
        self._clock = clock
        self._on_synced = on_synced
        self._replies_due = asyncio.Event()
        self._unsaved = asyncio.Event()

    def settled(self, keys: Iterable[Key]) -> None:
        """Envoy may have spoken about these resources."""
        self._mirror.settle(keys)
        self._take_stock()

    async def run(self) -> None:
        """Follow the leading operator for ever."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            served = False
            for target in await self._targets():
                served = await self._follow(target) or served
            pause = FIRST_PAUSE_SECONDS if served else min(pause * 2, LONGEST_PAUSE_SECONDS)
            await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311  spreads gateways, hides nothing

    async def save_for_ever(self) -> None:
        """Write the snapshot after it changed."""
        while True:
            await self._unsaved.wait()
            await asyncio.sleep(GATHER_SECONDS)
            self._unsaved.clear()
            self._mirror.unsaved = False
            await asyncio.to_thread(self._save, list(self._mirror.good.values()))
            await asyncio.sleep(SAVE_PAUSE_SECONDS)

    async def _targets(self) -> list[str]:
        """Return every address of every operator, in random order."""
        targets: set[str] = set()
        for operator in self._config.operators:
            host, _, port = operator.rpartition(":")
            loop = asyncio.get_running_loop()
            try:
                found = await loop.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
            except OSError as error:
                _log.warning("operator_not_resolved", operator=operator, why=str(error))
                continue
            targets.update(_target(family, address) for family, _, _, _, address in found)
        shuffled = sorted(targets)
        random.shuffle(shuffled)
        return shuffled

    async def _follow(self, target: str) -> bool:
        """Stay with one operator for as long as it leads; return whether it did."""
        try:
            async with grpc.aio.secure_channel(target, self._credentials(), options=_OPTIONS) as channel:
                await self._converse(channel, target)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError, TimeoutError, OSError) as error:
            # InvalidStateError: grpc.aio's word for writing on a call that the operator has just ended.
            why = error.details() if isinstance(error, grpc.aio.AioRpcError) else repr(error)
            _log.info("operator_left", operator=target, why=why, served=self._mirror.synced)
        finally:
            self._metrics.connected.set(0)
        return self._mirror.synced

    async def _converse(self, channel: grpc.aio.Channel, target: str) -> None:
        self._mirror.synced = False
        stream = ads_pb2_grpc.AggregatedDiscoveryServiceStub(channel).DeltaAggregatedResources()
        async with asyncio.timeout(CONNECT_SECONDS):
            await until_accepted(stream)
        for request in self._mirror.hello(self._config.node_id):
            await stream.write(request)
        self._metrics.connected.set(1)
        self._metrics.connects.inc()
        _log.info("operator_found", operator=target)
        await until_first_ends(self._read(stream), self._write(stream), self._insist_on_sync())

    async def _read(self, stream: Any) -> None:
        async for response in stream:
            was_synced = self._mirror.synced
            self._mirror.apply(response, now_seconds=self._clock(), monotonic_seconds=time.monotonic())
            self._board.publish(self._mirror.policy.view())
            self._take_stock()
            if self._mirror.synced and not was_synced:
                self._on_synced()

    async def _write(self, stream: Any) -> None:
        while True:
            await self._replies_due.wait()
            self._replies_due.clear()
            for reply in self._mirror.replies():
                await stream.write(reply)

    async def _insist_on_sync(self) -> None:
        """Leave an operator that took us in and then says nothing."""
        await asyncio.sleep(SYNC_SECONDS)
        if not self._mirror.synced:
            raise TimeoutError("the operator did not send its snapshot")
        await asyncio.Event().wait()

    def _take_stock(self) -> None:
        self._replies_due.set()
        if self._mirror.unsaved:
            self._unsaved.set()

    def _credentials(self) -> grpc.ChannelCredentials:
        folder = self._config.tls_dir
        return grpc.ssl_channel_credentials(
            root_certificates=(folder / "ca.crt").read_bytes(),
            private_key=(folder / "tls.key").read_bytes(),
            certificate_chain=(folder / "tls.crt").read_bytes(),
        )

    def _save(self, resources: list[Resource]) -> None:
        try:
            content = disk.encode(resources)
            disk.write(self._config.snapshot, content)
        except OSError as error:
            self._metrics.snapshot_failures.inc()
            _log.error("snapshot_not_written", path=str(self._config.snapshot), why=str(error))
        else:
            self._metrics.snapshot_bytes.set(len(content))
            self._metrics.snapshot_saved_at.set(self._clock())


def _target(family: int, address: tuple[Any, ...]) -> str:
    host, port = address[:2]
    return f"ipv6:[{host}]:{port}" if family == socket.AF_INET6 else f"ipv4:{host}:{port}"
