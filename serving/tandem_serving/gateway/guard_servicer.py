"""The guard's ext_proc service: a stream of Envoy's messages in, a stream of replies out. Started by ``guard.serve``.

Whatever goes wrong here denies: an error of ours becomes a 503 that says so, and a guard that is gone makes Envoy deny
by itself. Errors are logged by their kind and place alone: their texts may quote what must not be logged.
"""

import traceback
from collections.abc import AsyncIterator
from typing import Any

import grpc
import structlog
from envoy.service.ext_proc.v3 import external_processor_pb2_grpc
from tandem_contract import headers

from tandem_serving.gateway.guard_exchange import Exchange
from tandem_serving.gateway.guard_request import WayOut
from tandem_serving.gateway.guard_surroundings import Surroundings

_log = structlog.get_logger("tandem.guard")


class GuardServicer(external_processor_pb2_grpc.ExternalProcessorServicer):  # type: ignore[misc]  # no types published
    """One ``Process`` call is one attempt towards a cloud."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings

    async def Process(  # noqa: N802  the protocol's name
        self, _: AsyncIterator[Any], context: grpc.aio.ServicerContext[Any, Any]
    ) -> None:
        exchange = Exchange(self._surroundings, _way_out(context))
        try:
            while not exchange.over and await _answer_one(exchange, context):
                await exchange.written()
        finally:
            await exchange.close()


async def _answer_one(exchange: Exchange, context: grpc.aio.ServicerContext[Any, Any]) -> bool:
    """Answer the next message, and return whether there was one.

    Read and written by hand: iterators keep the last message, a body of 16 MiB perhaps, while the cloud takes its time.
    """
    message = await context.read()
    if message is grpc.aio.EOF:  # type: ignore[attr-defined]  # missing in grpc-stubs
        return False
    await context.write(await _reply(exchange, message))
    return True


async def _reply(exchange: Exchange, message: Any) -> Any:
    try:
        return await exchange.reply(message)
    except Exception as error:  # noqa: BLE001  any error denies; a broken stream would only say less
        place = traceback.extract_tb(error.__traceback__)[-1]
        _log.error("guard failed", error=type(error).__name__, place=f"{place.name}:{place.lineno}")
        return exchange.fail()


def _way_out(context: grpc.aio.ServicerContext[Any, Any]) -> WayOut:
    """Return which listener asks."""
    said = {
        key: value if isinstance(value, str) else value.decode() for key, value in context.invocation_metadata() or ()
    }
    return WayOut(said.get(headers.ENDPOINT, ""), said.get(headers.DESTINATION_DIGEST, ""))
