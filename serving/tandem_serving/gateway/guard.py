"""The guard as the agent starts it: one coroutine, behind it a thread and an event loop of its own.

Called by the agent's ``__main__``. It decides nothing; it keeps large bodies away from the relay's loop and makes the
guard's end the agent's end, so that a supervisor starts both again. Meanwhile Envoy denies by itself.
"""

import asyncio
import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc
from envoy.service.ext_proc.v3 import external_processor_pb2_grpc
from prometheus_client import CollectorRegistry
from tandem_contract.limits import BODY_BYTES

from tandem_serving.gateway.guard_limits import ByteBudget, Places, RepeatMemory
from tandem_serving.gateway.guard_servicer import GuardServicer
from tandem_serving.gateway.guard_surroundings import Surroundings
from tandem_serving.gateway.policy_board import PolicyBoard
from tandem_serving.gateway.usage import UsageMeter

_MOST_MESSAGE_BYTES: Final = BODY_BYTES + (8 << 20)
"""The largest body and what comes with it. gRPC's own limit of 4 MiB would deny large requests without a word."""

_GRACE_SECONDS: Final = 5.0
_ROOM_WAIT_SECONDS: Final = 3.0
"""Below the time that Envoy waits for one reply (``routing.inputs.Bounds.guard``): a denial says more than its end."""


@dataclass(frozen=True)
class GuardSettings:
    """What the agent's configuration says about the guard."""

    socket: Path
    """Unix socket that Envoy's cluster ``guard`` points to."""

    policy_limit_seconds: float = 3600
    """How long a policy may be used after the operator was last known to be current."""

    body_bytes_in_flight: int = 64 << 20
    """Most bytes of large bodies (over 1 MiB) that are worked on at once; more of them wait."""


async def serve(board: PolicyBoard, settings: GuardSettings, registry: CollectorRegistry) -> None:
    """Answer Envoy until cancelled. Raises what broke the guard; the agent then ends, and is started again."""
    runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
    loop, stop = runner.get_loop(), asyncio.Event()

    def run() -> None:
        settings.socket.unlink(missing_ok=True)  # of a guard that was killed
        with runner:
            runner.run(_serve(board, settings, UsageMeter(registry), stop))

    with ThreadPoolExecutor(1, thread_name_prefix="guard") as thread:
        guard = asyncio.get_running_loop().run_in_executor(thread, run)
        try:
            await asyncio.shield(guard)
        finally:
            if not guard.done():
                loop.call_soon_threadsafe(stop.set)
                await guard


async def _serve(board: PolicyBoard, settings: GuardSettings, meter: UsageMeter, stop: asyncio.Event) -> None:
    """Serve on this loop until ``stop``. Streams that are open get a moment to end."""
    room, places = ByteBudget(settings.body_bytes_in_flight), Places()
    meter.watch_bodies(room.in_use)
    meter.watch_places(places.taken)
    with ThreadPoolExecutor(1, thread_name_prefix="guard-large") as large_bodies:
        servicer = GuardServicer(
            Surroundings(
                board=board,
                meter=meter,
                asked=RepeatMemory(),
                room=room,
                places=places,
                large_bodies=large_bodies,
                clock=time.monotonic,
                policy_limit_seconds=settings.policy_limit_seconds,
                room_wait_seconds=_ROOM_WAIT_SECONDS,
            )
        )
        server = await _start(servicer, settings.socket)
        await stop.wait()
        await server.stop(_GRACE_SECONDS)


async def _start(servicer: GuardServicer, socket: Path) -> grpc.aio.Server:
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", _MOST_MESSAGE_BYTES),
            ("grpc.max_send_message_length", _MOST_MESSAGE_BYTES),
        ]
    )
    external_processor_pb2_grpc.add_ExternalProcessorServicer_to_server(servicer, server)
    server.add_insecure_port(f"unix:{socket}")
    await server.start()
    os.chmod(socket, 0o660)
    return server
