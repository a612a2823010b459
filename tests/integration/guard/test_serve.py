"""The coroutine that the agent awaits: it ends when cancelled, and raises what broke the guard."""

import asyncio
import stat
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from support.wait import eventually
from tandem_serving.gateway.guard import GuardSettings, serve
from tandem_serving.gateway.policy_board import PolicyBoard


async def test_a_guard_that_cannot_listen_says_so(tmp_path: Path) -> None:
    nowhere = tmp_path / "missing" / "guard.sock"
    with pytest.raises(RuntimeError, match=r"guard\.sock|bind"):
        await serve(PolicyBoard(), GuardSettings(nowhere), CollectorRegistry())


async def test_a_socket_that_a_killed_guard_left_is_taken_over_and_is_nobody_elses(tmp_path: Path) -> None:
    socket = tmp_path / "guard.sock"
    socket.touch()
    serving = asyncio.create_task(serve(PolicyBoard(), GuardSettings(socket), CollectorRegistry()))
    await asyncio.to_thread(eventually, lambda: stat.S_ISSOCK(socket.lstat().st_mode), 30)
    await asyncio.to_thread(eventually, lambda: stat.S_IMODE(socket.lstat().st_mode) == 0o660, 30)
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
