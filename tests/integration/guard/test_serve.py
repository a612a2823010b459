"""The coroutine that the agent awaits: it ends when cancelled, and raises what broke the guard."""

import asyncio
import stat
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from support.ext_proc_client import talk, usual_headers
from support.wait import eventually, eventually_async
from tandem_serving.gateway import guard
from tandem_serving.gateway.guard import GuardSettings, serve
from tandem_serving.gateway.guard_servicer import GuardServicer
from tandem_serving.gateway.policy_board import PolicyBoard


async def test_a_guard_that_cannot_listen_says_so(tmp_path: Path) -> None:
    nowhere = tmp_path / "missing" / "guard.sock"
    with pytest.raises(RuntimeError, match=r"guard\.sock|bind"):
        await serve(PolicyBoard(), GuardSettings(nowhere), CollectorRegistry())


async def test_a_socket_that_a_killed_guard_left_is_taken_over_and_is_nobody_elses(tmp_path: Path) -> None:
    socket = tmp_path / "guard.sock"
    socket.touch()
    serving = asyncio.create_task(serve(PolicyBoard(), GuardSettings(socket), CollectorRegistry()))
    await asyncio.to_thread(eventually, lambda: stat.S_ISSOCK(mode_of(socket)), 30)
    await asyncio.to_thread(eventually, lambda: stat.S_IMODE(mode_of(socket)) == 0o660, 30)
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving


def mode_of(path: Path) -> int:
    """Return the mode; 0 while there is nothing, as between the old socket and the new one."""
    try:
        return path.lstat().st_mode
    except FileNotFoundError:
        return 0


async def test_a_guard_that_is_busy_does_not_keep_the_relay_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller's loop is the relay's: 16 MiB of JSON block the guard's for a moment, and nobody else's."""
    busy, done = threading.Event(), threading.Event()
    freed: list[bool] = []

    class Busy(GuardServicer):
        async def Process(self, request_iterator: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802  gRPC's name
            busy.set()
            freed.append(done.wait(10))
            return
            yield

    monkeypatch.setattr(guard, "GuardServicer", Busy)
    socket = tmp_path / "guard.sock"
    serving = asyncio.create_task(serve(PolicyBoard(), GuardSettings(socket), CollectorRegistry()))
    await asyncio.to_thread(eventually, socket.exists, 30)
    asking = asyncio.create_task(asyncio.to_thread(talk, socket, [usual_headers()], {}))
    await eventually_async(busy.is_set, 30)
    done.set()
    assert await asking == []
    assert freed == [True], "this loop went on while the guard's did not"
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
