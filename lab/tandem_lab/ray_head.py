"""A Ray head on loopback, as an administrator would run one beside Tandem: token auth, direct ingress.

One port of each Serve replica, for calls from other replicas, is on all addresses: Ray leaves no choice there.

Used by the demo, tests and campaigns. Any number of heads live side by side: each has a block of ports, a temporary
folder and a token of its own. It starts no Serve application: that is the operator's work.
"""

import os
import random
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tandem_lab.process import Process

LOOPBACK: Final = "127.0.0.1"
PORTS_PER_HEAD: Final = 100
FIRST_BLOCK, END_OF_BLOCKS = 11_000, 32_700
"""Below Linux' ephemeral ports, where any outgoing connection may sit down."""

START_SECONDS: Final = 180
STARTS: Final = 3


class RayHead:
    """One head node; every process of its session ends with it."""

    def __init__(
        self,
        folder: Path,
        *,
        num_cpus: int = 4,
        python_path: Sequence[Path] = (),
        drain_seconds: float = 10,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Prepare a head that logs under ``folder``.

        ``num_cpus`` is what Ray may hand out, whatever the machine has. ``python_path`` is where replicas find
        modules that are not installed. ``drain_seconds`` is how long a stopped replica answers on at least.
        """
        self.token = secrets.token_hex(32)
        self._num_cpus = num_cpus
        self._log = folder / "ray.log"
        self._block = PortBlock()
        self._env = {
            **_environment(self.token, self._block, drain_seconds),
            "PYTHONPATH": os.pathsep.join([*map(str, python_path), *filter(None, [os.environ.get("PYTHONPATH")])]),
            **(env or {}),
        }
        self._temp: Path | None = None
        self._process: Process | None = None

    @property
    def url(self) -> str:
        """Address of the dashboard, which serves the Serve REST API; the same after a restart."""
        return f"http://{LOOPBACK}:{self._block.dashboard}"

    @property
    def http_port(self) -> int:
        """Port for Ray's own HTTP proxy, which is bypassed but wants one."""
        return self._block.proxy

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.alive

    @property
    def processes(self) -> list[int]:
        """Everything that belongs to it, replicas included."""
        return list(_session_members(self._process.pid)) if self._process else []

    def start(self) -> Self:
        """Start it and wait until the Serve REST API answers.

        Ray gives its own parts 30 s to come up, which a busy machine may exceed: then it is started again.
        """
        for _ in range(STARTS - 1):
            try:
                return self._start_once()
            except RuntimeError:
                self.kill()
        return self._start_once()

    def _start_once(self) -> Self:
        self._temp = Path(tempfile.mkdtemp(prefix="ray-"))  # short: Unix socket paths end at 107 characters
        ray = str(Path(sys.executable).parent / "ray")
        arguments = _arguments(self._block, self._num_cpus, self._temp)
        self._process = Process("ray head", [ray, *arguments], log=self._log, env=self._env)
        self._wait_until_it_answers(self._process)
        return self

    def kill(self) -> None:
        """Lose the head and every replica on it, as a power cut would."""
        if self._process is not None:
            self._process.kill()
            _kill_session(self._process.pid)
        if self._temp is not None:
            shutil.rmtree(self._temp, ignore_errors=True)

    def restart(self) -> Self:
        """Come back empty on the same address with the same token, as a new head pod does."""
        self.kill()
        return self.start()

    def stop(self) -> None:
        """End it and give its ports back."""
        if self._process is not None:
            self._process.stop()
        self.kill()
        self._block.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _wait_until_it_answers(self, process: Process) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            process.check()
            if time.monotonic() > deadline:
                raise TimeoutError(f"the Ray head did not answer within {START_SECONDS} s: {process.tail()}")
            time.sleep(0.2)

    def _answers(self) -> bool:
        request = urllib.request.Request(  # noqa: S310  our own http address
            f"{self.url}/api/serve/applications/", headers={"authorization": f"Bearer {self.token}"}
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310
                return bool(response.status == 200)
        except (urllib.error.URLError, OSError):
            return False


class PortBlock:
    """Neighbouring ports that belong to one head; the first is held open and so keeps others off the block."""

    def __init__(self) -> None:
        self._lock = _lock_a_block()
        first: int = self._lock.getsockname()[1]
        (
            self.gcs,
            self.dashboard,
            self.agent_http,
            self.agent_grpc,
            self.runtime_env_agent,
            self.metrics,
            self.node_manager,
            self.object_manager,
            self.client_server,
            self.autoscaler_metrics,
            self.dashboard_metrics,
            self.proxy,
        ) = range(first + 1, first + 13)
        self.first_replica, self.last_replica = first + 20, first + PORTS_PER_HEAD - 1

    def close(self) -> None:
        self._lock.close()


def _lock_a_block() -> socket.socket:
    blocks = list(range(FIRST_BLOCK, END_OF_BLOCKS, PORTS_PER_HEAD))
    random.shuffle(blocks)
    for first in blocks:
        lock = socket.socket()
        try:
            lock.bind((LOOPBACK, first))
            lock.listen()
            for port in range(first + 1, first + 20):
                with socket.socket() as probe:
                    probe.bind((LOOPBACK, port))
        except OSError:
            lock.close()
            continue
        return lock
    raise RuntimeError(f"no {PORTS_PER_HEAD} neighbouring free ports below {END_OF_BLOCKS}")


def _environment(token: str, block: PortBlock, drain_seconds: float) -> dict[str, str]:
    return {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": token,
        "RAY_SERVE_ENABLE_DIRECT_INGRESS": "1",
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(block.first_replica),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(block.last_replica),
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": str(drain_seconds),
        "RAY_USAGE_STATS_ENABLED": "0",
        "AUTOSCALER_METRIC_PORT": str(block.autoscaler_metrics),
        "DASHBOARD_METRIC_PORT": str(block.dashboard_metrics),
        # Despite its name: 0 makes Ray take 127.0.0.1 for the node's address, so that it listens nowhere else.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        # Under `uv run`, Ray would otherwise build a new environment for every worker.
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    }


def _arguments(block: PortBlock, num_cpus: int, temp: Path) -> list[str]:
    options: dict[str, object] = {
        "node-ip-address": LOOPBACK,
        "port": block.gcs,
        "dashboard-host": LOOPBACK,
        "dashboard-port": block.dashboard,
        "dashboard-agent-listen-port": block.agent_http,
        "dashboard-agent-grpc-port": block.agent_grpc,
        "runtime-env-agent-port": block.runtime_env_agent,
        "metrics-export-port": block.metrics,
        "node-manager-port": block.node_manager,
        "object-manager-port": block.object_manager,
        "ray-client-server-port": block.client_server,
        "min-worker-port": 0,  # 0 = any free port
        "max-worker-port": 0,
        "num-cpus": num_cpus,
        "object-store-memory": 100_000_000,  # bytes; nothing of ours goes through it
        "temp-dir": temp,
        "include-log-monitor": False,
    }
    return ["start", "--head", "--block", "--disable-usage-stats", *(f"--{k}={v}" for k, v in options.items())]


def _kill_session(leader: int) -> None:
    """Kill what is left of the session: Ray gives each worker a process group of its own."""
    deadline = time.monotonic() + 10
    while members := list(_session_members(leader)):
        for pid in members:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise TimeoutError(f"processes {members} of the Ray head's session {leader} would not end")
        time.sleep(0.05)


def _session_members(leader: int) -> Iterator[int]:
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _parent, _group, session = stat.read_text().rpartition(")")[2].split()[:4]
        except (OSError, ValueError):
            continue
        if int(session) == leader and state != "Z":
            yield int(stat.parent.name)
