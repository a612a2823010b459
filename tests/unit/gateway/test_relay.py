"""The relay outlives every way in which an operator can leave it."""

import asyncio
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from tandem_serving.gateway.relay import Relay


@pytest.mark.parametrize(
    "leaving",
    [
        pytest.param(asyncio.InvalidStateError("RPC already finished."), id="a write on a call that has just ended"),
        pytest.param(TimeoutError("nothing came"), id="silence"),
        pytest.param(ConnectionResetError(), id="a reset"),
    ],
)
async def test_an_operator_that_leaves_does_not_end_the_relay(
    monkeypatch: pytest.MonkeyPatch, leaving: Exception
) -> None:
    async def converse(*_: Any) -> None:
        raise leaving

    connected = SimpleNamespace(set=lambda _: None)
    mirror: Any = SimpleNamespace(synced=False)
    metrics: Any = SimpleNamespace(connected=connected)
    relay = Relay(None, mirror, None, metrics, clock=lambda: 0.0, on_synced=lambda: None)  # type: ignore[arg-type]  # not reached
    monkeypatch.setattr(relay, "_credentials", grpc.ssl_channel_credentials)
    monkeypatch.setattr(relay, "_converse", converse)
    assert await relay._follow("127.0.0.1:1") is False
