"""The administrator's settings. Read once at start by ``__main__``; everything else gets its part passed in.

Environment variables ``TANDEM_*`` carry the plain values; a YAML file named by ``TANDEM_CONFIG_FILE`` carries the
Ray clusters (and may carry the others, in camel case). The environment wins. Nothing here ever comes from a spec:
a tenant who could name a URL could aim the operator, and its tokens, at any host.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel, to_snake
from pydantic_settings import BaseSettings, SettingsConfigDict

from tandem_operator.leader import LONGEST_RETRY

Seconds = Annotated[float, Field(gt=0)]
Port = Annotated[int, Field(ge=1, le=65535)]

ANY_NAMESPACE = "*"


class RayCluster(BaseModel):
    """One Ray cluster that deployments may name in ``local.ray.external``."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)

    url: str
    """Base address of its dashboard, which serves the Serve REST API: ``http://ray-head:8265``."""

    token_file: Path
    """File with the token of ``RAY_AUTH_MODE=token``; read at every call, so that it can rotate."""

    namespaces: tuple[str, ...] = ()
    """Namespaces that may use it; ``*`` = all; empty = none."""

    http_host: str = "0.0.0.0"  # noqa: S104  replicas must be reachable from the gateway's pods
    """Address that the replicas' HTTP ports are bound to, on a cluster where Serve was not started yet."""

    http_port: Port = 8000
    """Port of Ray's own HTTP proxy there; no request passes through it, and it must be free on the head's node."""

    @model_validator(mode="before")
    @classmethod
    def _has_a_token(cls, written: Any) -> Any:
        if isinstance(written, Mapping) and not {"tokenFile", "token_file"} & written.keys():
            raise ValueError(
                "tokenFile is missing: run the Ray cluster with RAY_AUTH_MODE=token, without which anybody who reaches "
                "it runs code there, and name the file that holds its RAY_AUTH_TOKEN"
            )
        return written

    def allows(self, namespace: str) -> bool:
        """Tell whether deployments of ``namespace`` may use this cluster."""
        return ANY_NAMESPACE in self.namespaces or namespace in self.namespaces

    def token(self) -> str:
        """Return the token as it is now; ``OSError`` when its file cannot be read."""
        return self.token_file.read_text(encoding="utf-8").strip()


class OperatorConfig(BaseSettings):
    """Each field: environment variable ``TANDEM_<NAME>``, or camel case in the file."""

    model_config = SettingsConfigDict(env_prefix="TANDEM_", extra="forbid", frozen=True)

    namespace: str = "tandem-system"
    """The operator's own namespace: Lease, internal Secrets, and the only place where cloud credentials are read."""

    identity: str = ""
    """Name of this process in the Lease; default: host name and a random part."""

    ray_clusters: dict[str, RayCluster] = {}
    """By the name that a spec uses."""

    replica_import_path: str = "tandem_serving.replica.app:build"
    """What Ray Serve imports to build a replica, ``module:function``; part of the replica image."""

    gateway_url: str = "http://tandem-gateway.tandem-system.svc"
    """Address that clients use, without a path; ``status.url`` is made from it."""

    gateway_address: str = "0.0.0.0"  # noqa: S104  the gateway's listener, inside its own pod
    """Address that Envoy listens on."""

    gateway_port: Port = 8080
    """Port that Envoy listens on."""

    xds_address: str = "0.0.0.0"  # noqa: S104  gateways come from other pods, with client certificates
    """Address of the delta-ADS server."""

    xds_port: Port = 18000
    """Port of the delta-ADS server."""

    xds_names: tuple[str, ...] = ("tandem-operator.tandem-system.svc", "localhost", "127.0.0.1")
    """DNS names and IP addresses that the delta-ADS server's certificate is valid for."""

    probes_address: str = "0.0.0.0"  # noqa: S104  the kubelet and Prometheus come from outside
    """Address of ``/healthz``, ``/readyz`` and ``/metrics``."""

    probes_port: Port = 8081
    """Port of ``/healthz``, ``/readyz`` and ``/metrics``."""

    workers: Annotated[int, Field(ge=1, le=64)] = 8
    """Keys that are reconciled at the same time."""

    resync_seconds: Seconds = 300
    """Every object is looked at again at least this often, give or take 10 %."""

    relist_seconds: Seconds = 60
    """How often objects are listed anew, to find what the watch missed, give or take 10 %."""

    poll_seconds: Seconds = 3
    """How often each Ray cluster is asked what its applications do."""

    credentials_seconds: Seconds = 15
    """How often each endpoint's Secrets are read again: a rotated key is in use after at most this."""

    certificates_seconds: Seconds = 300
    """How often the certificates between operator and gateways are looked at: renewed days before they end, and made
    again when somebody deleted them."""

    freshness_seconds: Seconds = 15
    """How often gateways are told that the operator's view is current."""

    lease_duration_seconds: Seconds = 15
    """A leader that was silent for this long may be replaced."""

    renew_deadline_seconds: Seconds = 10
    """A leader that could not renew for this long stops writing; below ``lease_duration_seconds``."""

    retry_period_seconds: Seconds = 2
    """Time between two attempts to get or renew the Lease; waits are up to a fifth longer, and even then below
    ``renew_deadline_seconds``."""

    @model_validator(mode="after")
    def _a_leader_stops_before_another_starts(self) -> Self:
        """Refuse clocks by which two processes would write at the same time, or a leader could not even renew."""
        duration, deadline = self.lease_duration_seconds, self.renew_deadline_seconds
        if deadline >= duration:
            raise ValueError(
                f"renew_deadline_seconds ({deadline:g}) must be below lease_duration_seconds ({duration:g}): a leader "
                "would still write when another may have taken its place. Lower the first or raise the second"
            )
        if self.retry_period_seconds * LONGEST_RETRY >= deadline:
            raise ValueError(
                f"retry_period_seconds ({self.retry_period_seconds:g}) and a fifth must be below "
                f"renew_deadline_seconds ({deadline:g}): the Lease would run out before it is renewed. Lower the first "
                "or raise the second"
            )
        return self


def load_config(file: Path | None) -> OperatorConfig:
    """Return the configuration of this process; raises ``ValidationError`` naming the field."""
    written = yaml.safe_load(file.read_text(encoding="utf-8")) if file else None
    return OperatorConfig(**from_file(written or {}))


def from_file(written: Mapping[str, Any]) -> dict[str, Any]:
    """Return the file's fields that no environment variable overrides, by their names here."""
    fields = {to_snake(name): value for name, value in written.items()}
    return {name: value for name, value in fields.items() if f"TANDEM_{name.upper()}" not in os.environ}
