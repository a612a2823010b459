"""Header names and values that cross a process boundary.

Written by Envoy's compiled routes, the replica and the guard; read by all three. A client may set only
``DATA_CLASS``, ``ROUTE`` and ``REQUEST_ID``: everything else that begins with ``PREFIX`` is stripped at the door.
"""

from enum import StrEnum
from typing import Final

PREFIX: Final = "x-tandem-"
ENVOY_PREFIX: Final = "x-envoy-"
"""What steers Envoy: taken off what a client sends and what a provider answers."""

MODEL: Final = "x-tandem-model"
"""Cluster that a first attempt takes: ``model|<name from the body>``. Set by the gateway alone."""

ESCALATED: Final = "x-tandem-escalated"
"""Cluster that a redirected request takes: ``escalated|<name from the body>``. Set by the gateway alone."""

STREAM: Final = "x-tandem-stream"
"""``true`` when the body asks for a stream; chooses the route's timeouts. Set by the gateway alone."""

DEPLOYMENT: Final = "x-tandem-deployment"
"""``namespace/name`` of the ModelDeployment, from the chosen cluster's metadata. Set by the gateway alone."""

HOME: Final = "x-tandem-home"
"""Cluster of a request that must stay at home: ``home|<name from the body>``. Set by the gateway alone."""

REQUESTED: Final = "x-tandem-requested"
"""The model name from the body, as the client wrote it: for errors and the access log. Set by the gateway alone."""

HOP: Final = "x-tandem-hop"
"""The gateway's own id of one leg (before or after a redirect) of one request; clients may choose ``x-request-id``."""

ENDPOINT: Final = "x-tandem-endpoint"
"""gRPC metadata, not an HTTP header: the CloudEndpoint whose internal listener calls the guard."""

DESTINATION_DIGEST: Final = "x-tandem-destination-digest"
"""Digest of the address, authority and region that a way out leads to. Told to the guard as gRPC metadata; the guard
sets it as a request's header to say that it may go there, the filter behind it reads it, and it is taken off."""

REASON: Final = "x-tandem-reason"
"""Why a request left local: a ``Reason``. From the replica with its redirect, or from the guard."""

TOKEN: Final = "x-tandem-token"  # noqa: S105  a header's name
"""Proof that a redirect came from this deployment's replica."""

ATTEMPTS: Final = "x-tandem-attempts"
"""How many upstreams were tried, on every response."""

PRIOR_ATTEMPTS: Final = "x-tandem-prior-attempts"
"""How many upstreams were tried before a redirect: sent by the replica with it, added by whoever answers next."""

DESTINATION: Final = "x-tandem-destination"
"""``local``, ``cloud/<endpoint>`` or ``gateway`` (an answer of the gateway itself), on every response."""

LOCAL: Final = "local"
"""Destination of a replica's answers, and the value of ``ROUTE`` that a client sends."""

GATEWAY: Final = "gateway"
"""Destination of the gateway's own answers."""

DATA_CLASS: Final = "x-tandem-data-class"
"""From the client: raises (never lowers) the data class of this request."""

ROUTE: Final = "x-tandem-route"
"""From the client: ``local`` keeps the request on the premises."""

DENIED: Final = "x-tandem-denied"
"""On a 503 of the guard: the word for why the request did not leave."""

REQUEST_ID: Final = "x-request-id"

ATTEMPT_COUNT: Final = "x-envoy-attempt-count"
"""Envoy's own count, from 1; starts again after a redirect."""

LOCAL_ATTEMPTS: Final = "x-tandem-local-attempts"
"""How many replicas the gateway asks before it looks further: attempts 1 to this one are at replicas."""

CLOUD_MILLISECONDS: Final = "x-tandem-cloud-milliseconds"
"""How long one cloud of this deployment may take to begin its answer. Set by the gateway alone."""

RATE_LIMITED: Final = "x-envoy-ratelimited"
"""On a 429: Envoy must not retry it, the answer is final."""


class Reason(StrEnum):
    """Why a request was answered by a cloud."""

    OVERFLOW = "overflow"
    FAILOVER = "failover"
    BRIDGE = "bridge"
    ESCALATION = "escalation"


def count(value: str | None, *, unknown: int) -> int:
    """Return a header's number; ``unknown`` for one that is absent, no number or absurdly long."""
    return int(value) if value is not None and value.isascii() and value.isdigit() and len(value) < 16 else unknown
