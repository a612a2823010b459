"""A real Envoy with compiled resources in a bootstrap file, for tests of what was compiled (xDS has its own tests).

What comes by ADS in the product is inlined: the listener gets its routes, an EDS cluster its endpoints. Nothing else is
changed, so what a test sees here is what the compiled resources do.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tandem_lab.envoy import Envoy
from tandem_lab.process import free_port
from tandem_operator.routing import Message

from support.wait import eventually

TYPE = "type.googleapis.com/"


def static_bootstrap(
    resources: Iterable[Message], *, guard: Message, agent: Message, admin_port: int = 0, loopback: str = "127.0.0.1"
) -> dict[str, Any]:
    """Return a bootstrap that holds ``resources``; ``guard`` and ``agent`` are addresses of the static clusters."""
    by_type: dict[str, list[Message]] = {
        "Listener": [],
        "RouteConfiguration": [],
        "Cluster": [],
        "ClusterLoadAssignment": [],
    }
    for resource in json.loads(json.dumps(list(resources))):
        by_type[resource.pop("@type").rpartition(".")[2]].append(resource)
    routes = {route["name"]: route for route in by_type["RouteConfiguration"]}
    endpoints = {load["cluster_name"]: load for load in by_type["ClusterLoadAssignment"]}
    return {
        "node": {"id": "static", "cluster": "tandem-gateway"},
        "admin": {"address": {"socket_address": {"address": loopback, "port_value": admin_port}}},
        "bootstrap_extensions": [
            {
                "name": "envoy.bootstrap.internal_listener",
                "typed_config": {"@type": f"{TYPE}envoy.extensions.bootstrap.internal_listener.v3.InternalListener"},
            }
        ],
        "static_resources": {
            "listeners": [_with_routes(listener, routes) for listener in by_type["Listener"]],
            "clusters": [
                *(_with_endpoints(cluster, endpoints) for cluster in by_type["Cluster"]),
                _static("guard", guard, http2=True),
                _static("agent", agent),
            ],
        },
    }


def _with_routes(listener: Message, routes: Mapping[str, Message]) -> Message:
    for chain in listener["filter_chains"]:
        for network_filter in chain["filters"]:
            manager = network_filter["typed_config"]
            if rds := manager.pop("rds", None):
                manager["route_config"] = routes[rds["route_config_name"]]
    return listener


def _with_endpoints(cluster: Message, endpoints: Mapping[str, Message]) -> Message:
    if cluster.pop("eds_cluster_config", None):
        cluster |= {"type": "STATIC", "load_assignment": endpoints[cluster["name"]]}
    return cluster


def _static(name: str, address: Message, *, http2: bool = False) -> Message:
    options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    protocol = {"http2_protocol_options": {}} if http2 else {"http_protocol_options": {}}
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
        "typed_extension_protocol_options": {options: {"@type": TYPE + options, "explicit_http_config": protocol}},
    }


def tcp(port: int) -> Message:
    """Return a loopback address."""
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def pipe(path: Path) -> Message:
    """Return the address of a Unix socket."""
    return {"pipe": {"path": str(path)}}


class StaticGateway:
    """A running Envoy that listens on ``port`` (which the compiled listener names)."""

    def __init__(self, bootstrap: dict[str, Any], folder: Path, *, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        admin_port = free_port()
        bootstrap["admin"]["address"]["socket_address"]["port_value"] = admin_port
        config = folder / "envoy.json"
        config.write_text(json.dumps(bootstrap))
        self._envoy = Envoy(config, admin_port=admin_port, log=folder / "envoy.log")

    def get(self, path: str) -> str:
        """Return what Envoy's admin interface says."""
        return self._envoy.admin(path)

    def stat(self, name: str) -> int:
        """Return one of Envoy's counters or gauges, 0 when it does not exist yet."""
        found = json.loads(self.get(f"/stats?format=json&filter=^{name.replace('|', '.')}$"))["stats"]
        return sum(entry.get("value", 0) for entry in found)

    def health(self) -> dict[str, list[str]]:
        """Return each cluster's hosts that Envoy would use."""
        clusters = json.loads(self.get("/clusters?format=json"))["cluster_statuses"]
        return {
            cluster["name"]: [
                str(host["address"]) for host in cluster.get("host_statuses", []) if _usable(host["health_status"])
            ]
            for cluster in clusters
        }

    def access_log(self) -> list[dict[str, Any]]:
        """Return the access log's entries so far."""
        return [json.loads(line) for line in self.log().splitlines() if line.startswith("{")]

    def log(self) -> str:
        """Return everything that Envoy wrote."""
        return self._envoy.log.read_text(errors="replace")

    def __enter__(self) -> Self:
        self._envoy.start()
        try:
            eventually(self._live, within_seconds=60)
        except BaseException:
            self._envoy.stop()
            raise
        return self

    def _live(self) -> bool:
        self._envoy.process.check()
        return self._envoy.live

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._envoy.stop()


def _usable(health: Mapping[str, Any]) -> bool:
    return not (health.get("failed_active_health_check") or health.get("failed_outlier_check"))
