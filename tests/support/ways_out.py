"""Every way that a request can take through compiled resources, with a client that names whatever it likes.

`ways_out` returns what it found wrong: a cluster that leaves the premises and is reached without the guard, or anything
that it does not know. What it knows is listed in `known_fields`, so a field that nobody thought of here is a finding.
A cluster header counts as any existing cluster that its route's matchers let through: a forgotten prefix is seen.
"""

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from typing import Any

from tandem_operator.routing import Message

from support import known_fields
from support.known_fields import type_of, unknown

STATIC = {"agent"}
"""Clusters of Envoy's bootstrap that a request may reach: a Unix socket beside Envoy. ``guard``, ``xds``: never."""

NEVER = {"guard", "xds"}


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
            kind = kinds.get(type_of(resource))
            if kind is not None:
                kind[resource["name"]] = resource
        return snapshot

    @property
    def reachable_names(self) -> Set[str]:
        return self.clusters.keys() | STATIC | NEVER


def ways_out(resources: Iterable[Message]) -> list[str]:
    """Return a line for each way out that skips the guard; empty = there is none."""
    snapshot = Snapshot.of(resources)
    doors = [listener for listener in snapshot.listeners.values() if "internal_listener" not in listener]
    return sorted({problem for door in doors for problem in _from_door(snapshot, door)})


def _from_door(snapshot: Snapshot, door: Message) -> Iterator[str]:
    yield from unknown(door, known_fields.DOOR, door["name"])
    for manager in _managers(door):
        yield from unknown(manager, known_fields.DOOR_MANAGER, door["name"])
        for http_filter in manager.get("http_filters", []):
            yield from _harmless(http_filter, door["name"])
        config = manager.get("route_config") or snapshot.routes[manager["rds"]["route_config_name"]]
        for name in sorted(set(_clusters_of(snapshot, config, problems := []))):
            yield from _from_cluster(snapshot, name, [door["name"], name])
        yield from problems


def _managers(listener: Message) -> list[Message]:
    """Return what handles connections; all of it is checked to be HTTP by its known fields."""
    return [
        {**network_filter["typed_config"], **{f"filter.{key}": 1 for key in network_filter.keys() - known_fields.NAMED}}
        for chain in listener["filter_chains"]
        for network_filter in chain["filters"]
    ]


def _harmless(http_filter: Message, where: str) -> Iterator[str]:
    yield from unknown(http_filter, known_fields.NAMED, where)
    if type_of(http_filter["typed_config"]) not in known_fields.HARMLESS_FILTERS:
        yield f"{where}: unknown filter {http_filter['name']}"


def _clusters_of(snapshot: Snapshot, config: Message, problems: list[str]) -> Iterator[str]:
    """Yield each cluster that the routes can choose; what is not known about them is added to ``problems``."""
    problems += unknown(config, known_fields.ROUTES, "routes")
    for host in config["virtual_hosts"]:
        problems += unknown(host, known_fields.VIRTUAL_HOST, "virtual host")
        for route in host["routes"]:
            problems += unknown(route, known_fields.ROUTE, "route")
            if "route" in route:
                problems += unknown(route["route"], known_fields.ACTION, "route")
                yield from _chosen(snapshot, route["match"], route["route"])


def _chosen(snapshot: Snapshot, match: Message, action: Message) -> Iterator[str]:
    if "cluster" in action:
        yield action["cluster"]
    if header := action.get("cluster_header"):
        matchers = [m["string_match"] for m in match.get("headers", []) if m["name"] == header and "string_match" in m]
        yield from (name for name in snapshot.reachable_names if all(_accepts(m, name) for m in matchers))


def _accepts(matcher: Mapping[str, Any], name: str) -> bool:
    if "prefix" in matcher:
        return name.startswith(matcher["prefix"])
    return name == matcher["exact"] if "exact" in matcher else True


def _from_cluster(snapshot: Snapshot, name: str, way: list[str]) -> Iterator[str]:
    cluster = snapshot.clusters.get(name)
    where = " > ".join(way)
    if name in NEVER:
        yield f"{where}: a client must not reach this"
    elif name in STATIC or cluster is None:
        return
    elif "cluster_type" in cluster:
        yield from unknown(cluster, known_fields.CHAIN, where)
        yield from _options(cluster, where)
        for member in _members(cluster):
            yield from _from_cluster(snapshot, member, [*way, member])
    elif cluster.get("type") == "EDS":
        yield from unknown(cluster, known_fields.REPLICAS, where)
        yield from _options(cluster, where)
    elif cluster.get("type") == "STATIC":
        yield from unknown(cluster, known_fields.HOP, where)
        yield from _from_hop(snapshot, cluster, where)
    else:
        yield f"{where}: leaves without the guard"


def _options(cluster: Message, where: str) -> Iterator[str]:
    for options in cluster.get("typed_extension_protocol_options", {}).values():
        yield from unknown(options, known_fields.HTTP_OPTIONS, where)


def _members(cluster: Message) -> list[str]:
    assert type_of(cluster["cluster_type"]["typed_config"]) == "ClusterConfig"
    return [member["name"] for member in cluster["cluster_type"]["typed_config"]["clusters"]]


def _from_hop(snapshot: Snapshot, cluster: Message, where: str) -> Iterator[str]:
    for group in cluster["load_assignment"]["endpoints"]:
        for endpoint in group["lb_endpoints"]:
            inner = endpoint["endpoint"]["address"].get("envoy_internal_address", {}).get("server_listener_name")
            if inner is None:
                yield f"{where}: leaves without the guard"
            elif listener := snapshot.listeners.get(inner):  # a missing one is shut
                yield from _from_inner(snapshot, cluster["name"], listener, f"{where} > {inner}")


def _from_inner(snapshot: Snapshot, hop: str, listener: Message, where: str) -> Iterator[str]:
    """Yield what is wrong with a way out: unguarded, or not for the endpoint and the place that it is called after."""
    yield from unknown(listener, known_fields.INNER, where)
    for manager in _managers(listener):
        yield from unknown(manager, known_fields.INNER_MANAGER, where)
        first, guard, consent, *others = manager["http_filters"]
        if first != known_fields.BEFORE_THE_GUARD:
            yield f"{where}: {first['name']} before the guard"
        for http_filter in others:
            yield from _harmless(http_filter, where)
        endpoint, place = _told(guard)
        yield from _guard_problems(guard, where)
        yield from _consent_problems(consent, str(place), where)
        if (hop, listener["name"]) != (f"cloud|{endpoint}", f"cloud|{endpoint}|{place}"):
            yield f"{where}: the guard is told of {endpoint} at {place}"
        for name in set(_clusters_of(snapshot, manager["route_config"], problems := [])):
            if name != f"upstream|{endpoint}|{place}":
                yield f"{where}: leads to {name}"
        yield from (f"{where}: {problem}" for problem in problems)


def _guard_problems(http_filter: Message, where: str) -> Iterator[str]:
    """Yield what keeps the second filter from asking the guard about each whole request, failing closed."""
    asks = http_filter["typed_config"]
    yield from unknown(http_filter, known_fields.NAMED, where)
    if type_of(asks) != "ExternalProcessor":
        yield f"{where}: no guard second"
        return
    yield from unknown(asks, known_fields.GUARD, where)
    yield from unknown(asks["grpc_service"], known_fields.GUARD_SERVICE, where)
    mode = asks["processing_mode"]
    if asks["failure_mode_allow"] is not False or asks["grpc_service"]["envoy_grpc"] != {"cluster_name": "guard"}:
        yield f"{where}: the guard can be missed"
    if (mode.get("request_header_mode"), mode.get("request_body_mode")) != ("SEND", "BUFFERED"):
        yield f"{where}: the guard does not see the whole request"


def _consent_problems(http_filter: Message, place: str, where: str) -> Iterator[str]:
    """Yield what keeps the third filter from stopping what the guard did not send to just this place."""
    asks = http_filter["typed_config"]
    yield from unknown(http_filter, known_fields.NAMED, where)
    if type_of(asks) != "RBAC":
        yield f"{where}: no consent third"
        return
    yield from unknown(asks, {"@type", "rules"}, where)
    sent = {"name": "x-tandem-destination-digest", "string_match": {"exact": place}}
    allowed = [policy["permissions"] for policy in asks["rules"]["policies"].values()]
    if asks["rules"]["action"] != "ALLOW" or allowed != [[{"header": sent}]]:
        yield f"{where}: consent is not asked for"


def _told(guard: Message) -> tuple[str | None, str | None]:
    """Return the endpoint and the place that the guard is told of."""
    metadata = guard["typed_config"].get("grpc_service", {}).get("initial_metadata", [])
    told = {entry["key"]: entry["value"] for entry in metadata}
    return told.get("x-tandem-endpoint"), told.get("x-tandem-destination-digest")
