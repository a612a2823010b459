"""The gateway's agent: relay, models and probes in one event loop, the guard in a thread of its own.

``python -m tandem_serving.gateway``. It ends when any part breaks, so that a supervisor starts it again: Envoy goes on
with what it has, and denies what would need the guard.
"""

import asyncio
import os
import signal
import time

import grpc
import structlog
from prometheus_client import CollectorRegistry
from tandem_contract.xds import LOCAL_OPTIONS, DeltaServer, Store
from tandem_contract.xds.tasks import until_first_ends
from tandem_contract.xds.types import CLUSTER, ENVOY, LISTENER

from tandem_serving.gateway import disk, guard, probes
from tandem_serving.gateway.config import GatewayConfig
from tandem_serving.gateway.metrics import RelayMetrics, StateCollector
from tandem_serving.gateway.models import models_app
from tandem_serving.gateway.policy_board import PolicyBoard
from tandem_serving.gateway.relay import Relay
from tandem_serving.gateway.relay_mirror import Mirror, key_of

_log = structlog.get_logger(__name__)


async def run(config: GatewayConfig) -> None:
    """Serve until SIGTERM or SIGINT, or until a part breaks."""
    config.run_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    registry = CollectorRegistry()
    board = PolicyBoard()
    store = Store()
    served = DeltaServer(
        store, ENVOY, counts_from=CLUSTER, changed=lambda owners: relay.settled(key_of(owner) for owner in owners)
    )
    mirror = Mirror(store, served.verdict)
    relay = Relay(config, mirror, board, RelayMetrics(registry), clock=time.time, on_synced=served.open)  # noqa: TID251  the agent's one wall clock
    registry.register(StateCollector(board, mirror.counts, lambda: len(served.clients)))
    if _restore(config, mirror, board):
        served.open(complete=False)  # what Envoy has learned since the last write is newer than the disk

    envoy_side = grpc.aio.server(options=LOCAL_OPTIONS)
    served.add_to(envoy_side)
    envoy_side.add_insecure_port(f"unix:{config.xds_socket}")
    await envoy_side.start()
    settings = guard.GuardSettings(
        socket=config.guard_socket,
        policy_limit_seconds=config.policy_limit_seconds,
        body_bytes_in_flight=config.guard_body_bytes,
    )
    try:
        async with (
            probes.on_socket(models_app(board), config.agent_socket),
            probes.on_port(probes.probes_app(registry, store, served), config.http_address, config.http_port),
        ):
            _log.info("agent_started", node=config.node_id, operators=config.operators)
            await until_first_ends(
                relay.run(), relay.save_for_ever(), guard.serve(board, settings, registry), _until_told_to_stop()
            )
    finally:
        await envoy_side.stop(None)


def _restore(config: GatewayConfig, mirror: Mirror, board: PolicyBoard) -> bool:
    """Begin from the snapshot on disk; return whether an Envoy could serve from it."""
    try:
        resources = disk.read(config.snapshot)
    except disk.CorruptSnapshot as error:
        _log.error("snapshot_ignored", path=str(config.snapshot), why=str(error))
        return False
    mirror.restore(resources, now_seconds=0, monotonic_seconds=0)
    board.publish(mirror.policy.view())
    _log.info("snapshot_restored", resources=len(resources))
    return any(resource.key.type_url == LISTENER for resource in resources)


async def _until_told_to_stop() -> None:
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    await told.wait()


def main() -> None:
    os.umask(0o077)  # sockets and snapshot are nobody else's business
    structlog.configure(
        processors=[
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ]
    )
    asyncio.run(run(GatewayConfig()))


if __name__ == "__main__":
    main()
