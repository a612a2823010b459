"""The gateway's settings, shared by the agent and the generator of Envoy's bootstrap. Read once, by ``__main__``."""

import socket
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

Port = Annotated[int, Field(ge=1, le=65535)]
Bytes = Annotated[int, Field(gt=0)]

_LONGEST_SOCKET_PATH: Final = 107
"""Characters: what the kernel's ``sockaddr_un`` holds."""


class GatewayConfig(BaseSettings):
    """Each field: environment variable ``TANDEM_GATEWAY_<NAME>``."""

    model_config = SettingsConfigDict(env_prefix="TANDEM_GATEWAY_", extra="forbid", frozen=True)

    node_id: str = Field(default_factory=socket.gethostname)
    """Name of this gateway in the operator's logs and conditions; the pod's name."""

    operators: Annotated[tuple[str, ...], NoDecode] = ("tandem-operator.tandem-system.svc:18000",)
    """``host:port`` of the operators, comma-separated. A name may resolve to several addresses: each is tried until
    the leader answers."""

    tls_dir: Path = Path("/etc/tandem/tls")
    """Folder with ``tls.crt``, ``tls.key`` and ``ca.crt`` (Secret ``tandem-gateway-tls``); read at each connect."""

    state_dir: Path = Path("/var/lib/tandem")
    """Folder of the last good snapshot. It must outlive the container, or a restart with the operator gone is empty."""

    run_dir: Path = Path("/run/tandem")
    """Folder of the Unix sockets between Envoy and agent; both must see it, nobody else needs to."""

    http_address: str = "0.0.0.0"  # noqa: S104  the kubelet and Prometheus come from outside
    """Address of ``/metrics``, ``/healthz`` and ``/readyz``."""

    http_port: Port = 9090
    """Port of ``/metrics``, ``/healthz`` and ``/readyz``."""

    admin_port: Port = 9901
    """Port of Envoy's admin interface, on loopback only."""

    max_heap_bytes: Bytes = 1 << 30
    """Envoy's heap: at 90 % it gives memory back, at 95 % it answers new requests with 503."""

    max_connections: Annotated[int, Field(gt=0)] = 50_000
    """Most client connections at once; further ones are closed at once."""

    policy_limit_seconds: Annotated[float, Field(gt=0)] = 3600
    """How long clouds may be used after the operator was last known to be current."""

    guard_body_bytes: Bytes = 64 << 20
    """Most bytes of large bodies that the guard works on at once; more of them wait."""

    @field_validator("operators", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("operators")
    @classmethod
    def _have_ports(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for operator in value:
            host, _, port = operator.rpartition(":")
            if not host or not port.isdecimal():
                raise ValueError(f"{operator!r} is not host:port")
        if not value:
            raise ValueError("at least one host:port is needed")
        return value

    @field_validator("run_dir")
    @classmethod
    def _fits_a_socket(cls, value: Path) -> Path:
        if len(str(value / "guard.sock")) > _LONGEST_SOCKET_PATH:
            raise ValueError(f"{value} is too long for a Unix socket's path ({_LONGEST_SOCKET_PATH} characters)")
        return value

    @property
    def xds_socket(self) -> Path:
        return self.run_dir / "xds.sock"

    @property
    def guard_socket(self) -> Path:
        return self.run_dir / "guard.sock"

    @property
    def agent_socket(self) -> Path:
        return self.run_dir / "agent.sock"

    @property
    def snapshot(self) -> Path:
        return self.state_dir / "snapshot"
