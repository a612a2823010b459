"""The operator's delta-ADS server in a loop of its own, for tests of gateways: real gRPC, real mTLS, no Kubernetes."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tandem_contract.data_class import DataClass
from tandem_contract.documents import DeploymentPolicy, Document
from tandem_contract.xds import Programmed, State
from tandem_lab.process import free_port
from tandem_operator.pki import Pki, ServerTls, plan_pki
from tandem_operator.routing import (
    GatewaySettings,
    RoutedDeployment,
    Target,
    compile_deployment,
    compile_gateway,
)
from tandem_operator.servers.xds import Publisher

from support.loop_thread import LoopThread


def a_pki() -> Pki:
    return plan_pki(None, None, server=None, names=(), now=datetime.now(UTC))


def mount(pki: Pki, folder: Path) -> Path:
    """Write the gateway's Secret as a kubelet would; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in pki.gateway.items():
        (folder / name).write_bytes(value)
    return folder


def compile_model(name: str, *ports: int, prefix: str | None = None) -> list[dict[str, Any]]:
    """Return what the operator compiles for a deployment in namespace ``team`` with replicas on loopback."""
    targets = tuple(Target(replica=f"r{port}", address="127.0.0.1", port=port) for port in ports)
    routed = RoutedDeployment("team", name, (name, f"team/{name}"), prefix or f"/{name}", targets=targets)
    return list(compile_deployment(routed))


class XdsOperator:
    """A ``Publisher`` that is called from a test's thread. ``told`` is every set of owners that it reported."""

    def __init__(self, tls: ServerTls, port: int | None = None) -> None:
        self.port = port or free_port()
        self.told: list[frozenset[str]] = []
        self._tls = tls
        self._thread: LoopThread | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def open(self) -> None:
        self._do(self.publisher.open)

    def refuse(self, reason: str = "another operator leads") -> None:
        self._do(lambda: self.publisher.refuse(reason))

    def use(self, tls: ServerTls) -> None:
        self._tls = tls
        self._do(lambda: self.publisher.use(tls))

    def put(self, owner: str, messages: Iterable[Mapping[str, Any]] = (), documents: Iterable[Document] = ()) -> bool:
        return bool(self._do(lambda: self.publisher.put(owner, messages, documents)))

    def drop(self, owner: str) -> bool:
        return bool(self._do(lambda: self.publisher.drop(owner)))

    def programmed(self, owner: str) -> Programmed:
        found: Programmed = self._do(lambda: self.publisher.programmed(owner))
        return found

    def accepted(self, *owners: str) -> bool:
        return all(self.programmed(owner).state is State.YES for owner in owners)

    @property
    def gateways(self) -> tuple[str, ...]:
        found: tuple[str, ...] = self._do(lambda: self.publisher.gateways)
        return found

    def put_gateway(self, port: int) -> None:
        """Publish the listener and the routes."""
        self.put("gateway", compile_gateway(GatewaySettings("127.0.0.1", port)))

    def put_model(self, name: str, *ports: int, prefix: str | None = None) -> str:
        """Publish a deployment in namespace ``team`` with replicas on loopback; return its owner."""
        key = f"team/{name}"
        policy = DeploymentPolicy(
            deployment=key,
            names=(name, key),
            created_seconds=1,
            prefix=prefix or f"/{name}",
            token="t",
            data_class=DataClass.PUBLIC,
        )
        self.put(f"deployment/{key}", compile_model(name, *ports, prefix=prefix), [policy])
        return f"deployment/{key}"

    def start(self) -> Self:
        self._thread = LoopThread()
        self._thread.__enter__()
        self._thread.run(self._start())
        return self

    def stop(self) -> None:
        """End it at once, its streams too. Once is enough."""
        if self._thread is not None:
            self._thread.run(self.publisher.stop(0))
            self._thread.__exit__(None, None, None)
            self._thread = None

    async def _start(self) -> None:
        self.publisher = Publisher(changed=self.told.append)
        assert await self.publisher.start("127.0.0.1", self.port, self._tls) == self.port

    def _do(self, work: Any) -> Any:
        async def run() -> Any:
            return work()

        assert self._thread is not None, "the operator was stopped"
        return self._thread.run(run())

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
