"""The gateway's routes (RDS): constant, one set for all models. Called by `compile_gateway`.

`transform` wrote the clusters into headers from the body's ``model``; a route picks one of the headers, and the
cluster's metadata gives the path prefix and the deployment. So adding a model changes nothing here.

Paths: what OpenAI has too may leave for a cloud. vLLM's own inference paths stay at home, where alone they exist.
Everything else of vLLM (LoRA loading, sleep, cache resets, profiling, tokenizer, metrics …) has no route.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from tandem_contract import headers
from tandem_contract.limits import BODY_BYTES

from tandem_operator import names
from tandem_operator.routing.inputs import Bounds
from tandem_operator.routing.proto import ROUTES, Message, bounded, header
from tandem_operator.routing.replies import ATTEMPTS

NAME: Final = "gateway"
SHARED_PATHS: Final = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings")
LOCAL_PATHS: Final = ("/v1/messages", "/v1/messages/count_tokens", "/v1/rerank", "/v1/responses", "/v1/score")

_NO_LONGER_NEEDED: Final = ["authorization", "proxy-authorization", "x-api-key", "api-key", "cookie"]
"""A client's credentials are for this gateway: replicas, agent and clouds get none of them."""

_SAYS_STREAM: Final[Message] = {"name": headers.STREAM, "string_match": {"exact": "true"}}
_NAMES_NO_MODEL: Final[Message] = {"name": headers.MODEL, "string_match": {"exact": names.model_cluster("")}}
"""What `transform` writes for a field that is absent, null or empty."""

_IS_REDIRECTED: Final[Message] = {"name": headers.TOKEN, "present_match": True}
_STAYS_HOME: Final[Message] = {"name": headers.ROUTE, "present_match": True}
"""Any value: a wish to stay that is not understood must not turn into leaving."""

_STAY: Final = header(headers.ROUTE, headers.LOCAL)
"""Tells the replica not to redirect: there is nowhere to go."""

_REDIRECTS: Final[Message] = {
    "max_internal_redirects": 1,
    "redirect_response_codes": [307],
    "response_headers_to_copy": [headers.REASON, headers.TOKEN, headers.PRIOR_ATTEMPTS],
    "allow_cross_scheme_redirect": True,
}


def make_routes(bounds: Bounds) -> Message:
    """Return the route configuration."""
    return {
        "@type": ROUTES,
        "name": NAME,
        "virtual_hosts": [
            {
                "name": "gateway",
                "domains": ["*"],
                "include_request_attempt_count": True,
                "request_headers_to_remove": _NO_LONGER_NEEDED,
                "response_headers_to_add": [
                    header(headers.DESTINATION, headers.GATEWAY, "ADD_IF_ABSENT"),
                    header(headers.ATTEMPTS, ATTEMPTS, "ADD_IF_ABSENT"),
                ],
                "response_headers_to_remove": [
                    headers.RATE_LIMITED,
                    headers.TOKEN,
                    headers.PRIOR_ATTEMPTS,
                    headers.DENIED,
                    f"{headers.ENVOY_PREFIX}upstream-service-time",
                ],
                "routes": [*_model_list(), *_inference(bounds), *_refusals()],
            }
        ],
    }


def _model_list() -> Iterator[Message]:
    for path in ({"path": "/v1/models"}, {"prefix": "/v1/models/"}):
        yield {
            "match": {**path, "headers": [_method("GET")]},
            "request_body_buffer_limit": BODY_BYTES,
            "route": {"cluster": "agent", "timeout": "5s"},
        }


def _inference(bounds: Bounds) -> Iterator[Message]:
    shared, local, any_ = _one_of(SHARED_PATHS), _one_of(LOCAL_PATHS), _one_of((*SHARED_PATHS, *LOCAL_PATHS))
    yield _refuse({**any_, "headers": [_method("POST"), _NAMES_NO_MODEL]}, 400, "You must provide a `model`.")
    for stream in (True, False):
        yield _to_chain(local, headers.HOME, names.home_cluster(""), stream, bounds, add=[_STAY])
        yield _to_chain(shared, headers.HOME, names.home_cluster(""), stream, bounds, when=[_STAYS_HOME], add=[_STAY])
        yield _to_chain(shared, headers.ESCALATED, names.escalated_cluster(""), stream, bounds, when=[_IS_REDIRECTED])
        yield _to_chain(shared, headers.MODEL, names.model_cluster(""), stream, bounds, redirects=_REDIRECTS)


def _to_chain(
    path: Message,
    cluster_header: str,
    prefix: str,
    stream: bool,
    bounds: Bounds,
    *,
    when: list[Message] | None = None,
    add: list[Message] | None = None,
    redirects: Mapping[str, object] | None = None,
) -> Message:
    named = {"name": cluster_header, "string_match": {"prefix": prefix}}
    return {
        "match": {**path, "headers": [_method("POST"), *(when or []), named, *([_SAYS_STREAM] if stream else [])]},
        "request_body_buffer_limit": BODY_BYTES,
        "request_headers_to_add": [
            header(headers.DEPLOYMENT, "%METADATA(CLUSTER:tandem:deployment)%"),
            header(headers.HOP, "%UNIQUE_ID%"),
            header(headers.LOCAL_ATTEMPTS, "%METADATA(CLUSTER:tandem:local_attempts)%"),
            header(headers.CLOUD_MILLISECONDS, "%METADATA(CLUSTER:tandem:cloud_milliseconds)%"),
            *(add or []),
        ],
        "route": {
            "cluster_header": cluster_header,
            "cluster_not_found_response_code": "NOT_FOUND",
            "path_rewrite": "%METADATA(CLUSTER:tandem:prefix)%%PATH(NQ:PATH)%",
            **bounded(streamed=stream, answer=bounds.answer, silence=bounds.silence),
            **({"internal_redirect_policy": redirects} if redirects else {}),
        },
    }


def _refusals() -> Iterator[Message]:
    served = _one_of((*SHARED_PATHS, *LOCAL_PATHS))
    yield _refuse(
        {**served, "headers": [_method("POST")]},
        400,
        "The request body must be a JSON object (content-type: application/json) that names a `model`.",
    )
    yield _refuse(served, 405, "This path takes POST only.")
    yield _refuse({"prefix": "/"}, 404, "Unknown request URL. Check the path and the method.")


def _refuse(match: Message, status: int, message: str) -> Message:
    return {
        "match": match,
        "request_body_buffer_limit": BODY_BYTES,
        "direct_response": {"status": status, "body": {"inline_string": message}},
    }


def _method(name: str) -> Message:
    return {"name": ":method", "string_match": {"exact": name}}


def _one_of(paths: tuple[str, ...]) -> Message:
    return {"safe_regex": {"regex": "|".join(re.escape(path) for path in paths)}}
