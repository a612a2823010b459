"""The operator as a process: under its ServiceAccount's rights, never an administrator's; killed, restarted, doubled.

Used by the demo, tests and campaigns. What a Deployment and a ConfigMap do in a cluster is done here by environment
variables and a file.
"""

import json
import signal
import sys
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.error import URLError

from tandem_lab import exposition
from tandem_lab.kubeconfig import write_private
from tandem_lab.process import Process, free_port

NAMESPACE: Final = "tandem-system"
SERVICE_ACCOUNT: Final = "tandem-operator"
_PROBE_SECONDS: Final = 10


@dataclass(frozen=True, slots=True)
class RayClusterEntry:
    """One Ray cluster as the administrator's file names it."""

    url: str
    token: str
    namespaces: tuple[str, ...] = ("*",)
    http_host: str = "127.0.0.1"
    http_port: int = 8000


class Operator:
    """One replica of the operator; ports are its own, and stay the same over restarts."""

    def __init__(
        self,
        folder: Path,
        *,
        kubeconfig: Path,
        ray_clusters: Mapping[str, RayClusterEntry] | None = None,
        settings: Mapping[str, Any] | None = None,
        xds_port: int | None = None,
    ) -> None:
        """``settings`` are fields of ``OperatorConfig`` by their names in Python, laid over the lab's own.

        ``kubeconfig`` comes from ``ControlPlane.service_account_kubeconfig(NAMESPACE, SERVICE_ACCOUNT)``.
        """
        self.xds_port = xds_port or free_port()
        self.probes_port = free_port()
        self._folder = folder
        self._kubeconfig = kubeconfig
        self._clusters = dict(ray_clusters or {})
        self._settings = dict(settings or {})
        self._process: Process | None = None

    @property
    def log(self) -> Path:
        return self._folder / "operator.log"

    @property
    def process(self) -> Process:
        if self._process is None:
            raise RuntimeError("the operator was not started")
        return self._process

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.alive

    def start(self) -> Self:
        """Start it; returns at once, see ``ready``."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._write_config()
        command = [sys.executable, "-m", "tandem_operator"]
        self._process = Process("operator", command, log=self.log, env=self._environment())
        return self

    def stop(self) -> None:
        """Ask it to end, as a kubelet does: it gives its Lease back."""
        if self._process is not None:
            self._process.stop()

    def kill(self) -> None:
        """End it at once, as a node that loses power does."""
        if self._process is not None:
            self._process.kill()

    def restart(self) -> Self:
        """Start it again after ``kill`` or ``stop``, same ports, same configuration."""
        self.kill()
        return self.start()

    def pause(self) -> None:
        """Stop its clock without its knowing, as a frozen machine does."""
        self.process.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.signal(signal.SIGCONT)

    def use_ray_clusters(self, clusters: Mapping[str, RayClusterEntry]) -> None:
        """Change the administrator's file; counts from the next start."""
        self._clusters = dict(clusters)

    @property
    def ready(self) -> bool:
        """Whether it knows all objects; leader or not."""
        return self._get("/readyz") is not None

    @property
    def healthy(self) -> bool:
        """Whether a kubelet would leave it alone."""
        return self._get("/healthz") is not None

    @property
    def leads(self) -> bool:
        return self.metric("tandem_leader") == 1.0

    def metric(self, name: str) -> float | None:
        """Return the sum of a metric's samples; None while it cannot be read, and without any."""
        return exposition.total(self._get("/metrics") or "", name)

    def _get(self, path: str) -> str | None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.probes_port}{path}", timeout=_PROBE_SECONDS) as answer:
                return str(answer.read().decode())
        except (URLError, HTTPException, OSError):
            return None

    def _environment(self) -> dict[str, str]:
        fields: dict[str, Any] = {
            "namespace": NAMESPACE,
            "xds_address": "127.0.0.1",
            "xds_port": self.xds_port,
            "xds_names": ["127.0.0.1", "localhost"],
            "probes_address": "127.0.0.1",
            "probes_port": self.probes_port,
            "gateway_address": "127.0.0.1",
            **self._settings,
        }
        given = {
            f"TANDEM_{name.upper()}": value if isinstance(value, str) else json.dumps(value)
            for name, value in fields.items()
        }
        return {**given, "TANDEM_CONFIG_FILE": str(self._config_file), "KUBECONFIG": str(self._kubeconfig)}

    @property
    def _config_file(self) -> Path:
        return self._folder / "operator.yaml"

    def _write_config(self) -> None:
        clusters = {}
        for name, cluster in self._clusters.items():
            token = self._folder / f"{name}.token"
            write_private(token, cluster.token)
            clusters[name] = {
                "url": cluster.url,
                "tokenFile": str(token),
                "namespaces": list(cluster.namespaces),
                "httpHost": cluster.http_host,
                "httpPort": cluster.http_port,
            }
        self._config_file.write_text(json.dumps({"rayClusters": clusters}))  # JSON is YAML

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
