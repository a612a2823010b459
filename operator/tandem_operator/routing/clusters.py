"""Clusters of a deployment (CDS): its replicas, and the chains that a request may take. Called by `compile_deployment`.

A chain is a composite cluster: attempt n goes to its n-th member, and a member without a healthy host is passed over.
Its length decides how often Envoy retries, so the retry policy is the chain's own: one more retry than members would
turn the last real answer into a 503, one less would skip the last local attempt.

A chain may get shorter under a request, for which Envoy keeps the retries of before: so behind each chain's end, where
none of its own retries leads, there are replicas up to the length of the longest.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from tandem_contract import headers

from tandem_operator import names
from tandem_operator.routing.inputs import Bounds, RoutedDeployment
from tandem_operator.routing.limits import BREAKERS, CONNECTION_BUFFER_BYTES, MOST_CLOUDS
from tandem_operator.routing.proto import CLUSTER, Message, extension, from_ads, typed

HEALTH_PATH: Final = "/tandem/healthz"
"""Under the app's prefix: alive, and this app. ``/-/healthz`` answers for any app."""

FEWEST_LOCAL_ATTEMPTS: Final = 2
"""Also where there is one replica: it may have been a stumble, and a full one redirects the second time."""

MOST_LOCAL_ATTEMPTS: Final = 4
"""Each replica that can meet the objective should be asked before anything overflows, but each one more is another
that a request which breaks engines can break, and another bound on the first token to sit through."""

LONGEST: Final = MOST_LOCAL_ATTEMPTS + MOST_CLOUDS + 1
"""Members of the longest chain: replicas, clouds, and a replica again."""

_HTTP_OPTIONS: Final = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def make_clusters(deployment: RoutedDeployment, bounds: Bounds) -> Iterator[Message]:
    """Yield the replicas' cluster, and three chains per model name.

    The redirected one is there also when nothing may overflow: a replica that has not heard of that edit yet gets its
    request back and queues it.
    """
    yield _make_replicas(deployment)
    local = names.local_cluster(deployment.key)
    clouds = [names.cloud_cluster(endpoint) for endpoint in deployment.clouds]
    locals_first = local_attempts(len(deployment.targets))
    home = [local] * locals_first
    first = [*home, *clouds, local] if deployment.fails_over and clouds else home
    redirected = [*clouds, local] if deployment.overflows and clouds else home
    told = {
        "prefix": deployment.prefix,
        "deployment": deployment.key,
        "local_attempts": str(locals_first),
        "cloud_milliseconds": str(bounds.cloud_share_milliseconds(len(clouds))),
    }
    for model in deployment.names:
        yield _make_chain(names.model_cluster(model), first, told)
        yield _make_chain(names.escalated_cluster(model), redirected, told)
        yield _make_chain(names.home_cluster(model), home, told)


def local_attempts(replicas: int) -> int:
    """Return how many attempts are local before anything else: each at another replica, as long as there are any."""
    return min(max(replicas, FEWEST_LOCAL_ATTEMPTS), MOST_LOCAL_ATTEMPTS)


def _make_replicas(deployment: RoutedDeployment) -> Message:
    return {
        "@type": CLUSTER,
        "name": names.local_cluster(deployment.key),
        "type": "EDS",
        "eds_cluster_config": {"eds_config": from_ads(initial_fetch_timeout="1s")},
        "connect_timeout": "1s",
        "lb_policy": "LEAST_REQUEST",
        "ignore_health_on_host_removal": True,
        "common_lb_config": {"update_merge_window": "0s", "healthy_panic_threshold": {"value": 0}},
        "health_checks": [_health_check(deployment.prefix)],
        "outlier_detection": _OUTLIERS,
        "circuit_breakers": BREAKERS,
        "per_connection_buffer_limit_bytes": CONNECTION_BUFFER_BYTES,
        "typed_extension_protocol_options": {
            _HTTP_OPTIONS: typed(
                "upstreams.http.v3.HttpProtocolOptions",
                explicit_http_config={"http_protocol_options": {}},
                # uvicorn closes after 5 s of silence: Envoy must be first, or a request meets a closed connection.
                common_http_protocol_options={"idle_timeout": "3s"},
            )
        },
    }


def _health_check(prefix: str) -> Message:
    return {
        "http_health_check": {"path": f"{prefix}{HEALTH_PATH}"},
        "timeout": "2s",
        "interval": "2s",
        "interval_jitter_percent": 20,
        # The default of 60 s would keep a new replica out until its model's first request.
        "no_traffic_interval": "2s",
        "healthy_threshold": 1,
        # An answer other than 200 counts at once; this is for a replica too busy to answer one check in time.
        "unhealthy_threshold": 2,
    }


_OUTLIERS: Final[Message] = {
    # Only what never reached the app: a full replica answers 503 by design and must be asked again for its redirect.
    "split_external_local_origin_errors": True,
    "consecutive_local_origin_failure": 3,
    "enforcing_consecutive_local_origin_failure": 100,
    "enforcing_consecutive_5xx": 0,
    "enforcing_consecutive_gateway_failure": 0,
    "enforcing_success_rate": 0,
    "enforcing_local_origin_success_rate": 0,
    "interval": "1s",
    "base_ejection_time": "5s",
    "max_ejection_percent": 100,
}


def _make_chain(name: str, members: Sequence[str], told: Message) -> Message:
    *_, local = members
    spare = [local] * (LONGEST - len(members))
    return {
        "@type": CLUSTER,
        "name": name,
        "connect_timeout": "1s",
        "lb_policy": "CLUSTER_PROVIDED",
        "cluster_type": extension(
            "envoy.clusters.composite",
            "clusters.composite.v3.ClusterConfig",
            clusters=[{"name": member} for member in (*members, *spare)],
        ),
        "circuit_breakers": BREAKERS,
        "metadata": {"filter_metadata": {"tandem": told}},
        "typed_extension_protocol_options": {
            _HTTP_OPTIONS: typed(
                "upstreams.http.v3.HttpProtocolOptions",
                explicit_http_config={"http_protocol_options": {}},
                retry_policy=_retry_policy(len(members)),
            )
        },
    }


def _retry_policy(attempts: int) -> Message:
    return {
        "retry_on": "5xx,reset,connect-failure,retriable-status-codes,retriable-headers",
        "retriable_status_codes": [429],
        # Replicas and the guard say who answers. What does not is somebody else's: until the health check notices, a
        # port that changed hands, where Ray itself answers 404.
        "retriable_headers": [{"name": headers.DESTINATION, "present_match": True, "invert_match": True}],
        "num_retries": attempts - 1,
        "retry_back_off": {"base_interval": "0.001s", "max_interval": "0.001s"},
        "retry_host_predicate": [
            extension(
                "envoy.retry_host_predicates.previous_hosts",
                "retry.host.previous_hosts.v3.PreviousHostsPredicate",
            )
        ],
        # LEAST_REQUEST likes a replica that fails or refuses fast: under load each pick finds the good one of two in 1
        # of 4 cases, the last one of four in 1 of 16. Measured: 5 picks let 3 of 40 requests go to the cloud with one
        # bad of two, 50 let 1 of 40 with three full of four. A pick costs less than a microsecond.
        "host_selection_retry_max_attempts": 250,
    }
