"""A gateway on loopback: the agent and Envoy beside it, each killed and restarted by itself.

Used by the demo, tests and campaigns. Where it listens for clients comes from the operator, as everything else does.
"""

import json
import shutil
import sys
import tempfile
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.error import HTTPError, URLError

from tandem_serving.gateway.bootstrap import make_bootstrap
from tandem_serving.gateway.config import GatewayConfig

from tandem_lab import exposition
from tandem_lab.envoy import Envoy
from tandem_lab.process import Process, free_port


class Gateway:
    """Logs, certificates and the snapshot are in ``folder``; ports stay the same over restarts."""

    def __init__(
        self,
        folder: Path,
        *,
        operators: Sequence[str],
        tls_dir: Path | None = None,
        node_id: str = "lab-gateway",
        concurrency: int = 1,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        """``operators`` are ``host:port``; ``settings`` are fields of ``GatewayConfig``, laid over the lab's own."""
        self.folder = folder
        self.http_port = free_port()
        self.admin_port = free_port()
        self._run_dir = Path(tempfile.mkdtemp(prefix="tandem-"))  # short: Unix socket paths end at 107 characters
        self.config = GatewayConfig.model_validate(
            {
                "node_id": node_id,
                "operators": tuple(operators),
                "tls_dir": tls_dir or folder / "tls",
                "state_dir": folder / "state",
                "run_dir": self._run_dir,
                "http_address": "127.0.0.1",
                "http_port": self.http_port,
                "admin_port": self.admin_port,
                **(settings or {}),
            }
        )
        self._bootstrap = folder / "bootstrap.json"
        self.envoy = Envoy(
            self._bootstrap, admin_port=self.admin_port, log=folder / "envoy.log", concurrency=concurrency
        )
        self._agent: Process | None = None

    @property
    def agent(self) -> Process:
        if self._agent is None:
            raise RuntimeError("the agent was not started")
        return self._agent

    @property
    def snapshot(self) -> Path:
        """The file that a restart begins from."""
        return self.config.snapshot

    @property
    def agent_log(self) -> str:
        return self.agent.log.read_text(errors="replace")

    @property
    def ready(self) -> bool:
        """Whether clients can be served: Envoy has accepted its listener and is live."""
        return self.get("/readyz")[0] == 200 and self.envoy.live

    def get(self, path: str) -> tuple[int, str]:
        """Return status and body of the agent's own HTTP; status 0 while it cannot be reached."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as error:
            return error.code, error.read().decode()
        except (URLError, OSError):
            return 0, ""

    def metric(self, name: str) -> float | None:
        """Return the sum of a metric's samples, None while it cannot be read."""
        return exposition.total(self.get("/metrics")[1], name)

    def start(self) -> Self:
        """Start both; returns at once, see ``ready``."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._bootstrap.write_text(json.dumps(make_bootstrap(self.config)))
        self.start_agent()
        self.start_envoy()
        return self

    def start_agent(self) -> None:
        command = [sys.executable, "-m", "tandem_serving.gateway"]
        self._agent = Process("gateway agent", command, log=self.folder / "agent.log", env=self._environment())

    def start_envoy(self) -> None:
        self.envoy.start()

    def stop(self) -> None:
        """Ask both to end: Envoy first, so that no request meets a gateway without its guard."""
        self.envoy.stop()
        if self._agent is not None:
            self._agent.stop()
        shutil.rmtree(self._run_dir, ignore_errors=True)

    def kill_agent(self) -> None:
        """End the agent at once, relay and guard with it."""
        self.agent.kill()

    def kill_envoy(self) -> None:
        self.envoy.kill()

    def restart_agent(self) -> None:
        self.kill_agent()
        self.start_agent()

    def restart_envoy(self) -> None:
        self.kill_envoy()
        self.start_envoy()

    def _environment(self) -> dict[str, str]:
        fields = {
            name: ",".join(value) if name == "operators" else str(value)
            for name, value in self.config.model_dump().items()
        }
        return {f"TANDEM_GATEWAY_{name.upper()}": value for name, value in fields.items()}

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
