"""Every way that a request can take through compiled resources, with a client that names whatever it likes.

`ways_out` returns what it found wrong: a cluster that leaves the premises and is reached without the guard. A cluster
header counts as any existing cluster that its route's matchers let through, so a route that forgot its prefix is seen.
"""

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from typing import Any

from tandem_operator.routing import Message

STATIC = {"agent"}
"""Clusters of Envoy's bootstrap that a request may reach: a Unix socket beside Envoy. ``guard``, ``xds``: never."""

HARMLESS_FILTERS = {
    "envoy.filters.http.buffer",
    "envoy.filters.http.custom_response",
    "envoy.filters.http.transform",
    "envoy.filters.http.router",
}


@dataclass
class Snapshot:
    """Resources by name."""

    listeners: dict[str, Message] = field(default_factory=dict)
    clusters: dict[str, Message] = field(default_factory=dict)
    routes: dict[str, Message] = field(default_factory=dict)

    @classmethod
    def of(cls, resources: Iterable[Message]) -> "Snapshot":
        snapshot = cls()
        kinds = {"Listener": snapshot.listeners, "Cluster": snapshot.clusters, "RouteConfiguration": snapshot.routes}
        for resource in resources:
            kind = kinds.get(resource["@type"].rpartition(".")[2])
            if kind is not None:
                kind[resource["name"]] = resource
        return snapshot


def ways_out(resources: Iterable[Message]) -> list[str]:
    """Return a line for each way out that skips the guard; empty = there is none."""
    snapshot = Snapshot.of(resources)
    doors = [listener for listener in snapshot.listeners.values() if "address" in listener]
    return sorted({problem for door in doors for problem in _from_listener(snapshot, door, [door["name"]])})


def _from_listener(snapshot: Snapshot, listener: Message, way: list[str]) -> Iterator[str]:
    for manager in _managers(listener, way):
        if isinstance(manager, str):
            yield manager
            continue
        for http_filter in manager["http_filters"]:
            if http_filter["name"] not in HARMLESS_FILTERS:
                yield f"{' > '.join(way)}: unknown filter {http_filter['name']}"
        for name in sorted(_named_clusters(snapshot, manager)):
            yield from _from_cluster(snapshot, name, [*way, name])


def _managers(listener: Message, way: list[str]) -> Iterator[Message | str]:
    for chain in listener["filter_chains"]:
        for network_filter in chain["filters"]:
            manager = network_filter["typed_config"]
            is_http = manager["@type"].endswith(".HttpConnectionManager")
            yield manager if is_http else f"{' > '.join(way)}: not HTTP: {manager['@type']}"


def _named_clusters(snapshot: Snapshot, manager: Message) -> Set[str]:
    config = manager.get("route_config") or snapshot.routes[manager["rds"]["route_config_name"]]
    actions = [
        (route["match"], route["route"])
        for host in config["virtual_hosts"]
        for route in host["routes"]
        if "route" in route
    ]
    return {name for match, action in actions for name in _of_action(snapshot, match, action)}


def _of_action(snapshot: Snapshot, match: Message, action: Message) -> Iterator[str]:
    known = {"cluster", "cluster_header", "cluster_not_found_response_code", "path_rewrite", "timeout", "idle_timeout"}
    for surprising in action.keys() - known - {"internal_redirect_policy"}:
        yield f"?{surprising}"
    if "cluster" in action:
        yield action["cluster"]
    if header := action.get("cluster_header"):
        matchers = [m["string_match"] for m in match.get("headers", []) if m["name"] == header and "string_match" in m]
        yield from (name for name in _all_clusters(snapshot) if all(_accepts(m, name) for m in matchers))


def _all_clusters(snapshot: Snapshot) -> Set[str]:
    return snapshot.clusters.keys() | {"guard", "agent", "xds"}


def _accepts(matcher: Mapping[str, Any], name: str) -> bool:
    if "prefix" in matcher:
        return name.startswith(matcher["prefix"])
    return name == matcher["exact"] if "exact" in matcher else True


def _from_cluster(snapshot: Snapshot, name: str, way: list[str]) -> Iterator[str]:
    cluster = snapshot.clusters.get(name)
    if name in STATIC or (cluster is None and name not in {"guard", "xds"} and not name.startswith("?")):
        return
    if cluster is None:
        yield f"{' > '.join(way)}: a client must not reach this"
    elif members := _members(cluster):
        for member in members:
            yield from _from_cluster(snapshot, member, [*way, member])
    elif cluster.get("type") == "EDS":
        return  # the pods
    elif inner := _internal_listener(cluster):
        if not _guarded(snapshot.listeners.get(inner)):
            yield f"{' > '.join(way)}: no guard first"
    else:
        yield f"{' > '.join(way)}: leaves without the guard"


def _members(cluster: Message) -> list[str]:
    if "cluster_type" not in cluster:
        return []
    assert cluster["cluster_type"]["name"] == "envoy.clusters.composite"
    return [member["name"] for member in cluster["cluster_type"]["typed_config"]["clusters"]]


def _internal_listener(cluster: Message) -> str | None:
    """Return the listener that every address of the cluster leads to."""
    found = {
        endpoint["endpoint"]["address"].get("envoy_internal_address", {}).get("server_listener_name")
        for group in cluster.get("load_assignment", {}).get("endpoints", [])
        for endpoint in group["lb_endpoints"]
    }
    return next(iter(found)) if len(found) == 1 and cluster.get("type") == "STATIC" else None


def _guarded(listener: Message | None) -> bool:
    """Whether every chain's first HTTP filter asks the guard, and fails closed. A missing listener is shut."""
    if listener is None:
        return True
    managers = list(_managers(listener, []))
    return bool(managers) and all(not isinstance(manager, str) and _asks_guard(manager) for manager in managers)


def _asks_guard(manager: Message) -> bool:
    first = manager["http_filters"][0]["typed_config"]
    mode = first.get("processing_mode", {})
    return (
        first["@type"].endswith(".ext_proc.v3.ExternalProcessor")
        and first["failure_mode_allow"] is False
        and not first.get("observability_mode")
        and first["grpc_service"]["envoy_grpc"]["cluster_name"] == "guard"
        and (mode.get("request_header_mode"), mode.get("request_body_mode")) == ("SEND", "BUFFERED")
    )
