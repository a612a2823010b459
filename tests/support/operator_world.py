"""Operators under test on a real control plane: fast clocks, their own rights, a gateway that acknowledges."""

import json
import secrets
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tandem_lab import kubeconfig
from tandem_lab.control_plane import ControlPlane
from tandem_lab.operator import NAMESPACE, SERVICE_ACCOUNT, Operator, RayClusterEntry
from tandem_lab.ray_head import RayHead

from support.builders import a_cloud_endpoint, a_model_deployment, merged
from support.fault_proxy import FaultProxy, Fuse
from support.recording_gateway import RecordingGateway
from support.wait import eventually

START_SECONDS: Final = 120
SETTLE_SECONDS: Final = 150

FAST: Final[Mapping[str, Any]] = {
    "replica_import_path": "tandem_lab.small_model:build",
    "lease_duration_seconds": 4,
    "renew_deadline_seconds": 3,
    "retry_period_seconds": 0.5,
    "relist_seconds": 3,
    "resync_seconds": 4,
    "poll_seconds": 1,
    "credentials_seconds": 1,
    "freshness_seconds": 1,
}

STEADY: Final[Mapping[str, Any]] = {"lease_duration_seconds": 15, "renew_deadline_seconds": 10}
"""Over ``FAST``, for tests that would see a leader that stepped down: four seconds are not much on a busy machine."""

USER: Final = f"system:serviceaccount:{NAMESPACE}:{SERVICE_ACCOUNT}"


@dataclass
class World:
    """A namespace of a test's own, an operator, and a gateway that follows it."""

    control_plane: ControlPlane
    operator: Operator
    gateway: RecordingGateway
    namespace: str

    def apply(self, *manifests: dict[str, Any]) -> None:
        self.control_plane.apply(*manifests)

    def deployment(self, name: str = "chat", **spec: Any) -> dict[str, Any]:
        """Return a small ModelDeployment of this namespace; ``spec`` is laid over it."""
        small = {"model": {"source": "file:///nowhere/switches.json"}, "local": {"resources": {"cpu": "100m"}}}
        return a_model_deployment(name, namespace=self.namespace, spec=merged(small, spec))

    def endpoint(self, name: str, **spec: Any) -> dict[str, Any]:
        """Return a CloudEndpoint whose key is to be in a Secret of the same name."""
        own = {"credentials": {"secretRef": {"name": name, "key": "api-key"}}}
        return a_cloud_endpoint(name, spec=merged(own, spec))

    def get(self, name: str = "chat") -> dict[str, Any]:
        return dict(self.control_plane.get_json("mdep", name, "-n", self.namespace))

    def exists(self, name: str = "chat") -> bool:
        found = self.control_plane.run_kubectl("get", "mdep", name, "-n", self.namespace, "--ignore-not-found")
        return bool(found.stdout.strip()) or found.returncode != 0

    def condition(self, type_: str, name: str = "chat") -> tuple[str, str]:
        """Return status and reason of a condition of the current generation; empty when there is none."""
        return condition_of(self.get(name), type_)

    def message(self, type_: str, name: str = "chat") -> str:
        found = [c for c in self.get(name).get("status", {}).get("conditions", []) if c["type"] == type_]
        return str(found[0]["message"]) if found else ""

    def endpoint_condition(self, name: str, type_: str) -> tuple[str, str]:
        return condition_of(self.control_plane.get_json("cloudep", name), type_)

    def until(
        self, expected: Mapping[str, tuple[str, str]], name: str = "chat", seconds: float = SETTLE_SECONDS
    ) -> None:
        """Wait until these conditions have these statuses and reasons."""

        def there() -> bool:
            found = self.get(name)
            assert {type_: condition_of(found, type_) for type_ in expected} == dict(expected)
            return True

        eventually(there, seconds)

    def until_settled(self, name: str = "chat", seconds: float = SETTLE_SECONDS) -> None:
        """Wait until the spec is fully in effect."""
        self.until(
            {"Ready": ("True", "LocalAnswers"), "RoutesProgrammed": ("True", "Programmed"), "Reconciling": ("", "")},
            name,
            seconds,
        )

    def create_secret(self, name: str, **data: str) -> None:
        literals = [f"--from-literal={key.replace('_', '-')}={value}" for key, value in data.items()]
        self.control_plane.kubectl("create", "secret", "generic", name, "-n", NAMESPACE, *literals)

    def delete_everything(self) -> None:
        """Leave nothing behind for the next test."""
        timeout = f"--timeout={SETTLE_SECONDS}s"
        self.control_plane.run_kubectl("delete", "mdep", "--all", "-n", self.namespace, timeout)

    def owner_key(self, name: str = "chat") -> str:
        return f"{self.namespace}/{name}"


def condition_of(found: dict[str, Any], type_: str) -> tuple[str, str]:
    status = found.get("status", {})
    if status.get("observedGeneration") != found["metadata"]["generation"]:
        return "", "status is of another generation"
    for condition in status.get("conditions", []):
        if condition["type"] == type_:
            return condition["status"], condition["reason"]
    return "", ""


def serve_app(head: RayHead, world: World, name: str = "chat") -> dict[str, Any] | None:
    """Return what Ray says about a deployment's application, None when it does not know it."""
    address = f"{head.url}/api/serve/applications/"
    request = urllib.request.Request(address, headers={"Authorization": f"Bearer {head.token}"})  # noqa: S310  our own
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310  our own address
        applications = json.load(answer)["applications"]
    found = [app for key, app in applications.items() if key.endswith(f"_{world.namespace}_{name}")]
    return dict(found[0]) if found else None


def ray_entry(head: RayHead, *, url: str | None = None, **changes: Any) -> RayClusterEntry:
    return RayClusterEntry(url or head.url, head.token, http_port=head.http_port, **changes)


def operator_rights(control_plane: ControlPlane) -> Path:
    return control_plane.service_account_kubeconfig(NAMESPACE, SERVICE_ACCOUNT)


@contextmanager
def running_world(
    control_plane: ControlPlane,
    folder: Path,
    ray_clusters: Mapping[str, RayClusterEntry],
    *,
    kubeconfig_file: Path | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Iterator[World]:
    """Yield a world whose operator leads and whose gateway is let in."""
    namespace = f"test-{secrets.token_hex(4)}"
    control_plane.kubectl("create", "namespace", namespace)
    operator = Operator(
        folder / "operator",
        kubeconfig=kubeconfig_file or operator_rights(control_plane),
        ray_clusters=ray_clusters,
        settings={**FAST, **(settings or {})},
    )
    with operator, RecordingGateway(control_plane, [operator.xds_port]) as gateway:
        world = World(control_plane, operator, gateway, namespace)
        try:
            eventually(lambda: operator.leads and gateway.streams, START_SECONDS)
            yield world
        finally:
            if not operator.alive:
                operator.start()
            world.delete_everything()
    control_plane.kubectl("delete", "namespace", namespace, "--wait=false")


def audited(control_plane: ControlPlane, since: int = 0) -> list[dict[str, Any]]:
    """Return what the operator asked the API server from the ``since``-th line of its audit log on."""
    return [event for event in control_plane.audit_events()[since:] if event["user"]["username"] == USER]


def writes(events: list[dict[str, Any]]) -> list[str]:
    """Return the writes among audited requests, but those of the Lease."""
    return [
        f"{event['verb']} {event['requestURI']}"
        for event in events
        if event["verb"] not in {"get", "list", "watch"} and event["objectRef"].get("resource") != "leases"
    ]


@contextmanager
def faulty(
    control_plane: ControlPlane, head: RayHead, folder: Path
) -> Iterator[tuple[Fuse, FaultProxy, Path, RayClusterEntry]]:
    """Yield a fuse over proxies before API server and Ray head, and what leads an operator through them."""
    fuse = Fuse(counts=_counts)
    with faulty_api(control_plane, folder, fuse) as (api, file), FaultProxy(head.url, fuse) as ray:
        yield fuse, api, file, ray_entry(head, url=ray.url)


@contextmanager
def faulty_api(
    control_plane: ControlPlane, folder: Path, fuse: Fuse | None = None
) -> Iterator[tuple[FaultProxy, Path]]:
    """Yield a proxy before the API server, and the operator's kubeconfig that leads through it."""
    rights = json.loads(operator_rights(control_plane).read_text())
    token = rights["users"][0]["user"]["token"]
    authority = control_plane.certificate_authority
    with FaultProxy(control_plane.url, fuse or Fuse(counts=_counts), certificate_authority=authority) as api:
        file = folder / "through-proxy.kubeconfig"
        kubeconfig.write(file, server=api.url, certificate_authority=authority, token=token)
        yield api, file


def _counts(method: str, path: str) -> bool:
    """Every write of a deployment's life: not the Lease's, and not Events, which only tell of what was written."""
    return "/leases" not in path and not path.endswith("/events")
