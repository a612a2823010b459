"""Everything together on loopback: control plane, Ray head, cloud stand-in, operator, gateway.

The demo and the end-to-end tests start it. It applies no ModelDeployment: that is its user's work.
"""

import json
import secrets
import time
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tandem_lab import gemma, manifests, paths, tools
from tandem_lab.cloud import CloudStandIn
from tandem_lab.control_plane import ControlPlane
from tandem_lab.demo.overlay import Machine
from tandem_lab.gateway import Gateway
from tandem_lab.operator import NAMESPACE, SERVICE_ACCOUNT, Operator, RayClusterEntry
from tandem_lab.process import free_port
from tandem_lab.ray_head import RayHead
from tandem_lab.secret_mount import SecretMount

RAY_CLUSTER: Final = "lab"
CLOUD_MODEL: Final = "big-model"
GATEWAY_SECRET: Final = "tandem-gateway-tls"  # noqa: S105  the name of a Secret
_START_SECONDS: Final = 120
_COUNT_SECONDS: Final = 30

Report = Callable[[str], None]


class Stack:
    """Started with ``with``; logs and state are in ``folder``. The parts are attributes, for tests that break them."""

    def __init__(
        self,
        folder: Path,
        *,
        report: Report = tools.say,
        model_source: str | None = None,
        operator_settings: dict[str, Any] | None = None,
        python_path: Sequence[Path] = (),
    ) -> None:
        """``model_source`` is what a ModelDeployment here should say; Gemma when left out."""
        self._folder = folder
        self._report = report
        self._source = model_source
        self._settings = operator_settings or {}
        self._python_path = python_path
        self._exit = ExitStack()

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._exit.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._report("Stopping: gateway, operator, cloud stand-in, Ray, control plane.")
        self._exit.close()

    @property
    def logs(self) -> Path:
        return self._folder

    @property
    def programs(self) -> Path:
        """Folder of ``kubectl``."""
        return self.control_plane.kubectl_program.parent

    @property
    def url(self) -> str:
        """Base URL for OpenAI clients."""
        return f"http://127.0.0.1:{self.gateway_port}/v1"

    @property
    def variables(self) -> dict[str, str]:
        """Where everything is, as variables for a shell."""
        return {
            "KUBECONFIG": str(self.control_plane.kubeconfig),
            "URL": self.url,
            "OPENAI_BASE_URL": self.url,
            "OPENAI_API_KEY": "not-needed-here",
            "RAY_URL": self.ray.url,
            "RAY_TOKEN": self.ray.token,
            "CLOUD_ADMIN_URL": f"http://127.0.0.1:{self.cloud.admin_port}",
        }

    @property
    def machine(self) -> Machine:
        """What the example needs to know of this machine."""
        return Machine(
            example=paths.EXAMPLES / "01-hello",
            model_source=self.model_source,
            cloud_url=self.cloud.url,
            cloud_certificate_authority=self.cloud.ca_pem,
            cloud_key=self.cloud.key,
        )

    def replica_pid(self) -> int:
        """Return the process of the only replica that Ray runs; a new one may answer just before Ray counts it."""
        deadline = time.monotonic() + _COUNT_SECONDS
        while len(running := self._running()) != 1:
            if time.monotonic() > deadline:
                raise RuntimeError(f"Ray runs {len(running)} replicas instead of one")
            time.sleep(0.1)
        return running[0]

    def requests_sent(self) -> int:
        """Return how many requests the cloud stand-in has received."""
        return len(self.cloud.received)

    def _start(self) -> None:
        self.model_source = self._source or f"file://{gemma.prepare(self._report)}"
        self._report("Starting the control plane: etcd, kube-apiserver, controller-manager, scheduler")
        self.control_plane = self._exit.enter_context(ControlPlane(self._folder / "control-plane"))
        manifests.install(self.control_plane)
        self._report("Starting a Ray head")
        self.ray = self._exit.enter_context(RayHead(self._folder / "ray", python_path=self._python_path))
        self._report("Starting the cloud stand-in, the operator and the gateway")
        cloud = CloudStandIn(self._folder / "cloud", key=f"sk-{secrets.token_hex(16)}", models=[CLOUD_MODEL])
        self.cloud = self._exit.enter_context(cloud)
        self.gateway_port = free_port()
        self.operator = self._exit.enter_context(self._operator())
        tls = SecretMount(self.control_plane, NAMESPACE, GATEWAY_SECRET, self._folder / "gateway" / "tls")
        self._exit.enter_context(tls)
        operators = [f"127.0.0.1:{self.operator.xds_port}"]
        gateway = Gateway(self._folder / "gateway", operators=operators, tls_dir=tls.folder)
        self.gateway = self._exit.enter_context(gateway)
        self._wait_for_the_gateway()

    def _wait_for_the_gateway(self) -> None:
        """Return when clients can be served; it has its listener from the operator, so that is up as well."""
        deadline = time.monotonic() + _START_SECONDS
        while not self.gateway.ready:
            for process in (self.operator.process, self.gateway.agent, self.gateway.envoy.process):
                process.check()
            if time.monotonic() > deadline:
                raise TimeoutError(f"the gateway was not ready within {_START_SECONDS} s; see {self.logs}")
            time.sleep(0.1)

    def _operator(self) -> Operator:
        ray = RayClusterEntry(self.ray.url, self.ray.token, http_port=self.ray.http_port)
        settings = {
            "gateway_port": self.gateway_port,
            "gateway_url": f"http://127.0.0.1:{self.gateway_port}",
            **self._settings,
        }
        return Operator(
            self._folder / "operator",
            kubeconfig=self.control_plane.service_account_kubeconfig(NAMESPACE, SERVICE_ACCOUNT),
            ray_clusters={RAY_CLUSTER: ray},
            settings=settings,
        )

    def _running(self) -> list[int]:
        return [int(replica["pid"]) for replica in self._replicas() if replica["state"] == "RUNNING"]

    def _replicas(self) -> list[dict[str, Any]]:
        request = urllib.request.Request(  # noqa: S310  our own http address
            f"{self.ray.url}/api/serve/applications/", headers={"authorization": f"Bearer {self.ray.token}"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            applications = json.load(answer)["applications"].values()
        deployments = [deployment for app in applications for deployment in app["deployments"].values()]
        return [replica for deployment in deployments for replica in deployment["replicas"]]
